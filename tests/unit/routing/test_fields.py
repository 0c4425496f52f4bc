"""Which fields pass, and to whom."""

from __future__ import annotations

import pytest

from service.config import Configuration, Deployment
from service.errors import UnsupportedField
from service.routing.fields import NEVER, changes_answer, check_names, expressed, unexpressed


def ollama(configuration: Configuration) -> Deployment:
    """The seed's first lightweight deployment: an Ollama."""
    return configuration.tiers.lightweight.deployments[0]


def cloud(configuration: Configuration) -> Deployment:
    """The seed's last coding deployment: OpenAI."""
    return configuration.tiers.coding.deployments[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "me"), ("store", True), ("service_tier", "flex"), ("metadata", {"a": "b"}), ("n", 1),
        ("frequency_penalty", 0), ("presence_penalty", 0.0), ("tool_choice", "auto"), ("logprobs", False),
        ("logit_bias", {}), ("logit_bias", None), ("top_logprobs", None), ("parallel_tool_calls", True),
    ],
)  # fmt: skip
def test_fields_that_do_not_change_the_answer_are_left_out_and_named(
    configuration: Configuration, name: str, value: object
) -> None:
    """A harmless or default field removes no deployment, and is named where it had a value."""
    body = {"messages": [], name: value}
    deployment = ollama(configuration)

    sent, dropped = expressed(body, deployment)

    assert unexpressed(body, deployment) == ()
    assert name not in sent
    assert dropped == ((name,) if value is not None else ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2), ("logprobs", True), ("logit_bias", {"1": 1}), ("frequency_penalty", 0.5), ("n", True),
        ("tool_choice", "required"), ("tool_choice", {"type": "function"}), ("parallel_tool_calls", False),
    ],
)  # fmt: skip
def test_fields_that_change_the_answer_are_a_capability(configuration: Configuration, name: str, value: object) -> None:
    """Such a field removes a deployment that cannot express it, and passes to one that can."""
    body = {"messages": [], name: value}

    assert changes_answer(name, value)
    assert unexpressed(body, ollama(configuration)) == (name,)
    assert unexpressed(body, cloud(configuration)) == ()
    assert expressed(body, cloud(configuration))[0][name] == value


@pytest.mark.parametrize("name", sorted(NEVER - {"messages", "model", "stream", "stream_options"}))
def test_control_fields_are_refused_even_where_configured(name: str) -> None:
    """Addresses, keys and litellm's controls are refused by name whatever a configuration lists."""
    with pytest.raises(UnsupportedField) as caught:
        check_names({"messages": [], name: 1}, frozenset({name}))

    assert caught.value.param == name
    assert caught.value.status == 400


def test_extra_fields_go_to_those_that_list_them(configuration: Configuration) -> None:
    """A field outside OpenAI's passes only to deployments that list it, and removes the others."""
    plain = cloud(configuration)
    listing = plain.model_copy(update={"extra_fields": ("top_k",)})
    body = {"messages": [], "top_k": 5}

    check_names(body, frozenset({"top_k"}))

    assert unexpressed(body, plain) == ("top_k",)
    assert unexpressed(body, listing) == ()
    assert expressed(body, listing)[0]["top_k"] == 5
    with pytest.raises(UnsupportedField):
        check_names(body, frozenset())


@pytest.mark.parametrize(
    ("known", "asked", "wanted"),
    [
        (None, {"max_tokens": 5}, {"max_tokens": 5}),
        (None, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        (("max_completion_tokens",), {"max_tokens": 5}, {"max_completion_tokens": 5}),
        (("max_tokens",), {"max_completion_tokens": 7}, {"max_tokens": 7}),
        (("max_completion_tokens",), {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
    ],
)
def test_the_limit_of_the_answer_goes_under_the_name_that_the_deployment_knows(
    configuration: Configuration, known: tuple[str, ...] | None, asked: dict[str, int], wanted: dict[str, int]
) -> None:
    """Two names, one limit: nothing is removed or dropped for the name alone, and the newer one wins."""
    plain = cloud(configuration)
    deployment = plain.model_copy(
        update={"capabilities": plain.capabilities.model_copy(update={"fields": known})} if known else {}
    )

    sent, dropped = expressed({"messages": [], **asked}, deployment)

    assert unexpressed({"messages": [], **asked}, deployment) == ()
    assert sent == {"messages": [], **wanted}
    assert dropped == ()
