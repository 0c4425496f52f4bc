"""The faults that a simulated host can have: names, parameters, and what is set now.

A fault is written ``name`` or ``name:key=value,key=value``, e.g. ``429:retry_after=5,count=2``. README.md
holds the table of names and what a client sees.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

Scope = Literal["all", "answers"]


class FaultName(StrEnum):
    """Names of the faults; ``refused`` is read as ``down``."""

    NONE = "none"
    DOWN = "down"
    BLACK_HOLE = "black-hole"
    FLAPPING = "flapping"
    HANG = "hang"
    HEADERS_THEN_HANG = "headers-then-hang"
    SLOW_FIRST_TOKEN = "slow-first-token"  # noqa: S105 - not a password
    HANG_MID_STREAM = "hang-mid-stream"
    RESET_MID_STREAM = "reset-mid-stream"
    CUT = "cut"
    EMPTY_200 = "empty-200"
    GARBAGE = "garbage"
    BROKEN_LINE = "broken-line"
    IN_BAND_ERROR = "in-band-error"
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    CONTEXT = "context"
    TRUNCATE = "truncate"
    COLD = "cold"
    WRONG_MODEL = "wrong-model"


SOCKET_FAULTS = frozenset({FaultName.DOWN, FaultName.BLACK_HOLE, FaultName.FLAPPING})
"""Faults below HTTP: no request is seen, so there is none to count."""

_WHOLE_HOST = frozenset({FaultName.HANG, FaultName.GARBAGE, FaultName.UNAUTHORIZED, FaultName.BLACK_HOLE})
_SECONDS = {FaultName.SLOW_FIRST_TOKEN: 10.0, FaultName.COLD: 20.0, FaultName.FLAPPING: 2.0}
_ALIASES = {"refused": "down", "ok": "none", "": "none"}


class BadFault(ValueError):
    """A fault that does not exist, has a wrong parameter, or cannot be had on this platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault with its parameters.

    Attributes:
        name: Which fault.
        s: Seconds: the wait of slow-first-token, the load of cold, the half period of flapping.
        after: Tokens that are sent before a fault mid-stream.
        retry_after: Value of Retry-After with 429, in seconds.
        tokens: What truncate leaves of a prompt, and the context that the context fault claims to have (0:
            refuses every prompt), in tokens.
        model: The name that wrong-model answers with; empty means a default of the protocol.
        scope: ``answers`` (chat, generate, embeddings) or ``all`` (also /api/ps, /api/tags, /v1/models, ...).
        count: Only the next so many requests within the scope; 0 means until changed.
    """

    name: FaultName = FaultName.NONE
    s: float = 0.0
    after: int = 3
    retry_after: int = 2
    tokens: int = 0
    model: str = ""
    scope: Scope = "answers"
    count: int = 0


NO_FAULT = Fault()


def parse_fault(text: str) -> Fault:
    """Read ``name`` or ``name:key=value,...``.

    Raises:
        BadFault: Unknown name or key, a value of the wrong kind, or a fault that this platform cannot have.
    """
    head, _, tail = text.strip().partition(":")
    try:
        name = FaultName(_ALIASES.get(head, head))
    except ValueError:
        known = ", ".join(FaultName)
        raise BadFault(f"unknown fault {head!r}; one of: {known}, refused (= down)") from None
    if name is FaultName.BLACK_HOLE and sys.platform != "linux":
        raise BadFault("black-hole needs Linux: elsewhere a full accept queue does not swallow connections")
    fault = Fault(
        name=name,
        s=_SECONDS.get(name, 0.0),
        tokens=256 if name is FaultName.TRUNCATE else 0,
        scope="all" if name in _WHOLE_HOST else "answers",
    )
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise BadFault(f"fault {head}: {part!r} is not key=value")
        fault = _with(fault, key.strip(), value.strip())
    if fault.count and (name in SOCKET_FAULTS or name is FaultName.COLD):
        raise BadFault(f"fault {name}: count is for faults that meet single requests")
    return fault


def _with(fault: Fault, key: str, value: str) -> Fault:
    """Set one parameter from its text."""
    try:
        match key:
            case "s" | "period":
                return replace(fault, s=float(value))
            case "after":
                return replace(fault, after=int(value))
            case "retry_after":
                return replace(fault, retry_after=int(value))
            case "tokens":
                return replace(fault, tokens=int(value))
            case "count":
                return replace(fault, count=int(value))
            case "model":
                return replace(fault, model=value)
            case "scope":
                if value == "all":
                    return replace(fault, scope="all")
                if value == "answers":
                    return replace(fault, scope="answers")
                raise BadFault(f"fault {fault.name}: scope is all or answers, not {value!r}")
    except ValueError as error:
        if isinstance(error, BadFault):
            raise
        raise BadFault(f"fault {fault.name}: {key}={value!r} is not a number") from None
    raise BadFault(
        f"fault {fault.name}: unknown parameter {key!r}; "
        "one of s, period, after, retry_after, tokens, count, model, scope"
    )


class FaultState:
    """The fault that is set now, its remaining count, and a way to wait for the next change."""

    def __init__(self) -> None:
        self.current = NO_FAULT
        self._left = 0
        self._changed = asyncio.Event()

    @property
    def frozen(self) -> bool:
        """Whether the machine is out of reach: open connections stay silent too."""
        return self.current.name is FaultName.BLACK_HOLE

    def set(self, fault: Fault) -> None:
        """Put another fault in place; what hangs in the old one is let go."""
        self.current = fault
        self._left = fault.count
        self._changed.set()
        self._changed = asyncio.Event()

    def take(self, *, is_answer: bool) -> Fault:
        """Give the fault for one request that arrives now, and count it."""
        fault = self.current
        if fault is NO_FAULT or (fault.scope == "answers" and not is_answer):
            return NO_FAULT
        if fault.count:
            if self._left == 0:
                return NO_FAULT
            self._left -= 1
        return fault

    async def until_changed(self) -> None:
        """Wait until another fault (or none) is set."""
        await self._changed.wait()
