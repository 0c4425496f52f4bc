"""The demo's house fits the shipped configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config.load import load_configuration
from service.demo.expected import expectations
from service.demo.scenario import HOSTS, parse_faults, write_configuration
from service.errors import ConfigurationError

ADDRESSES = {name: f"http://127.0.0.1:{9000 + i}" for i, name in enumerate(HOSTS)}


def test_every_model_of_the_seed_is_at_its_simulated_host(tmp_path: Path) -> None:
    """The written configuration loads, points at the demo's hosts only, and asks them for models that they have."""
    configuration = load_configuration(write_configuration(tmp_path, ADDRESSES, "auto"), {})

    by_address = {address: name for name, address in ADDRESSES.items()}
    for _, deployment in configuration.deployments():
        host = by_address[configuration.address_of(deployment).removesuffix("/v1")]
        assert deployment.model in HOSTS[host].model_names, (deployment.id, host)


def test_the_demo_has_a_dozen_prompts_of_three_tiers_with_both_expectations() -> None:
    """Twelve prompts or more, each with what is expected without a fault and without the Mini."""
    rows = expectations()

    assert len(rows) >= 12
    assert {row.tier for row in rows} == {"lightweight", "coding", "reasoning"}
    assert all(set(row.served) == {"none", "mini=down"} for row in rows)


@pytest.mark.parametrize(
    ("tier", "deployment", "attempts"),
    [
        ("coding", "lightweight-mini", 1),
        ("lightweight", "lightweight-cloud", 1),
        ("lightweight", "lightweight-mini", 2),
    ],
)
def test_a_row_differs_by_tier_deployment_and_attempts(tier: str, deployment: str, attempts: int) -> None:
    """Each of the three is compared."""
    first = expectations()[0]

    assert first.differs("none", "lightweight", "lightweight-mini", 1) == ""
    assert first.differs("none", tier, deployment, attempts).startswith("expected lightweight, lightweight-mini, 1")


@pytest.mark.parametrize("pair", ["mini", "toaster=down", "=down"])
def test_a_malformed_fault_is_one_line(pair: str) -> None:
    """HOST=FAULT with a host of the demo, or an error that lists them."""
    with pytest.raises(ConfigurationError, match="mini, macbook, cloud1, cloud2"):
        parse_faults((pair,))


def test_an_unknown_fault_is_one_line() -> None:
    """Before any host is started, with the faults there are."""
    with pytest.raises(ConfigurationError, match=r"unknown fault 'nope'; one of: .*hang"):
        parse_faults(("mini=nope",))
