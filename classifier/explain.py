"""Explanations: what spoke for a decision, in words a user understands, and what would have changed it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from classifier.artifact import Artifact
from classifier.policy import cheapest
from classifier.scorer import Floats, Scored
from classifier.structure import DESCRIPTIONS, STRUCTURE_NAMES
from classifier.tiers import TIERS, Tier

Names = tuple[str | tuple[str, str], ...]
Three = tuple[float, float, float]
"""A number for each tier, as plain floats: arrays of three cost more to handle than to compute."""

SHOWN = 6
NAMED = 3
"""Most features that the sentence about what would have changed the tier names together."""

WHOLE = "the reading of the whole request"
FOLLOW_UP = "read as a follow-up of the ask before it"
NOTHING_SINGLE = "nothing single would change it"
NOTHING_TO_JUDGE = "nothing to judge, which is never lightweight"

_SHAPES = tuple((f"little or none: {DESCRIPTIONS[name]}", DESCRIPTIONS[name]) for name in STRUCTURE_NAMES)
"""What a structure feature below its mean says, and one above."""

_BLOCK_WORDS = (
    "wording of the ask is like {tier} requests",
    "phrasing and word forms are like {tier} requests",
    "pasted material is like that of {tier} requests",
)
_START = "every request starts nearer to {tier}"
"""The bias of the first stage: nothing of the request, so that nothing can be without it."""
_SECOND_WORDS = f"{WHOLE}: like a {{tier}} request"
_LEAST = 1e-9
"""What is less likely counts as this likely, and what spoke with fewer log-odds did not speak."""
_OTHER_READING = ("it may continue the ask before it", "it may be a new ask")
"""What the less likely reading of an ask in a conversation is: where the likelier is a new ask, where a follow-up."""
_OF_FIRST: tuple[Names, ...] = tuple((*_SHAPES, *_BLOCK_WORDS, other, _START) for other in _OTHER_READING)
"""Names of all that speaks in the first stage, in the order of its scores."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature that spoke.

    Attributes:
        name: In words, such as "stack trace or log present".
        contribution: Log-odds that it adds for the chosen tier against the runner-up; negative: it speaks against.
    """

    name: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision of the stages was made from.

    Attributes:
        scored: The likelier reading as the first stage sees it.
        carried: Whether that is a follow-up: the ask together with the one that it continues.
        signal: Whether there was something to judge.
        first: (3,) probabilities of the first stage, over both readings.
        joined: (3,) probabilities of both stages, or None where the second was not asked.
        costs: The cost matrix in force.
    """

    scored: Scored
    carried: bool
    signal: bool
    first: Floats
    joined: Floats | None
    costs: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that spoke for a decision.

    Attributes:
        names: Of the k that spoke, in words; ``{tier}`` stands for the tier that it speaks for. Of a structure feature
            what it says below its mean, and above.
        scores: (k, 3) log-odds that each adds to the tiers.
        effects: (k, 3) what the log-probabilities would lose without it: the join of both stages weighs the first anew.
        scaled: (s,) structure features, with which the k begin, as the first stage sees them.
        logs: Log-probabilities of the decision.
        costs: The cost matrix in force.
        stages: How many of the last of the k are the word of a whole stage after the first: these are always shown.
        carried: Whether the ask was read as a follow-up.
        signal: Whether there was something to judge.
    """

    names: Names = ()
    scores: Floats = field(default_factory=partial(np.zeros, (0, 3)))
    effects: Floats = field(default_factory=partial(np.zeros, (0, 3)))
    scaled: Floats = field(default_factory=partial(np.zeros, 0))
    logs: Three = (0.0, 0.0, 0.0)
    costs: Sequence[Sequence[float]] = ((0.0,) * 3,) * 3
    stages: int = 0
    carried: bool = False
    signal: bool = True
    # By tier and runner-up, of which there are six pairs: features and sentence ask for the same one.
    _shown: dict[tuple[Tier, Tier], dict[int, float]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def heard(self, name: str, before: Iterable[float], after: Iterable[float]) -> Explanation:
        """The explanation with the word of one more stage.

        Args:
            name: What it says; ``{tier}`` stands for the tier that it speaks for.
            before: Probabilities of the three tiers until now.
            after: Their probabilities with it.
        """
        logs = _logs(after)
        moved = [_less(logs, _logs(before))]
        return replace(
            self,
            names=(*self.names, name),
            scores=np.concatenate((self.scores, moved)),
            effects=np.concatenate((self.effects, moved)),
            logs=logs,
            stages=self.stages + 1,
        )

    def features(self, tier: Tier, runner_up: Tier) -> tuple[Feature, ...]:
        """The strongest for and against a tier, strongest first, at most `SHOWN`.

        Args:
            tier: The chosen tier.
            runner_up: The tier it is compared with.
        """
        # Named after the tier that it speaks for, so that the words are true for both signs.
        spoken = self._spoken(tier, runner_up)
        return tuple([Feature(self._named(i, tier if spoken[i] > 0 else runner_up), spoken[i]) for i in spoken])

    def needed(self, tier: Tier, runner_up: Tier) -> str:
        """What would have changed the decision for `tier`, in words; "" where nothing spoke."""
        if not self.signal:
            return NOTHING_TO_JUDGE
        if not self.names:
            return ""
        said = [FOLLOW_UP] if self.carried else []
        if self.logs[TIERS.index(runner_up)] > self.logs[TIERS.index(tier)]:
            said.append(f"{runner_up} is likelier, but its errors cost more")
        return "; ".join((*said, self._turning(tier, runner_up)))

    def _turning(self, tier: Tier, runner_up: Tier) -> str:
        """What the decision hangs on: one stage, one feature, or the strongest two or three together."""
        spoken = self._spoken(tier, runner_up)
        supporting = [i for i, amount in spoken.items() if amount > 0 and self.names[i] != _START]
        singles = [*range(len(self.names) - 1, len(self.names) - self.stages - 1, -1), *supporting]
        together = [supporting[:n] for n in range(2, min(NAMED, len(supporting)) + 1)]
        effects = dict(zip(singles, self.effects.take(singles, axis=0).tolist(), strict=True))
        chosen = TIERS.index(tier)
        for left_out in [*([i] for i in singles), *together]:
            turned = self._without(map(effects.__getitem__, left_out))
            if turned != chosen:
                *most, last = (self._mentioned(i, tier if spoken[i] > 0 else runner_up) for i in left_out)
                return f"without {', '.join(most)}{' and ' if most else ''}{last} it would be {TIERS[turned]}"
        return NOTHING_SINGLE

    def _without(self, effects: Iterable[Sequence[float]]) -> int:
        """The tier of least expected cost, by position, without the effects of what spoke."""
        z1, z2, z3 = self.logs
        for e1, e2, e3 in effects:
            z1, z2, z3 = z1 - e1, z2 - e2, z3 - e3
        most = max(z1, z2, z3)
        return cheapest(math.exp(z1 - most), math.exp(z2 - most), math.exp(z3 - most), self.costs)

    def _named(self, position: int, tier: Tier) -> str:
        """What spoke, for a tier. Told when somebody asks: few of the k are ever named."""
        name = self.names[position]
        return (name if isinstance(name, str) else name[int(self.scaled[position] > 0)]).replace("{tier}", tier)

    def _mentioned(self, position: int, tier: Tier) -> str:
        """A feature within a sentence; for which tier the second stage spoke, the sentence says itself."""
        return WHOLE if self.names[position] == _SECOND_WORDS else f'"{self._named(position, tier)}"'

    def _spoken(self, tier: Tier, runner_up: Tier) -> dict[int, float]:
        """Position and contribution of what is shown, strongest first."""
        shown = self._shown.get((tier, runner_up))
        if shown is None:
            shown = self._shown[tier, runner_up] = self._strongest(TIERS.index(tier), TIERS.index(runner_up))
        return shown

    def _strongest(self, chosen: int, other: int) -> dict[int, float]:
        spread = self.scores[:, chosen] - self.scores[:, other]
        of_first, left = spread.size - self.stages, max(0, SHOWN - self.stages)
        strongest = np.abs(spread[:of_first]).argsort()[of_first - min(left, of_first) :].tolist()
        amounts = spread.tolist()
        spoke = [(i, amounts[i]) for i in strongest if abs(amounts[i]) > _LEAST]
        spoke += [(i, amounts[i]) for i in range(of_first, spread.size)]
        return dict(sorted(spoke, key=_by_size))


def explained(artifact: Artifact, decided: Decided) -> Explanation:
    """The explanation of what an artifact's stages decided.

    The scores of all that spoke add up to the log-probabilities, but for what all three tiers have in common.

    Args:
        artifact: The artifact.
        decided: What the decision was made from.
    """
    scorer, scored, stack, calibration = artifact.first, decided.scored, artifact.stack, artifact.calibration
    names = _OF_FIRST[decided.carried]
    scores = np.empty((len(names), 3))
    np.multiply(scorer.contributions(scored), calibration.slope, out=scores[:-2])
    scores[-1] = calibration.slope * scorer.bias + calibration.offset
    scores[-2] = 0.0  # so far: what both readings said, less what the likelier alone says, which is the sum of the rest
    logs = _logs(decided.first.tolist())
    scores[-2] = _less(logs, _logs_of(scores.sum(axis=0).tolist()))
    of_first = Explanation(
        names, scores, scores, scored.scaled, logs, decided.costs, carried=decided.carried, signal=decided.signal
    )
    if decided.joined is None or stack is None:
        return of_first
    effects = stack.first * scores
    effects[: len(STRUCTURE_NAMES)] += scored.scaled[:, None] * stack.structure
    return replace(of_first, effects=effects).heard(_SECOND_WORDS, decided.first.tolist(), decided.joined.tolist())


def _by_size(spoken: tuple[int, float]) -> float:
    return -abs(spoken[1])


def _logs(probabilities: Iterable[float]) -> Three:
    p1, p2, p3 = probabilities
    return math.log(max(p1, _LEAST)), math.log(max(p2, _LEAST)), math.log(max(p3, _LEAST))


def _logs_of(logits: Iterable[float]) -> Three:
    """The log-probabilities of three logits."""
    z1, z2, z3 = logits
    most = max(z1, z2, z3)
    e1, e2, e3 = math.exp(z1 - most), math.exp(z2 - most), math.exp(z3 - most)
    total = e1 + e2 + e3
    return _logs((e1 / total, e2 / total, e3 / total))


def _less(logs: Three, others: Three) -> Three:
    """The differences of two."""
    (a1, a2, a3), (b1, b2, b3) = logs, others
    return a1 - b1, a2 - b2, a3 - b3
