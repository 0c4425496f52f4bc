"""Fields of ours that some hosts refuse: left out for good once a host has said so, and the request is sent again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from service.upstream.interface import Call, UpstreamFailure

log = logging.getLogger("autotier.upstream")


@dataclass(frozen=True, slots=True)
class _Refusable:
    """A field that may be left out.

    Attributes:
        words: What such a refusal says.
        so: What follows, for the log.
    """

    field: str
    words: str
    so: str


_THINKING = _Refusable("reasoning_effort", "does not support thinking", "reasoning_effort is left out")
_REFUSABLE = {
    "openai": _Refusable("stream_options", "stream_options", "its answers come without the host's count of tokens"),
    "ollama": _THINKING,
    "ollama_chat": _THINKING,
}
"""By provider."""

_NONE: frozenset[str] = frozenset()


class RefusedFields:
    """What the models of each host have refused so far; one for each way upstream."""

    def __init__(self) -> None:
        self._by_place: dict[tuple[str, str], frozenset[str]] = {}

    def of(self, call: Call) -> frozenset[str]:
        """Fields to leave out of ``call``."""
        return self._by_place.get((call.address, call.deployment.model), _NONE)

    def learn(self, call: Call, left_out: frozenset[str], failure: UpstreamFailure) -> bool:
        """Whether ``failure`` refuses a field that can be left out and was not yet: ``call`` is then worth another try.

        Args:
            call: What was sent.
            left_out: Without these fields.
            failure: What came of it.
        """
        refused = _REFUSABLE.get(call.deployment.provider)
        if refused is None or refused.field in left_out:
            return False
        if failure.status not in (400, 422) or refused.words not in failure.detail:
            return False
        log.warning("%s refuses %s for %s: %s", call.address, refused.field, call.deployment.model, refused.so)
        self._by_place[call.address, call.deployment.model] = left_out | {refused.field}
        return True
