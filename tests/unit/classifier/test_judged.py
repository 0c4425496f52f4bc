"""The third stage's arithmetic: what a judge's word does to the probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import classifier
from classifier import TIERS, Classification, Tier
from classifier.explain import SHOWN
from classifier.judged import CHANCE, after_word, doubt, with_judge

MATRIX = ((0.0, 1.0, 4.0), (10.0, 0.0, 4.0), (60.0, 40.0, 0.0))

weights = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.01)
tiers = st.sampled_from(TIERS)
accuracies = st.floats(CHANCE, 0.99)


def spread(w: list[float]) -> dict[Tier, float]:
    """Weights as probabilities."""
    return {tier: value / sum(w) for tier, value in zip(TIERS, w, strict=True)}


def spoken(*probabilities: float) -> Classification:
    """A classification of the first stage with these probabilities."""
    known = dict(zip(TIERS, probabilities, strict=True))
    tier = classifier.choose(known, MATRIX)
    runner_up = max((t for t in TIERS if t is not tier), key=known.__getitem__)
    return Classification(tier, known[tier], known, runner_up, 10, "small-1", 1, continues=0.2)


@given(weights, tiers, accuracies)
def test_probabilities_stay_probabilities(w: list[float], said: Tier, accuracy: float) -> None:
    """They sum to 1 and none leaves 0 to 1, whatever is said."""
    found = after_word(spread(w), said, accuracy)

    assert sum(found.values()) == pytest.approx(1)
    assert all(0 <= p <= 1 for p in found.values())


@given(weights, tiers)
def test_a_judge_that_guesses_changes_nothing(w: list[float], said: Tier) -> None:
    """Right one time in three is what a die says."""
    before = spread(w)

    assert after_word(before, said, CHANCE) == pytest.approx(before)


@given(weights, tiers, accuracies)
def test_the_word_raises_the_tier_that_it_names(w: list[float], said: Tier, accuracy: float) -> None:
    """And never one of the others."""
    before = spread(w)

    after = after_word(before, said, accuracy)

    assert after[said] >= before[said] - 1e-12
    assert all(after[t] <= before[t] + 1e-12 for t in TIERS if t is not said)


@given(weights, tiers, accuracies, accuracies)
def test_a_better_judge_moves_more(w: list[float], said: Tier, one: float, two: float) -> None:
    """The probability of what it names grows with its accuracy."""
    worse, better = sorted((one, two))

    assert after_word(spread(w), said, better)[said] >= after_word(spread(w), said, worse)[said] - 1e-12


@given(weights, tiers, accuracies)
def test_the_classification_after_it_is_whole(w: list[float], said: Tier, accuracy: float) -> None:
    """Stage 3, tier of least expected cost, its probability, the likeliest other; the rest is kept."""
    before = spoken(*spread(w).values())

    after = with_judge(before, said, accuracy, MATRIX)

    assert after.stage == 3
    assert after.before is before
    assert after.tier is classifier.choose(after.probabilities, MATRIX)
    assert after.confidence == after.probabilities[after.tier]
    assert after.runner_up is not after.tier
    assert after.probabilities[after.runner_up] == max(p for t, p in after.probabilities.items() if t is not after.tier)
    assert (after.tokens, after.artifact, after.continues) == (before.tokens, before.artifact, before.continues)


def test_the_judge_is_among_the_features_of_a_decision() -> None:
    """With what it adds, between what else spoke for the new tier, and what would have been without it."""
    model = classifier.load(stages=1)
    before = model.classify("Refactor this Express middleware to use async/await", matrix=MATRIX)
    said = next(t for t in TIERS if t is not before.tier)

    after = with_judge(before, said, 0.99, MATRIX)

    named = {f.name: f.contribution for f in after.features}
    assert named[f"the judge says {said}"] == pytest.approx(math.log(0.99 / 0.005))
    assert after.tier is said
    assert after.needed == f'without "the judge says {said}" it would be {before.tier}'
    assert 2 <= len(after.features) <= SHOWN
    assert [abs(f.contribution) for f in after.features] == sorted(map(abs, named.values()), reverse=True)


def test_a_word_against_the_decision_speaks_against_it() -> None:
    """Where it does not carry the day its contribution is negative, and nothing would be another way without it."""
    before = spoken(0.02, 0.03, 0.95)

    after = with_judge(before, Tier.LIGHTWEIGHT, 0.5, MATRIX)

    assert after.tier is Tier.REASONING
    (feature,) = after.features
    assert feature.name == "the judge says lightweight"
    assert feature.contribution == pytest.approx(-math.log(2))
    assert after.needed == "nothing single would change it"


def test_doubt_is_the_expected_cost_as_a_share_of_the_greatest() -> None:
    """Sure: 0; the cheapest of three errors: its cost over the matrix's greatest."""
    assert doubt(spoken(1.0, 0.0, 0.0), MATRIX) == 0
    assert doubt(spoken(0.9, 0.1, 0.0), MATRIX) == pytest.approx(0.9 / 60)
    assert doubt(spoken(0.2, 0.3, 0.5), ((0.0,) * 3,) * 3) == 0


@pytest.mark.parametrize("accuracy", [0.2, 1.0, 1.5, float("nan")])
def test_an_accuracy_that_is_none_is_refused(accuracy: float) -> None:
    """Worse than a die, or infallible: one word would end all doubt."""
    with pytest.raises(ValueError, match="accuracy"):
        after_word(spread([1, 1, 1]), Tier.CODING, accuracy)
