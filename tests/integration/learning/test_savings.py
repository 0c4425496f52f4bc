"""What routing has saved, from real stores."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from service.cli.log import command
from service.decisions.records import FeedbackRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from service.learning.savings import savings
from tests.integration.decisions.conftest import NOW_S, DecisionFactory
from training.analysis.economics import Price

PRICE = Price(10.0, 20.0)


def test_spent_and_saved_by_day_caller_and_tier(store: DecisionStore, decision: DecisionFactory) -> None:
    """Over several pages; refused requests and older ones do not count; asking again is shown."""
    values = {"cost_usd": 0.001, "prompt_tokens": 100, "completion_tokens": 50}
    old = decision(created_s=NOW_S - 90_000, **values)
    made = [decision(caller="ben" if number % 2 else "anna", **values) for number in range(250)]
    store.write(Batch.of([old, *made, decision(outcome="refused")]))
    store.conclude([FeedbackRecord(made[0].id, "anna", NOW_S, "reasoning", comment=made[1].id, source="re_ask")])

    found = savings(store, PRICE, NOW_S)

    total = found["total"]
    assert total["requests"] == 250
    assert total["spent"] == pytest.approx(0.25)
    assert total["reasoning"] == pytest.approx(250 * 0.002)
    assert total["saved"] == pytest.approx(0.25)
    assert total["extra_turns"] == pytest.approx(0.001)
    assert {name: one["requests"] for name, one in found["caller"].items()} == {"anna": 125, "ben": 125}
    assert found["caller"]["ben"]["extra_turns"] == pytest.approx(0.001)
    assert list(found["tier"]) == ["coding"]


def test_without_a_reasoning_tier_nothing_is_claimed(sqlite_store: DecisionStore, decision: DecisionFactory) -> None:
    """There is nothing to compare with."""
    sqlite_store.write(Batch.of([decision()]))

    assert savings(sqlite_store, None, 0.0)["compared_with"] is None


def test_the_command(store: DecisionStore, store_url: str, decision: DecisionFactory) -> None:
    """As text and as JSON."""
    store.write(Batch.of([decision(created_s=time.time())]))

    text = CliRunner().invoke(command, ["--store", store_url, "savings"])
    found = CliRunner().invoke(command, ["--store", store_url, "savings", "--json"])

    assert text.exit_code == found.exit_code == 0, text.output + found.output
    assert "1 requests, spent 0.2500 $" in text.output
    assert json.loads(found.output)["total"]["requests"] == 1
