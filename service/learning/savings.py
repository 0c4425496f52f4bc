"""What routing has spent and saved, against everything on the reasoning tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from service.config import Configuration
from service.decisions import log_pages
from service.decisions.store import DecisionStore
from training.analysis.economics import BY, Price, economics

MONTH_S = 30 * 86_400


def price_of(configuration: Configuration) -> Price | None:
    """What the reasoning tier's first deployment asks for; None for a tier without any."""
    deployments = configuration.tiers.reasoning.deployments
    if not deployments:
        return None
    return Price(deployments[0].prices.input_per_mtok, deployments[0].prices.output_per_mtok)


def savings(store: DecisionStore, price: Price | None, since_s: float) -> dict[str, Any]:
    """Accounts of the log, read in pages.

    Args:
        store: Where the log is.
        price: Of the reasoning tier; None: nothing is claimed to be saved.
        since_s: Unix seconds of the first request that counts.

    Returns:
        Ready for JSON: see `training.analysis.economics.economics`; `since_s` and `compared_with` beside it.

    Raises:
        StoreError: The store cannot be read.
    """
    found = economics(_rows(store, since_s), price or Price(0.0, 0.0))
    compared = "all on the reasoning tier, at its first deployment's prices" if price else None
    return {"since_s": since_s, "compared_with": compared, **found}


def _rows(store: DecisionStore, since_s: float) -> Iterator[Mapping[str, Any]]:
    after = ""
    while True:
        rows = store.read(partial(log_pages.money_page, after=after, since_s=since_s))
        yield from rows
        if len(rows) < log_pages.PAGE:
            return
        after = rows[-1]["id"]


def shown(found: Mapping[str, Any], table: Any) -> Iterator[str]:
    """Accounts for people; ``table`` lays rows out."""
    total = found["total"]
    yield f"{total['requests']} requests, spent {total['spent']:.4f} $"
    if found["compared_with"] is None:
        yield "the reasoning tier has no deployment: nothing is said to be saved"
    else:
        share = f" ({total['saved'] / total['reasoning']:.0%})" if total["reasoning"] else ""
        yield f"{found['compared_with']}: {total['reasoning']:.4f} $, saved {total['saved']:.4f} ${share}"
    yield f"asking again took {total['extra_turns']:.4f} $ of it; the cache saved {total['cache_saved']:.4f} $"
    headings = ("", "requests", "spent $", "reasoning $", "saved $", "again $", "cache $")
    names = ("spent", "reasoning", "saved", "extra_turns", "cache_saved")
    for by in BY:
        rows = [
            (name, str(one["requests"]), *(f"{one[key]:.4f}" for key in names)) for name, one in found[by].items()
        ]  # fmt: skip
        if rows:
            yield from ("", *table((by, *headings[1:]), rows, frozenset(headings[1:])))
