"""Who asks: bearer keys against the configured callers, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from starlette.requests import Request

from service.config.model import Caller
from service.errors import AuthenticationFailed
from service.routing.request import CallerIdentity

HASH_PREFIX = "sha256:"


class Authenticator:
    """Knows callers by the sha256 of their key.

    Args:
        callers: The configured callers; none: everybody is ``local`` (only on loopback, checked at start).
    """

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._known: list[tuple[bytes, CallerIdentity]] = [
            (
                _digest_of(caller.key.get_secret_value()),
                CallerIdentity(caller.name, caller.tiers, caller.override, caller.admin),
            )
            for caller in callers
        ]

    def caller_of(self, request: Request) -> CallerIdentity:
        """The caller of a request.

        Every known key is compared, whichever matches, so that time tells nothing.

        Raises:
            AuthenticationFailed: No key or one that nobody has.
        """
        if not self._known:
            return CallerIdentity()
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise AuthenticationFailed("send the key of a caller as Authorization: Bearer KEY")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        found: CallerIdentity | None = None
        for known, identity in self._known:
            if hmac.compare_digest(known, digest):
                found = identity
        if found is None:
            raise AuthenticationFailed("no caller has this key")
        return found


def _digest_of(secret: str) -> bytes:
    """The stored form of a key: its sha256, computed here where the configuration holds it in clear."""
    if secret.startswith(HASH_PREFIX):
        return bytes.fromhex(secret[len(HASH_PREFIX) :])
    return hashlib.sha256(secret.encode()).digest()
