"""The file of callers: what is written is read back, and what it may not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.requests import Request

from classifier import Tier
from service.api.auth import Authenticator
from service.config.callers_file import hashed, new_key, read_callers, write_callers
from service.config.model import Caller, CallerLimits
from service.errors import AdminRequired, AuthenticationFailed, ConfigurationError


def caller(name: str, key: str, **more: object) -> Caller:
    """A caller with a hashed key."""
    return Caller.model_validate({"name": name, "key": hashed(key), **more})


def request(key: str) -> Request:
    """A request with that key."""
    return Request({"type": "http", "headers": [(b"authorization", f"Bearer {key}".encode())]})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Rights and limits survive, a limit that is said to be none too; nobody but the owner can read the file."""
    file = tmp_path / "keys.yaml"
    written = (
        caller("ann", "a", tiers=["lightweight"], override=False, limits={"parallel": None, "usd_per_day": 0.5}),
        caller("bob", "b", admin=True),
    )

    write_callers(file, written)

    read = read_callers(file)
    assert read == written
    assert read[0].limits.model_fields_set == {"parallel", "usd_per_day"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["keys.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("callers:\n  - {name: ann, key: clear}\n", "keys.yaml:2: callers\\[0\\].key: no hash"),
        ("callers:\n  - {name: ann, key: 'sha256:12'}\n", "64 hexadecimal digits"),
        ("callers:\n  - {name: ann, kee: x}\n", "there is no such key"),
        ("key: [\n", "YAML"),
        (f"callers:\n  - &a {{name: ann, key: 'sha256:{64 * '0'}'}}\n  - *a\n", "'ann' is there twice"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """One line that says where and what."""
    file = tmp_path / "keys.yaml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=words):
        read_callers(file)


def test_a_change_of_the_file_is_known_with_the_next_request(tmp_path: Path) -> None:
    """A new key opens, a taken one shuts; the default limits hold for what the file does not say."""
    file = tmp_path / "keys.yaml"
    write_callers(file, [caller("ann", "a", tiers=["coding"])])
    limits = CallerLimits(parallel=3)
    authenticator = Authenticator((caller("root", "r", admin=True),), limits, file)

    ann = authenticator.caller_of(request("a"))
    write_callers(file, [caller("bob", "b", limits={"parallel": None})])
    bob = authenticator.caller_of(request("b"))

    assert (ann.tiers, ann.limits.parallel, bob.limits.parallel) == ((Tier.CODING,), 3, None)
    assert authenticator.admin_of(request("r")).name == "root"
    with pytest.raises(AuthenticationFailed):
        authenticator.caller_of(request("a"))
    with pytest.raises(AdminRequired):
        authenticator.admin_of(request("b"))


def test_a_deleted_file_opens_nothing(tmp_path: Path) -> None:
    """Without its callers nobody has a key, and everybody still needs one."""
    file = tmp_path / "keys.yaml"
    write_callers(file, [caller("ann", "a")])
    authenticator = Authenticator((), None, file)
    assert authenticator.caller_of(request("a")).name == "ann"

    os.unlink(file)

    for key in ("a", "anything"):
        with pytest.raises(AuthenticationFailed):
            authenticator.caller_of(request(key))


def test_a_name_that_the_configuration_has_is_refused(tmp_path: Path) -> None:
    """Two callers of one name would share limits and records."""
    file = tmp_path / "keys.yaml"
    write_callers(file, [caller("ann", "a")])

    with pytest.raises(ConfigurationError, match="'ann' is there twice"):
        Authenticator((caller("ann", "other"),), None, file)


def test_keys_are_random_and_long() -> None:
    """No two alike, 32 bytes of chance in each."""
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert min(map(len, keys)) >= 43 + len("at-")
