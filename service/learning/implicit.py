"""Labels that nobody said: what a caller does next speaks about the answer before.

A pass over decisions in the order of their time, one window of minutes per caller in memory. It sees features, never
text: two asks are the same if their words are, and one is the other put again if its words are the other's with some
added or taken away. On the 3,640 pairs of ``data/cache_pairs.jsonl.gz`` at most 2.1 % of any kind of near miss
(another number, unit, name, ...) pass for the latter, but 66 % of those with an added "not"; paraphrases by meaning
alone are not seen.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from classifier import TIERS, Tier
from classifier.features import BLOCK_STARTS, STRUCTURE_NAMES
from service.config.learning import Learning
from service.decisions.features import KeptRow
from service.decisions.records import FeedbackRecord
from service.decisions.resolving import one_up

MOST_PER_CALLER = 64
"""Requests of one caller that are compared with a new one, the newest ones."""

MOST_CALLERS = 4_096
MOST_OPEN = 16_384
MOST_AGAIN = 3
"""Times that an ask is put again within the window; more is a script that varies its parameters."""

LEAST_WORDS = 4
"""Hashed word columns of the shorter ask below which "the same with some words added" says nothing."""

_TOOL_LOOP = STRUCTURE_NAMES.index("tool_loop")
_CHOSEN = ("classifier", "conversation", "default", "degraded", "experiment")
"""Reasons that chose a tier; others were forced by a constraint."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One decision of the log.

    Attributes:
        named: The tier that the client named, or None for ``auto``.
        kept: Its features, or None.
        follows: The decision before it in its conversation, or None.
        cut_short: The answer ended at the host's limit of tokens, not at the client's.
        empty: A deployment gave an empty answer.
    """

    id: str
    created_s: float
    caller: str
    tier: Tier
    reason: str
    outcome: str
    named: Tier | None
    kept: KeptRow | None
    regeneration: bool
    follows: str | None
    cut_short: bool
    empty: bool

    @property
    def automatic(self) -> bool:
        """Whether the tier was our choice."""
        return self.named is None


class Conclusions:
    """Draws conclusions from decisions, given in the order of their time.

    Args:
        settings: Weights and spans.
    """

    def __init__(self, settings: Learning) -> None:
        self._settings = settings
        self._callers: OrderedDict[str, deque[Seen]] = OrderedDict()
        self._open: OrderedDict[str, Seen] = OrderedDict()

    def see(self, now: Seen) -> list[FeedbackRecord]:
        """What a decision says about the ones before it, and about itself. ``created_s`` is the decision's."""
        found = [*self._about(now), *self._about_itself(now)]
        self._remember(now)
        return [one for one in found if one.weight > 0]

    def passed(self, now_s: float) -> list[FeedbackRecord]:
        """Conversations that ended by ``now_s``: nothing came for ``ended_after_s``."""
        ended = []
        while self._open:
            first = next(iter(self._open.values()))
            if first.created_s + self._settings.ended_after_s > now_s:
                break
            del self._open[first.id]
            ended.append(self._label(first, first.tier, "ended", None))
        return [one for one in ended if one.weight > 0]

    def _about(self, now: Seen) -> Iterator[FeedbackRecord]:
        """Each rule speaks of the latest request that it fits; the first rule that fits speaks alone."""
        if now.follows is not None:
            self._open.pop(now.follows, None)
        if _in_tool_loop(now):
            return  # an agent that works on: nobody asked anything
        before = self._before(now)
        same = next((one for one in reversed(before) if is_same(one.kept, now.kept)), None)
        if same is not None:
            self._open.pop(same.id, None)
        if now.named is not None:
            again = same or next((one for one in reversed(before) if is_put_again(one.kept, now.kept)), None)
            if again is not None and again.automatic and again.tier is not now.named:
                yield self._label(again, now.named, "override", now)
                return
        elif now.regeneration and same is not None:
            yield from self._up(same, "regeneration", now)
            return
        elif same is None:
            again = self._put_again(before, now)
            if again is not None:
                self._open.pop(again.id, None)
                yield from self._up(again, "re_ask", now)
                return
        if same is None:
            yield from self._escalated(before, now)

    def _put_again(self, before: list[Seen], now: Seen) -> Seen | None:
        similar = [one for one in before if is_put_again(one.kept, now.kept)]
        return similar[-1] if similar and len(similar) <= MOST_AGAIN else None

    def _escalated(self, before: list[Seen], now: Seen) -> Iterator[FeedbackRecord]:
        last = next((one for one in reversed(before) if one.id == now.follows), None)
        if last is None or not last.automatic or TIERS.index(now.tier) <= TIERS.index(last.tier):
            return
        if now.named is not None or (now.reason == "classifier" and now.kept is not None and now.kept.carried):
            yield from self._up(last, "escalation", now)

    def _about_itself(self, now: Seen) -> Iterator[FeedbackRecord]:
        if now.cut_short:
            yield from self._up(now, "truncated", None)
        if now.empty:
            yield from self._up(now, "empty", None)

    def _up(self, about: Seen, source: str, shown_by: Seen | None) -> Iterator[FeedbackRecord]:
        upper = one_up(about.tier)
        if upper is not None and about.automatic and about.outcome == "answered" and about.reason in _CHOSEN:
            yield self._label(about, upper, source, shown_by)

    def _label(self, about: Seen, tier: Tier, source: str, shown_by: Seen | None) -> FeedbackRecord:
        return FeedbackRecord(
            decision_id=about.id,
            caller=about.caller,
            created_s=(shown_by or about).created_s,
            correct_tier=str(tier),
            comment=shown_by.id if shown_by is not None else None,
            source=source,
            weight=self._settings.implicit.weight_of(source),
        )

    def _before(self, now: Seen) -> list[Seen]:
        """The caller's requests within the window, oldest first."""
        kept = self._callers.get(now.caller, deque())
        return [one for one in kept if now.created_s - one.created_s <= self._settings.within_s]

    def _remember(self, now: Seen) -> None:
        if _in_tool_loop(now):
            return
        kept = self._callers.setdefault(now.caller, deque(maxlen=MOST_PER_CALLER))
        self._callers.move_to_end(now.caller)
        kept.append(now)
        while len(self._callers) > MOST_CALLERS:
            self._callers.popitem(last=False)
        # A single question is no conversation: a script's request ends so too.
        if now.follows is not None and now.automatic and now.outcome == "answered" and not now.cut_short:
            self._open[now.id] = replace(now, kept=None)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)


def is_same(one: KeptRow | None, other: KeptRow | None) -> bool:
    """Whether two asks, with what was pasted, have equal hashed features."""
    if one is None or other is None or one.schema != other.schema or not one.row.indices.size:
        return False
    return np.array_equal(one.row.indices, other.row.indices) and np.allclose(
        one.row.values, other.row.values, atol=2e-4
    )


def is_put_again(one: KeptRow | None, other: KeptRow | None) -> bool:
    """Whether one ask is the other with some words added or taken away, about the same pasted material."""
    if one is None or other is None or one.schema != other.schema or one.carried or other.carried:
        return False  # what carries on holds the words of what it continues
    shorter, longer = sorted((_words(one), _words(other)), key=len)
    if len(shorter) < LEAST_WORDS or len(longer) - len(shorter) < 2:
        return False
    if np.setdiff1d(shorter, longer, assume_unique=True).size > 1:
        return False
    return np.array_equal(_pasted(one), _pasted(other))


def _words(kept: KeptRow) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Columns of words and word pairs of the ask; the indices come block by block."""
    return kept.row.indices[: int(np.searchsorted(kept.row.indices, BLOCK_STARTS[1]))]


def _pasted(kept: KeptRow) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return kept.row.indices[int(np.searchsorted(kept.row.indices, BLOCK_STARTS[2])) :]


def _in_tool_loop(seen: Seen) -> bool:
    return (
        seen.kept is not None
        and seen.kept.row.structure.size > _TOOL_LOOP
        and bool(seen.kept.row.structure[_TOOL_LOOP])
    )
