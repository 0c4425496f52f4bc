"""Explanations: everything that decided is named, and what is said to change a decision does change it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from classifier import TIERS, Classification, Classifier, Tier, view_of
from classifier.artifact import load_artifact, shipped_path
from classifier.explain import NAMED, NOTHING_SINGLE, SHOWN, WHOLE
from classifier.features import BLOCK_SIZES, BLOCK_STARTS
from classifier.judged import with_judge
from classifier.scorer import LinearScorer
from classifier.structure import DESCRIPTIONS, STRUCTURE_NAMES

ARTIFACT = load_artifact(shipped_path())
MATRIX = ((0.0, 1.0, 4.0), (10.0, 0.0, 4.0), (60.0, 40.0, 0.0))
EVEN = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
ASKS = (
    "hi",
    "What is the capital of Peru?",
    "Translate 'good morning' into Welsh and say how it is spoken",
    "compare these two phones for me",
    "Summarise the minutes of our meeting in three lines: Ann reported on sales, Bo on hiring, Cy was ill.",
    "Write a parser for the tide tables of our harbour",
    "Refactor this Express middleware to use async/await",
    "why does `cache.get(key)` return None here?\n```python\ncache.set(key, 1)\n```",
    "Should we shard by tenant or by time? We have 4 TB, two regions and three engineers.",
    "Prove that there are infinitely many primes of the form 4k + 3.",
    "Warum kippt der Turm nicht um?",
)
BLOCK_OF = {"wording": 0, "phrasing": 1, "pasted": 2}
"""First word of a block's name, and its position."""


class Reads:
    """A second stage that says what it is told to, and counts how often it is asked."""

    def __init__(self, *logodds: float) -> None:
        self.logodds = np.array(logodds)
        self.asked = 0

    def logits(self, view: Any) -> np.ndarray:
        """As the real one's."""
        self.asked += 1
        return self.logodds


def both_stages(*logodds: float) -> Classifier:
    """The shipped first stage with a second that is asked about any request and says this."""
    return Classifier(replace(ARTIFACT, bound=-1.0), Reads(*logodds))  # type: ignore[arg-type]  # all that is asked of a second stage


def joined(first: LinearScorer, structure: np.ndarray, logodds: tuple[float, ...]) -> Classifier:
    """A first stage, what the join weighs its structure with, and a second stage."""
    assert ARTIFACT.stack is not None
    artifact = replace(ARTIFACT, bound=-1.0, first=first, stack=replace(ARTIFACT.stack, structure=structure))
    return Classifier(artifact, Reads(*logodds))  # type: ignore[arg-type]  # as in `both_stages`


def talk(last: str, first: str = "Design a schema migration for 4 TB without downtime") -> list[Mapping[str, Any]]:
    """A conversation whose newest ask is `last`."""
    return [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "First, replicate the tables."},
        {"role": "user", "content": last},
    ]


def log_ratio(found: Classification, tier: Tier, other: Tier) -> float:
    """Log-odds of one tier against another."""
    return math.log(found.probabilities[tier] / found.probabilities[other])


def blind_to(name: str, first: LinearScorer) -> LinearScorer:
    """A scorer that does not see what an explanation calls `name`."""
    structure, hashed = first.structure_weights.copy(), first.hashed_weights.copy()
    described = name.removeprefix("little or none: ")
    if described in DESCRIPTIONS.values():
        structure[[DESCRIPTIONS[n] for n in STRUCTURE_NAMES].index(described)] = 0
    else:
        block = BLOCK_OF[name.split()[0]]
        hashed[BLOCK_STARTS[block] : BLOCK_STARTS[block] + BLOCK_SIZES[block]] = 0
    return replace(first, structure_weights=structure, hashed_weights=hashed)


def turned_by(needed: str) -> tuple[list[str], Tier]:
    """What a sentence says is left out, and the tier that it says there would be."""
    said = re.search(r'without ("[^;]*") it would be (\w+)$', needed)
    assert said
    return re.findall(r'"([^"]*)"', said[1]), Tier(said[2])


@pytest.mark.parametrize("request_", [*ASKS, talk("go on"), talk("and now in two regions"), talk("what is 2 + 2?")])
def test_all_that_spoke_adds_up_to_the_probabilities(request_: str | Sequence[Mapping[str, Any]]) -> None:
    """With both readings of an ask in a conversation, the start and the second stage nothing is left unexplained."""
    for model in (Classifier(ARTIFACT), both_stages(0.5, -1.0, 2.0)):
        found = model.classify(request_)

        total = found.explain().scores.sum(axis=0)

        for tier in TIERS:
            spread = total[TIERS.index(tier)] - total[0]
            assert spread == pytest.approx(log_ratio(found, tier, TIERS[0]), abs=1e-6)


@pytest.mark.parametrize("ask", ASKS)
def test_the_second_stage_is_named_with_what_it_moved(ask: str) -> None:
    """Among at most six, by size, however small it is: the odds with it against the odds of the first alone."""
    model = both_stages(0.2, 0.3, 0.1)
    found = model.classify(ask, matrix=MATRIX)

    (word,) = [f for f in found.features if f.name.startswith(WHOLE)]

    alone = Classifier(ARTIFACT).classify(ask, matrix=MATRIX)
    expected = log_ratio(found, found.tier, found.runner_up) - log_ratio(alone, found.tier, found.runner_up)
    towards = found.tier if expected > 0 else found.runner_up
    assert found.stage == 2
    assert word.name == f"the reading of the whole request: like a {towards} request"
    assert word.contribution == pytest.approx(expected)
    assert len(found.features) <= SHOWN
    assert [abs(f.contribution) for f in found.features] == sorted(
        (abs(f.contribution) for f in found.features), reverse=True
    )


def test_a_decision_of_the_first_stage_alone_names_no_second() -> None:
    """Neither where it is not there nor where the first was sure."""
    sure = both_stages(9.0, 0.0, 0.0).classify("hi", matrix=((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    alone = Classifier(ARTIFACT).classify("hi")

    assert (sure.stage, alone.stage) == (1, 1)
    assert not [f for found in (sure, alone) for f in found.features if f.name.startswith(WHOLE)]


@pytest.mark.parametrize("ask", ASKS)
def test_a_tier_that_the_second_stage_changed_says_so(ask: str) -> None:
    """And which it would have been: that of the first stage alone."""
    alone = Classifier(ARTIFACT).classify(ask, matrix=MATRIX)
    others = [t for t in TIERS if t is not alone.tier]
    logodds = [12.0 if t is others[-1] else 0.0 for t in TIERS]

    found = both_stages(*logodds).classify(ask, matrix=MATRIX)

    assert found.tier is not alone.tier
    assert found.needed.endswith(f"without the reading of the whole request it would be {alone.tier}")


@pytest.mark.parametrize("matrix", [MATRIX, EVEN])
def test_what_is_said_to_change_a_first_stage_decision_changes_it(matrix: Sequence[Sequence[float]]) -> None:
    """A scorer that does not see what the sentence names gives the tier that it names."""
    model, checked = Classifier(ARTIFACT), 0

    for ask in ASKS:
        found = model.classify(ask, matrix=matrix)
        if found.needed.endswith(NOTHING_SINGLE):
            continue
        names, tier = turned_by(found.needed)
        blind = ARTIFACT.first
        for name in names:
            blind = blind_to(name, blind)
        without = Classifier(replace(ARTIFACT, first=blind)).classify(ask, matrix=matrix)
        assert 1 <= len(names) <= NAMED
        assert (ask, without.tier) == (ask, tier)
        checked += 1

    assert checked >= 2


def test_what_changes_a_decision_of_both_stages_is_weighed_as_their_join_weighs_it() -> None:
    """The first stage's part counts less in the join than by itself, and its structure is weighed there again."""
    assert ARTIFACT.stack is not None
    weighty = ARTIFACT.stack.structure * 20  # the learnt ones are so small that they seldom turn anything
    checked = 0

    for ask, logodds in product(ASKS, product((0.0, 0.8, 1.6), repeat=3)):
        found = joined(ARTIFACT.first, weighty, logodds).classify(ask, matrix=MATRIX)
        if WHOLE in found.needed or found.needed.endswith(NOTHING_SINGLE):
            continue
        names, tier = turned_by(found.needed)
        blind = ARTIFACT.first
        for name in names:
            blind = blind_to(name, blind)
        unseen = (blind.structure_weights == 0).all(axis=1, keepdims=True)
        without = joined(blind, np.where(unseen, 0.0, weighty), logodds).classify(ask, matrix=MATRIX)
        assert without.tier is tier
        checked += 1

    assert checked >= 20


def test_a_decision_that_nothing_changes_says_so() -> None:
    """No feature is named that would not have mattered."""
    found = Classifier(ARTIFACT).classify("hi", matrix=((0.0, 9.0, 9.0), (0.0, 9.0, 9.0), (0.0, 9.0, 9.0)))

    assert found.tier is Tier.LIGHTWEIGHT
    assert found.needed == NOTHING_SINGLE


def test_a_tier_chosen_for_the_cost_of_error_says_so() -> None:
    """Where the runner-up is likelier the contributions speak against the tier, and the sentence tells why."""
    found = both_stages(0.0, 2.0, 1.0).classify("Write a parser for the tide tables of our harbour", matrix=MATRIX)

    assert (found.tier, found.runner_up) == (Tier.REASONING, Tier.CODING)
    assert found.probabilities[Tier.CODING] > found.confidence
    assert found.needed.startswith("coding is likelier, but its errors cost more; ")


def test_an_ask_that_was_read_as_a_follow_up_says_so() -> None:
    """Its features are those of the ask that it continues, too."""
    found = Classifier(ARTIFACT).classify(talk("go on"))

    assert found.continues >= 0.5
    assert found.needed.startswith("read as a follow-up of the ask before it; ")


def test_a_new_ask_and_a_tool_loop_are_no_follow_ups() -> None:
    """The one has another reading among what spoke, the other has one ask only."""
    loop = [*talk("rename priceOf")[2:], {"role": "assistant", "tool_calls": [{"id": "1"}]},
            {"role": "tool", "tool_call_id": "1", "content": "ok"}]  # fmt: skip

    new, inside = (
        Classifier(ARTIFACT).classify(talk("what is the capital of Peru?")),
        both_stages(0, 0, 0).classify(loop),
    )

    assert new.continues < 0.5
    assert "it may continue the ask before it" in new.explain().names
    assert "follow-up" not in new.needed + inside.needed


def test_explaining_asks_no_stage_again() -> None:
    """What it needs was there when the tier was decided."""
    model = both_stages(0.2, 0.3, 0.1)
    found = model.classify(view_of(ASKS[5]).ask)

    assert found.features
    assert found.needed

    assert isinstance(model.deep, Reads)
    assert model.deep.asked == 1


@pytest.mark.parametrize("said", TIERS)
@pytest.mark.parametrize("ask", ASKS)
def test_after_a_judge_the_second_stage_is_still_named(ask: str, said: Tier) -> None:
    """Both later words are shown, and what is said to change the tier counts the judge's word."""
    before = both_stages(0.2, 0.3, 0.1).classify(ask, matrix=MATRIX)

    after = with_judge(before, said, 0.8, MATRIX)

    names = [f.name for f in after.features]
    assert len(names) <= SHOWN
    assert f"the judge says {said}" in names
    assert [n for n in names if n.startswith(WHOLE)]
    if after.tier is not before.tier:
        assert after.needed.endswith(f'without "the judge says {said}" it would be {before.tier}')
    else:
        assert "judge" not in after.needed or " and " in after.needed


def test_who_asked_before_does_not_matter() -> None:
    """What is shown is kept by tier and runner-up, and a later word starts afresh."""
    early, late = (both_stages(0.2, 0.3, 0.1).classify(ASKS[5], matrix=MATRIX) for _ in range(2))
    before = [early.explain().features(one, other) for one in TIERS for other in TIERS if one is not other]

    judged_early, judged_late = (with_judge(spoken, Tier.LIGHTWEIGHT, 0.8, MATRIX) for spoken in (early, late))

    assert len(set(before)) == len(before)
    assert (early.features, early.needed) == (late.features, late.needed)
    assert (judged_early.features, judged_early.needed) == (judged_late.features, judged_late.needed)
