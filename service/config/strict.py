"""What all parts of a configuration share: strictness, and the checked kinds of text."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator


def _url(address: str) -> str:
    """Checks a base URL.

    Raises:
        ValueError: No http(s) URL with a host, or one with a key, a query or a wrong port in it.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        (parts.hostname or "").encode("idna")  # an empty or too long label breaks the resolver, not the connection
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{address[:80]!r} is no address; write one such as http://mini.local:11434")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("an address with a user, a query or a fragment in it; leave those out, keys go into `key`")
    return address


def _redis(url: SecretStr) -> SecretStr:
    """Checks the address of a Redis server; its own text is never repeated, it may hold a password.

    Raises:
        ValueError: No redis, rediss or unix URL.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        place = parts.path if parts.scheme == "unix" else parts.hostname
        usable = parts.scheme in ("redis", "rediss", "unix") and bool(place) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("no address of a Redis; write redis://[:PASSWORD@]HOST:6379/0, rediss://... or unix:///PATH")
    return url


def _hash(key: SecretStr) -> SecretStr:
    """Checks the form of a hashed key.

    Raises:
        ValueError: ``sha256:`` without 64 hexadecimal digits behind it.
    """
    text = key.get_secret_value()
    if text.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-fA-F]{64}", text):
        raise ValueError(
            "sha256: without 64 hexadecimal digits behind it; write the output of `printf %s KEY | sha256sum`"
        )
    return key


Address = Annotated[str, AfterValidator(_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
CallerKey = Annotated[SecretStr, AfterValidator(_hash)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
Matrix = Annotated[
    tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]],
    Field(description="Rows: needed tier; columns: routed tier; lightweight, coding, reasoning. Any unit."),
]


class Strict(BaseModel):
    """Base of all parts: unknown keys are errors, objects are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes and on as true, and pydantic true as 1: a context of 1 token would come of it."""
        field = cls.model_fields[info.field_name] if info.field_name else None
        if isinstance(value, bool) and field is not None and field.annotation in (int, float, int | None, float | None):
            raise ValueError(f"is {str(value).lower()}; write a number")
        return value
