"""What a caller does next speaks about the answer before."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from classifier import Tier, view_of
from service.config.learning import ImplicitSettings, Learning
from service.decisions.features import kept_features, kept_row
from service.decisions.records import FeedbackRecord
from service.learning.implicit import Conclusions, Seen

ASK = "Plan the move of our billing service to another database"
OTHER = "Why does the sea look blue in the morning and grey at night?"
LOOP = [
    {"role": "user", "content": ASK},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "ls", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "a b c"},
]
Make = Callable[..., Seen]


def features(text: Any, carried: bool = False) -> dict[str, Any]:
    """What is kept of an ask."""
    return {**kept_features(view_of(text), None, "en"), "carried": carried}


@pytest.fixture
def seen() -> Make:
    """Makes decisions, one minute apart."""
    numbers = itertools.count(1)

    def make(text: Any = ASK, *, carried: bool = False, **changed: Any) -> Seen:
        number = next(numbers)
        values: dict[str, Any] = {
            "id": f"dec_{number}",
            "created_s": 60.0 * number,
            "caller": "anna",
            "tier": Tier.LIGHTWEIGHT,
            "reason": "classifier",
            "outcome": "answered",
            "named": None,
            "kept": kept_row(features(text, carried)),
            "regeneration": False,
            "follows": None,
            "cut_short": False,
            "empty": False,
        }
        return Seen(**{**values, **changed})

    return make


def drawn(*decisions: Seen, settings: Learning | None = None) -> list[tuple[str, str, str | None]]:
    """(about, source, tier) of all conclusions."""
    conclusions = Conclusions(settings or Learning())
    return [_told(one) for decision in decisions for one in conclusions.see(decision)]


def _told(one: FeedbackRecord) -> tuple[str, str, str | None]:
    return one.decision_id, one.source, one.correct_tier


def named(tier: Tier) -> dict[str, Any]:
    """A request that names its tier."""
    return {"named": tier, "tier": tier, "reason": "override"}


def test_an_override_that_repeats_an_automatic_request(seen: Make) -> None:
    """The named tier was right for the request before; also where words were added."""
    assert drawn(seen(), seen(**named(Tier.REASONING))) == [("dec_1", "override", "reasoning")]
    assert drawn(seen(), seen(ASK + ", step by step please", **named(Tier.CODING))) == [
        ("dec_3", "override", "coding")
    ]  # fmt: skip


def test_an_override_of_something_else_says_nothing(seen: Make) -> None:
    """Another ask, another caller, too late, the same tier as before, or one that was named before too."""
    assert drawn(seen(), seen(OTHER, **named(Tier.REASONING))) == []
    assert drawn(seen(), seen(caller="ben", **named(Tier.REASONING))) == []
    assert drawn(seen(), seen(created_s=9_000.0, **named(Tier.REASONING))) == []
    assert drawn(seen(), seen(**named(Tier.LIGHTWEIGHT))) == []
    assert drawn(seen(**named(Tier.LIGHTWEIGHT)), seen(**named(Tier.REASONING))) == []


def test_a_regeneration_asks_for_one_tier_up(seen: Make) -> None:
    """It speaks about the latest answer to the same messages; on the highest tier it says nothing."""
    again = {"regeneration": True, "reason": "conversation", "tier": Tier.CODING}

    assert drawn(seen(), seen(**again)) == [("dec_1", "regeneration", "coding")]
    assert drawn(seen(tier=Tier.REASONING), seen(regeneration=True, tier=Tier.REASONING)) == []


def test_a_failed_answer_says_nothing(seen: Make) -> None:
    """Whoever asks again after a 503 does not complain about the tier."""
    assert drawn(seen(outcome="failed"), seen(regeneration=True)) == []


def test_the_same_ask_with_more_words_is_a_re_ask(seen: Make) -> None:
    """One tier up for the first one."""
    assert drawn(seen(), seen(ASK + ", and say what may break")) == [("dec_1", "re_ask", "coding")]


@pytest.mark.parametrize("text", [ASK, ASK.replace("billing", "mailing"), OTHER])
def test_repeats_variations_and_other_asks_are_no_re_ask(seen: Make, text: str) -> None:
    """Equal requests are a script's or a cache's; another word is another question."""
    assert drawn(seen(), seen(text)) == []


def test_a_script_that_varies_its_ask_is_no_re_ask(seen: Make) -> None:
    """More than a few similar asks within the window are not somebody who is dissatisfied."""
    asks = [seen(f"{ASK} {' '.join(['with', 'care', 'now', 'and', 'then', 'again'][:n])}") for n in range(0, 7, 2)]
    last = seen(ASK + " with care now and then again and again and for good")

    about = drawn(*asks, last)

    assert not any(source == "re_ask" and one == asks[-1].id for one, source, _ in about)


def test_a_follow_up_is_no_re_ask(seen: Make) -> None:
    """What carries on holds the words of what it continues."""
    assert drawn(seen(), seen(ASK + "\nand in Rust?", carried=True, follows="dec_1")) == []


def test_a_conversation_that_goes_up(seen: Make) -> None:
    """The next turn names a higher tier, or a follow-up was judged to need one; a new topic says nothing."""
    up: dict[str, Any] = {"tier": Tier.CODING, "follows": "dec_1"}

    assert drawn(seen(), seen(OTHER, **{**named(Tier.CODING), "follows": "dec_1"})) == [
        ("dec_1", "escalation", "coding")
    ]
    assert drawn(seen(id="dec_1"), seen(ASK + "\nnow prove it", carried=True, **up)) == [
        ("dec_1", "escalation", "coding")
    ]
    assert drawn(seen(id="dec_1"), seen(OTHER, **up)) == []


def test_short_and_empty_answers(seen: Make) -> None:
    """An answer that the host cut short, or left empty, speaks for one tier up."""
    assert drawn(seen(cut_short=True)) == [("dec_1", "truncated", "coding")]
    assert drawn(seen(empty=True)) == [("dec_2", "empty", "coding")]


def test_a_forced_tier_is_no_choice(seen: Make) -> None:
    """What privacy or context decided was not the classifier's error."""
    assert drawn(seen(reason="privacy", cut_short=True)) == []


def test_a_tool_loop_says_nothing(seen: Make) -> None:
    """An agent goes on with the same ask: nobody asked again."""
    assert drawn(seen(), seen(LOOP, follows="dec_1", tier=Tier.REASONING, named=Tier.REASONING)) == []


def test_a_conversation_that_ends_confirms_its_tier(seen: Make) -> None:
    """Only after silence, only from the second turn on, and only if nothing came after."""
    conclusions = Conclusions(Learning(ended_after_s=600))
    turns = [seen(), seen(OTHER, follows="dec_1"), seen(ASK + "\nmore", carried=True, follows="dec_2")]
    for turn in turns:
        conclusions.see(turn)

    early, late = conclusions.passed(779.0), conclusions.passed(780.0)

    assert early == []
    assert [_told(one) for one in late] == [("dec_3", "ended", "lightweight")]
    assert conclusions.passed(9_000.0) == []


def test_a_source_that_is_off_draws_nothing(seen: Make) -> None:
    """Others go on."""
    settings = Learning(implicit=ImplicitSettings.model_validate({"truncated": "off", "empty": {"weight": 0.25}}))

    found = list(Conclusions(settings).see(seen(cut_short=True, empty=True)))

    assert [(one.source, one.weight) for one in found] == [("empty", 0.25)]


def test_a_conclusion_names_the_request_that_shows_it(seen: Make) -> None:
    """As its comment, so that extra turns can be counted."""
    conclusions = Conclusions(Learning())
    conclusions.see(seen())

    found = conclusions.see(seen(**named(Tier.CODING)))

    assert [one.comment for one in found] == ["dec_2"]
