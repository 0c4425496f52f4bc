"""Keys and callers."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from classifier import Tier
from service.api.auth import Authenticator
from service.config.model import Caller
from service.errors import AuthenticationFailed

ANN = Caller(name="ann", key=SecretStr("ann-key"), tiers=(Tier.LIGHTWEIGHT,), override=False)
BOB = Caller(name="bob", key=SecretStr("sha256:" + hashlib.sha256(b"bob-key").hexdigest()), admin=True)


def request(authorization: str | None) -> Request:
    """A request with that header."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


def test_a_key_names_its_caller_whether_stored_in_clear_or_hashed() -> None:
    """Both forms of a configured key are known, with their rights."""
    authenticator = Authenticator((ANN, BOB))

    ann = authenticator.caller_of(request("Bearer ann-key"))
    bob = authenticator.caller_of(request("bearer bob-key"))

    assert (ann.name, ann.tiers, ann.override, ann.admin) == ("ann", (Tier.LIGHTWEIGHT,), False, False)
    assert (bob.name, bob.admin) == ("bob", True)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic ann-key", "Bearer nobody", "Bearer \xff"]
)
def test_any_other_key_is_refused(authorization: str | None) -> None:
    """No key or an unknown one is a 401."""
    with pytest.raises(AuthenticationFailed):
        Authenticator((ANN, BOB)).caller_of(request(authorization))


def test_the_hash_itself_is_no_key() -> None:
    """Who reads the configuration cannot use what it stores."""
    with pytest.raises(AuthenticationFailed):
        Authenticator((BOB,)).caller_of(request(f"Bearer {BOB.key.get_secret_value()}"))


def test_without_callers_everybody_is_local() -> None:
    """The loopback default asks for no key."""
    assert Authenticator(()).caller_of(request(None)).name == "local"
