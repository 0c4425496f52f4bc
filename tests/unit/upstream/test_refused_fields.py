"""Fields of ours that a host refuses are left out from then on, and nothing else is."""

from __future__ import annotations

import pytest

from service.config import Deployment
from service.upstream.interface import Call, Outcome, UpstreamFailure
from service.upstream.refused_fields import RefusedFields

NONE: frozenset[str] = frozenset()
REFUSAL = UpstreamFailure(Outcome.BAD_REQUEST, "Unrecognized field: stream_options", status=400)


def call(provider: str = "openai", *, model: str = "m") -> Call:
    """A request to one model of one host."""
    deployment = Deployment(id="d", host="h", provider=provider, model=model, context=8192)
    return Call(deployment, "http://h", None, {})


def test_a_refusal_is_remembered() -> None:
    """The next request is sent without the field at once; another model of the host is asked as before."""
    refused = RefusedFields()

    assert refused.learn(call(), NONE, REFUSAL)

    assert refused.of(call()) == {"stream_options"}
    assert refused.of(call(model="other")) == NONE


def test_a_refusal_without_the_field_is_final() -> None:
    """A host that says the same again is not asked for ever."""
    refused = RefusedFields()

    assert not refused.learn(call(), frozenset({"stream_options"}), REFUSAL)


@pytest.mark.parametrize(
    ("provider", "failure"),
    [
        ("openai", UpstreamFailure(Outcome.BAD_REQUEST, "Unrecognized field: top_k", status=400)),
        ("openai", UpstreamFailure(Outcome.SERVER_ERROR, "stream_options", status=500)),
        ("ollama", REFUSAL),
        ("anthropic", REFUSAL),
    ],
)
def test_other_failures_refuse_nothing(provider: str, failure: UpstreamFailure) -> None:
    """Another field, another status, another protocol: the failure stands."""
    refused = RefusedFields()

    assert not refused.learn(call(provider), NONE, failure)
    assert refused.of(call(provider)) == NONE
