"""Spent and saved against "all on the reasoning tier", by day, caller and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

BY = ("day", "caller", "tier")
AGAIN = ("override", "regeneration", "re_ask")
"""Sources of conclusions whose comment names the request that asked again."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_per_mtok: float
    output_per_mtok: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars of a request."""
        return (prompt_tokens * self.input_per_mtok + completion_tokens * self.output_per_mtok) / 1_000_000


@dataclass(slots=True)
class Account:
    """Sums of some requests, in US dollars.

    Attributes:
        requests: How many.
        spent: What they cost, failed attempts included.
        reasoning: What their tokens would have cost on the reasoning tier. Its answers are longer (hidden thinking
            is billed), so this is a lower bound.
        extra_turns: Part of `spent` that went into asking again: regenerations, escalations after a rejection, and
            requests from which it was concluded that the one before them had too low a tier (`AGAIN`).
        cache_saved: What answers from the cache would have cost, as noted with each hit.
    """

    requests: int = 0
    spent: float = 0.0
    reasoning: float = 0.0
    extra_turns: float = 0.0
    cache_saved: float = 0.0

    def figures(self) -> dict[str, float]:
        """The sums, and what was saved against the reasoning tier."""
        return {
            "requests": self.requests,
            "spent": self.spent,
            "reasoning": self.reasoning,
            "saved": self.reasoning - self.spent,
            "extra_turns": self.extra_turns,
            "cache_saved": self.cache_saved,
        }


def economics(exported: Iterable[Mapping[str, Any]], price: Price) -> dict[str, Any]:
    """Accounts of a log.

    Args:
        exported: Rows of the store's export, by time.
        price: Of the reasoning tier's first deployment.

    Returns:
        `total`, and accounts by `day` (UTC), `caller`, `tier`. Refused requests are left out: they got no answer.
    """
    total = Account()
    parts: dict[str, dict[str, Account]] = {by: {} for by in BY}
    again: set[str] = set()
    for row in exported:
        said = row.get("feedback") or ()
        again.update(str(one["comment"]) for one in said if one.get("source") in AGAIN and one.get("comment"))
        if row.get("outcome") == "refused":
            continue
        keys = (
            datetime.fromtimestamp(float(row["created_s"]), UTC).date().isoformat(),
            str(row.get("caller")),
            str(row.get("tier")),
        )
        accounts = (total, *(parts[by].setdefault(key, Account()) for by, key in zip(BY, keys, strict=True)))
        for account in accounts:
            _add(account, row, price, again)
    return {
        "total": total.figures(),
        **{by: {key: one.figures() for key, one in sorted(accounts.items())} for by, accounts in parts.items()},
        "price": {"input_per_mtok": price.input_per_mtok, "output_per_mtok": price.output_per_mtok},
    }


def _add(account: Account, row: Mapping[str, Any], price: Price, again: Set[str]) -> None:
    decision = row.get("decision") or {}
    spent = float(row.get("cost_usd") or 0.0)
    account.requests += 1
    account.spent += spent
    account.reasoning += price.of(int(row.get("prompt_tokens") or 0), int(row.get("completion_tokens") or 0))
    account.cache_saved += float((decision.get("cache") or {}).get("saved_usd") or 0.0)
    asked_again = row.get("id") in again or decision.get("regeneration")
    if asked_again or "was rejected" in str(decision.get("detail", "")):
        account.extra_turns += spent
