"""The file of callers that ``autotier keys`` writes and the service reads again when it changes.

It has the shape of the configuration's ``callers``, with hashes only: a key is 32 random bytes, so its bare sha256
gives nothing away, and nobody can use what the file holds.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import Field, SecretStr, ValidationError

from service.config.model import Caller
from service.config.problems import one_line
from service.config.strict import Strict
from service.config.yaml_source import read
from service.errors import ConfigurationError

HASH_PREFIX = "sha256:"
KEY_PREFIX = "at-"
KEY_BYTES = 32
_HEAD = "# Callers and hashes of their keys, written by `autotier keys`; a running service reads it again by itself.\n"


class CallersFile(Strict):
    """What the file holds."""

    callers: tuple[Caller, ...] = Field(default=(), description="Who may ask, each with the hash of a key.")


def new_key() -> str:
    """A key: `KEY_BYTES` random bytes."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hashed(key: str) -> SecretStr:
    """The stored form of a key."""
    return SecretStr(HASH_PREFIX + hashlib.sha256(key.encode()).hexdigest())


def read_callers(path: Path) -> tuple[Caller, ...]:
    """The callers of a file; none if there is no such file.

    Raises:
        ConfigurationError: It cannot be read, has another shape, a key that is no hash, or a name twice.
    """
    if not path.exists():
        return ()
    document = read(path)
    try:
        callers = CallersFile.model_validate(document.value).callers
    except ValidationError as error:
        raise one_line(error, document) from None
    for number, caller in enumerate(callers):
        if not caller.key.get_secret_value().startswith(HASH_PREFIX):
            place = document.place(("callers", number, "key"))
            raise ConfigurationError(place, f"callers[{number}].key", "no hash", "let `autotier keys add` write it")
    check_names(callers, str(path))
    return callers


def check_names(callers: Iterable[Caller], file: str) -> None:
    """Names are unique over the configuration and the file.

    Raises:
        ConfigurationError: One is there twice.
    """
    seen: set[str] = set()
    for caller in callers:
        if caller.name in seen:
            raise ConfigurationError(file, "callers", f"{caller.name!r} is there twice", "names are unique")
        seen.add(caller.name)


def write_callers(path: Path, callers: Sequence[Caller]) -> None:
    """Replaces the file as one step, readable by its owner alone.

    Raises:
        ConfigurationError: It cannot be written.
    """
    document = {"callers": [_plain(caller) for caller in callers]}
    text = _HEAD + yaml.safe_dump(document, sort_keys=False)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keeps other ``autotier keys`` from writing between a read and a write.

    Raises:
        ConfigurationError: The folder is not there or not readable.
    """
    import fcntl  # not on every system, and only the command needs it

    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _plain(caller: Caller) -> dict[str, object]:
    shown = caller.model_dump(mode="json", exclude_defaults=True)
    shown["key"] = caller.key.get_secret_value()
    if caller.limits.model_fields_set:
        shown["limits"] = caller.limits.model_dump(exclude_unset=True)  # null is said, and another thing than nothing
    return shown


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        str(path), "(file)", f"cannot be written ({error.strerror})", "name a folder that is yours"
    )
