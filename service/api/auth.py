"""Who asks: bearer keys against the configured callers, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from starlette.requests import Request

from service.api.header import header_of
from service.config.callers_file import HASH_PREFIX, check_names, read_callers
from service.config.model import Caller, CallerLimits
from service.errors import AdminRequired, AuthenticationFailed, ConfigurationError
from service.routing.request import CallerIdentity

log = logging.getLogger("autotier.api")

Known = tuple[tuple[bytes, CallerIdentity], ...]


class Authenticator:
    """Knows callers by the sha256 of their key.

    Args:
        callers: The configured callers. None, and no file: everybody is ``local`` (only on loopback, checked at start).
        limits: What each caller may use who has no limits of its own.
        file: More callers, read again when the file changes. A change that cannot be read is logged, and the callers
            before it go on; no file is no callers, so a deleted one opens nothing.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(
        self, callers: Iterable[Caller], limits: CallerLimits | None = None, file: str | Path | None = None
    ) -> None:
        self._limits = limits if limits is not None else CallerLimits()
        self._callers = tuple(callers)
        self._anybody = CallerIdentity(limits=self._limits)
        self._file = Path(file) if file is not None else None
        self._stamp = self._present_stamp()
        self._known = self._read()

    def caller_of(self, request: Request) -> CallerIdentity:
        """The caller of a request.

        Every known key is compared, whichever matches, so that time tells nothing.

        Raises:
            AuthenticationFailed: No key or one that nobody has.
        """
        if not self._callers and self._file is None:
            return self._anybody
        self._refresh()
        scheme, _, key = (header_of(request, b"authorization") or "").partition(" ")
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

    def admin_of(self, request: Request) -> CallerIdentity:
        """The caller of a request that needs the admin right.

        Raises:
            AuthenticationFailed: As `caller_of`.
            AdminRequired: The caller has it not.
        """
        caller = self.caller_of(request)
        if not caller.admin:
            raise AdminRequired(f"caller {caller.name!r} has no admin right")
        return caller

    def _refresh(self) -> None:
        """A look at the file's time and size takes microseconds, so that a revoked key ends with the next request."""
        stamp = self._present_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known = self._read()
        except ConfigurationError as error:
            log.error("the callers before the change go on: %s", error)
            return
        log.warning("%s changed: %d callers have a key", self._file, len(self._known))

    def _read(self) -> Known:
        callers = self._callers
        if self._file is not None:
            callers += read_callers(self._file)
            check_names(callers, str(self._file))
        return tuple((_digest_of(caller.key.get_secret_value()), self._identity(caller)) for caller in callers)

    def _identity(self, caller: Caller) -> CallerIdentity:
        limits = caller.limits.over(self._limits)
        return CallerIdentity(caller.name, caller.tiers, caller.override, caller.admin, limits)

    def _present_stamp(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _digest_of(secret: str) -> bytes:
    """The stored form of a key: its sha256, computed here where the configuration holds it in clear."""
    if secret.startswith(HASH_PREFIX):
        return bytes.fromhex(secret[len(HASH_PREFIX) :])
    return hashlib.sha256(secret.encode()).digest()
