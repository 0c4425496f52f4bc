"""The files that a fleet starts from fit together."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import yaml

from service.config.load import load
from service.config.references import StandIns
from service.config.seed import shipped

ROOT = Path(__file__).parents[3]
TEAM = Path(str(shipped("team.yaml")))


def test_team_is_a_fleet_and_may_bind_beyond_loopback() -> None:
    """One Redis, one PostgreSQL, callers with keys and limits."""
    environment = StandIns(REDIS_URL="redis://redis:6379/0", POSTGRES_URL="postgresql://a:b@postgres/autotier")

    configuration = load(TEAM, environment).configuration

    assert configuration.state.redis_url is not None
    assert configuration.store.url.startswith("postgresql://")
    assert configuration.needs_keys
    assert configuration.caller_limits.usd_per_day is not None


def test_every_key_of_team_is_explained_where_it_first_stands() -> None:
    """A comment stands above it, or the seed explains it."""
    lines = TEAM.read_text(encoding="utf-8").splitlines()
    seed = shipped("two-macs.yaml").read_text(encoding="utf-8")
    explained = set(re.findall(r"#[^\n]*\n\s*(?:- )?(\w+):", seed))
    bare = [
        line.strip()
        for before, line in itertools.pairwise(lines)
        if (found := re.match(r"\s*(?:- )?(\w+):", line))
        and not before.lstrip().startswith("#")
        and found[1] not in explained
        and found[1] not in ("mini", "macbook", "openai", "openrouter", "lightweight", "coding", "reasoning")
    ]

    assert bare == []


def test_compose_gives_what_team_asks_for() -> None:
    """Each environment variable of team.yaml is set for both replicas, and no other one; their time to end fits."""
    asked = set(re.findall(r"os\.environ/(\w+)", re.sub(r"#.*", "", TEAM.read_text(encoding="utf-8"))))
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    server = yaml.safe_load(TEAM.read_text(encoding="utf-8"))["server"]

    for replica in ("replica-1", "replica-2"):
        assert set(services[replica]["environment"]) == asked
        grace_s = int(services[replica]["stop_grace_period"].removesuffix("s"))
        assert grace_s > server["drain_s"] + server["shutdown_s"]


def test_the_balancer_knows_both_replicas() -> None:
    """Their names and port, and the address that says whether they are ready."""
    text = (ROOT / "configs" / "balancer.cfg").read_text(encoding="utf-8")

    assert re.findall(r"server (\S+) (\S+)", text.split("\nbackend replicas")[1])[-2:] == [
        ("replica-1", "replica-1:4000"),
        ("replica-2", "replica-2:4000"),
    ]
    assert "httpchk GET /readyz" in text
