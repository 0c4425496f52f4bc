"""Works through the log behind the requests: conclusions every half minute, drift every hour.

One process of all that share a store does it (a lease); every one shows the numbers. A failure of the store is logged
and counted, and the next look tries again: labels are late then, requests are not.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from classifier import Tier
from classifier.artifact import Artifact
from service.config.learning import Learning
from service.decisions import log_pages
from service.decisions.features import kept_row
from service.decisions.log_pages import Progress
from service.decisions.store import DecisionStore
from service.errors import StoreError
from service.learning import drift
from service.learning.implicit import Conclusions, Seen
from service.routing.request import TIER_MODELS
from training.reference import Reference

log = logging.getLogger("autotier.learning")

MOST_PAGES = 20
"""Pages of one look; with more traffic the conclusions come later."""

LEASE_S = 120.0
DAY_S = 86_400


class Follower:
    """Draws conclusions from a store's log.

    Args:
        store: Where decisions and feedback are.
        settings: The section ``learning``.
        now_s: Unix seconds.
        artifact: The champion, whose training data live traffic is compared with; None: drift is not looked at.

    Attributes:
        failures: Looks that the store failed.
    """

    def __init__(
        self, store: DecisionStore, settings: Learning, now_s: Callable[[], float], artifact: Artifact | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._now_s = now_s
        self._artifact = artifact
        self._reference = None if artifact is None else Reference.of(artifact.metadata)
        self._drift_at_s = 0.0
        self._holder = uuid.uuid4().hex
        self._conclusions: Conclusions | None = None
        self._seen_to: tuple[float, str] = (0.0, "")
        self._task: asyncio.Task[None] | None = None
        self._numbers: dict[str, float] = {}
        self.failures = 0

    async def start(self) -> None:
        """Goes on looking behind the requests."""
        self._task = asyncio.create_task(self._follow(), name="autotier-learning")

    async def close(self) -> None:
        """Stops looking and lets another process go on."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._release)

    def look(self) -> bool:
        """One look. It blocks.

        Returns:
            Whether this process works (another one may hold the lease).
        """
        try:
            now_s = self._now_s()
            until_s = now_s + LEASE_S + 3 * self._settings.every_s
            progress = self._store.change(
                lambda connection, insert: log_pages.claim(connection, insert, self._holder, now_s, until_s)
            )
            if progress is None:
                self._conclusions = None
            else:
                progress = self._through(progress, now_s)
                self._drift(now_s)
            self._show(now_s)
            return progress is not None
        except (StoreError, ValueError) as error:
            self._conclusions = None  # begun anew from what is noted
            self.failures += 1
            log.error("no conclusions are drawn from the log for now: %s", error)
            return False

    def snapshot(self) -> dict[str, float]:
        """Numbers for the metrics: conclusions by source, and of today's labels what the cap and conflicts touch."""
        return {**self._numbers, "store_failures_total": float(self.failures)}

    def _through(self, progress: Progress, now_s: float) -> Progress | None:
        """Everything that has settled since the last look."""
        horizon_s = now_s - self._settings.settle_s
        if self._conclusions is None:
            self._conclusions = Conclusions(self._settings)
            # What came before is read again: it fills the windows, and a conclusion drawn twice is kept once.
            from_s = (progress.at_s or horizon_s) - self._settings.ended_after_s - self._settings.within_s
            self._seen_to = (from_s, "")
        for _ in range(MOST_PAGES):
            rows = self._store.read(
                partial(log_pages.page_after, at_s=self._seen_to[0], at_id=self._seen_to[1], until_s=horizon_s)
            )
            last = len(rows) < log_pages.PAGE
            found = [said for row in rows if (one := seen_of(row)) is not None for said in self._conclusions.see(one)]
            if rows:
                self._seen_to = (rows[-1]["created_s"], rows[-1]["id"])
            found += self._conclusions.passed(horizon_s if last else self._seen_to[0])
            kept = self._store.conclude([replace(one, created_s=now_s) for one in found]) if found else []
            counts = Counter(progress.concluded) + Counter(one.source for one in kept)
            at_s, at_id = max((progress.at_s, progress.at_id), self._seen_to)
            after = replace(progress, at_s=at_s, at_id=at_id, concluded=dict(counts))
            if after != progress and not self._store.change(partial(_advanced, holder=self._holder, after=after)):
                self._conclusions = None
                return None
            progress = after
            if last:
                break
        return progress

    def _drift(self, now_s: float) -> None:
        if self._artifact is None or now_s < self._drift_at_s:
            return
        self._drift_at_s = now_s + self._settings.drift_every_s
        report = drift.drift(self._store, self._reference, self._artifact.id, now_s - drift.WEEK_S)
        drifted = [name for name, group in report["groups"].items() if group["drifted"]]
        if drifted and drift.noted(self._store).get("state") != "drifted":
            log.warning("live traffic does not look like the training data any more: %s", ", ".join(drifted))
        drift.note(self._store, report, now_s)

    def _show(self, now_s: float) -> None:
        day_s = now_s // DAY_S * DAY_S
        noted = self._store.read(log_pages.progress_of)
        weights = self._store.read(partial(log_pages.weight_by_caller, since_s=day_s))
        most = self._settings.most_weight_per_caller_day
        self._numbers = {
            **{f"concluded_{source}_total": float(number) for source, number in sorted(noted.concluded.items())},
            **drift.numbers(drift.noted(self._store)),
            "behind_s": max(0.0, now_s - noted.at_s) if noted.at_s else 0.0,
            "callers_over_cap_today": float(sum(weight > most for weight in weights.values())),
            "label_weight_today": sum(weights.values()),
            "conflicts_today": float(self._store.read(partial(log_pages.contradicted_since, since_s=day_s))),
        }

    async def _follow(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # a background task's boundary: an odd record must not end all learning
                self.failures += 1
                log.exception("a look at the log failed")
            await asyncio.sleep(self._settings.every_s)

    def _release(self) -> None:
        try:
            self._store.change(lambda connection, insert: log_pages.give_up(connection, self._holder))
        except StoreError as error:
            log.error("the lease on conclusions was not given back, it ends by itself: %s", error)


def _advanced(connection: Any, insert: Any, *, holder: str, after: Progress) -> bool:
    return log_pages.advance(connection, holder, after)


def seen_of(row: Mapping[str, Any]) -> Seen | None:
    """A row of the log as the rules see it; None for a request that never got a tier."""
    if row["tier"] not in set(Tier):
        return None
    explained = row["decision"]
    tier = Tier(row["tier"])
    named = TIER_MODELS.get(row["model_asked"])
    if row["reason"] == "override":
        named = tier
    return Seen(
        id=row["id"],
        created_s=row["created_s"],
        caller=row["caller"],
        tier=tier,
        reason=str(row["reason"]),
        outcome=row["outcome"],
        named=named,
        kept=kept_row(row["features"]),
        regeneration=bool(explained.get("regeneration")),
        follows=explained.get("follows"),
        cut_short=row["finish_reason"] == "length" and explained.get("answer_limit") is None,
        empty=bool(row["empty"]),
    )
