"""What a request may use: the prompt once, a reserve for each answer, at the dearest prices of its chain."""

from __future__ import annotations

from typing import Any

import pytest

from service.config import Deployment
from service.limits.estimate import estimate_of


def deployment(price_in: float, price_out: float) -> Deployment:
    """One with these prices, US dollars for a million tokens."""
    prices = {"input_per_mtok": price_in, "output_per_mtok": price_out}
    return Deployment.model_validate(
        {"id": "d", "host": "cloud", "provider": "openai", "model": "m", "context": 8192, "prices": prices}
    )


CHAIN = (deployment(0, 0), deployment(2, 8))


@pytest.mark.parametrize(
    ("body", "tokens", "usd"),
    [
        ({}, 1100, 8.2e-3),
        ({"max_tokens": 50}, 150, 0.6e-3),
        ({"max_completion_tokens": 10, "max_tokens": 50}, 110, 0.28e-3),
        ({"n": 1}, 1100, 8.2e-3),
        ({"n": 4}, 4100, 32.2e-3),
        ({"n": 4, "max_tokens": 50}, 300, 1.8e-3),
        ({"n": None, "max_tokens": None}, 1100, 8.2e-3),
        ({"n": "many", "max_tokens": "long"}, 1100, 8.2e-3),
        ({"n": 0}, 1100, 8.2e-3),
    ],
)
def test_each_answer_has_its_reserve_and_the_prompt_counts_once(body: dict[str, Any], tokens: int, usd: float) -> None:
    """A hundred tokens of prompt, a thousand for an answer without a limit of its own."""
    found = estimate_of(body, 100, CHAIN, 1000)

    assert found.tokens == tokens
    assert found.usd == pytest.approx(usd)


def test_without_a_deployment_nothing_is_spent() -> None:
    """The chain is empty where constraints left nothing."""
    assert estimate_of({}, 100, (), 1000).usd == 0
