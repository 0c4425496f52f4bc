"""Evidence from operation: hits that were compared with a fresh answer, per scope, and the similarity that they allow.

vCache's idea (Schroeder et al. 2025, "vCache: Verified Semantic Prompt Caching"): the operator states the share of
wrong hits that is acceptable, and the cache takes the lowest similarity that keeps to it by all that is known. Known
are, per caller (or group), tier and language: the verdicts of a judge in operation, on hits and on asks just below the
similarity that is taken, and as prior evidence the measured pairs of the embedding model, shifted by their margin.

The bound is Clopper and Pearson's, one-sided. A judge that calls different answers the same with a rate of at most
``m`` shows at least ``1 - m`` of the wrong hits, so the bound is divided by that (Rogan and Gladen 1978, with no false
alarms, which is the cautious side); both bounds are taken at 97.5 %, so that together they hold at 95 %. A judge whose
error was never measured, and feedback, can only count against hits.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from service.cache.evidence import CONFIDENCE, MARGIN, Evidence, upper_bound
from service.cache.judge import JudgeError
from service.cache.ledger import Ledger

log = logging.getLogger("autotier.cache")

GRID = tuple(round(0.40 + step / 100, 2) for step in range(60))
NEAR = "near"
"""In the place of the language: near duplicates, which have no similarity."""
_ALPHA = (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one scope.

    Attributes:
        scope: ``caller:NAME/TIER/LANGUAGE``, or ``.../near``.
        taken: The lowest similarity that is served, or None: nothing is.
        verified: Verdicts at or above it, or all where nothing is served; ``wrong`` of them said different.
        bound: Upper bound of the share of wrong hits there, the prior evidence included.
    """

    scope: str
    taken: float | None
    verified: int
    wrong: int
    bound: float

    def public(self) -> dict[str, str | float | None]:
        """For ``/v1/admin/cache``."""
        return {
            "scope": self.scope,
            "similarity": self.taken,
            "verified": self.verified,
            "wrong": self.wrong,
            "bound": round(self.bound, 5),
        }


class Verified:
    """Counts of verdicts by scope and similarity, and what follows from them. Event loop only.

    Args:
        evidence: Of the embedding model, by language.
        languages: Those that are on by it.
        max_error: Share of wrong hits that the operator accepts.
        error: The judge's, or None: never measured.
        ledger: Keeps counts beyond this process.
    """

    def __init__(
        self,
        evidence: Mapping[str, Evidence],
        languages: frozenset[str],
        max_error: float,
        error: JudgeError | None,
        ledger: Ledger,
    ) -> None:
        self.max_error = max_error
        self.error = error
        self._evidence = {language: evidence[language] for language in languages}
        self._ledger = ledger
        self._known: Counter[str] = Counter()
        self._new: Counter[str] = Counter()
        self._taken: dict[str, float | None] = {}
        self._is_down_said = False

    def measured(self, error: JudgeError | None) -> None:
        """The judge was measured anew."""
        self.error = error
        self._taken.clear()

    @property
    def trust(self) -> float:
        """Least share of wrong hits that the judge shows; 1.0 where only its bad words count."""
        return 1.0 if self.error is None else 1.0 - self.error.missed_bound(1 - _ALPHA)

    def taken(self, scope: str) -> float | None:
        """The lowest similarity at which an ask of this scope is served; None: at none."""
        if scope not in self._taken:
            self._taken[scope] = self._lowest(scope)
        return self._taken[scope]

    def add(self, scope: str, similarity: float, *, same: bool) -> None:
        """One verdict. That answers are the same counts only from a judge whose error is known."""
        if same and self.error is None:
            return
        place = max(0, min(int(round(similarity * 100, 6)) - 40, len(GRID) - 1))
        self._new[f"{scope}|{place}|{'same' if same else 'wrong'}"] += 1
        self._taken.pop(scope, None)

    async def sync(self) -> None:
        """Brings new counts to the ledger and takes over those of other replicas; where that fails, later."""
        more, self._new = self._new, Counter()
        try:
            everything = await self._ledger.add(self._known, more)
        except Exception as error:  # noqa: BLE001  # evidence is kept here until the ledger is back
            self._new.update(more)
            if not self._is_down_said:
                log.error("verified hits are counted in this process alone: %s", str(error)[:200])
            self._is_down_said = True
            return
        self._is_down_said = False
        if everything != self._known:
            self._known = Counter(everything)
            self._taken.clear()

    def standings(self) -> list[Standing]:
        """What is known of each scope that has verdicts."""
        scopes = {field.split("|")[0] for field in (*self._known, *self._new)}
        return [self._standing(scope) for scope in sorted(scopes)]

    def totals(self) -> tuple[int, int]:
        """Verdicts of all scopes that count, and how many of them said different."""
        counted = self._known + self._new
        return counted.total(), sum(n for field, n in counted.items() if field.endswith("|wrong"))

    def bound(self) -> float:
        """Upper bound of the share of wrong hits over all scopes, from verdicts alone; 1.0 without any."""
        tried, wrong = self.totals()
        return min(upper_bound(wrong, tried, 1 - _ALPHA) / max(self.trust, 1e-9), 1.0) if tried else 1.0

    def _standing(self, scope: str) -> Standing:
        language = scope.rsplit("/", 1)[-1]
        taken = 0.4 if language == NEAR else self.taken(scope)
        tried, wrong = self._from(scope, 0 if taken is None else GRID.index(taken))
        prior = (0, 0) if taken is None or language == NEAR else self._prior(language, taken)
        n, errors = tried + prior[0], wrong + prior[1]
        bound = min(upper_bound(errors, n, 1 - _ALPHA) / max(self.trust, 1e-9), 1.0) if n else 1.0
        return Standing(scope, None if language == NEAR else taken, tried, wrong, bound)

    def _lowest(self, scope: str) -> float | None:
        language = scope.rsplit("/", 1)[-1]
        if language not in self._evidence:
            return None
        accepted = self.max_error * self.trust
        for place, cosine in enumerate(GRID):
            tried, wrong = self._from(scope, place)
            prior_tried, prior_wrong = self._prior(language, cosine)
            if is_below(wrong + prior_wrong, tried + prior_tried, accepted):
                return cosine
        return None

    def _prior(self, language: str, cosine: float) -> tuple[int, int]:
        """Pairs served at a similarity, and those of them that differ. The margin makes up for pairs being pairs."""
        curve = self._evidence[language].curve
        below = [point for point in curve if round(point[0] + MARGIN, 2) <= cosine]
        _, wrong, right = below[-1] if below else curve[0]
        return wrong + right, wrong

    def _from(self, scope: str, place: int) -> tuple[int, int]:
        """Verdicts at or above a place of the grid, and those of them that said different."""
        same = wrong = 0
        for counts in (self._known, self._new):
            for at in range(place, len(GRID)):
                same += counts.get(f"{scope}|{at}|same", 0)
                wrong += counts.get(f"{scope}|{at}|wrong", 0)
        return same + wrong, wrong


def is_below(errors: int, tried: int, accepted: float) -> bool:
    """Whether the upper bound of a rate is at most ``accepted``: that few errors would be rarer than 2.5 % there.

    The same as comparing `upper_bound`, without its inverse, which takes too long for the event loop.
    """
    if not tried or errors >= tried * accepted or accepted <= 0:
        return False
    total = 0.0
    for k in range(errors + 1):
        total += math.exp(
            math.lgamma(tried + 1) - math.lgamma(k + 1) - math.lgamma(tried - k + 1)
            + k * math.log(accepted) + (tried - k) * math.log1p(-accepted)
        )  # fmt: skip
    return total <= _ALPHA
