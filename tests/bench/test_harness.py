"""The benches' own parts, so that a figure is what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from service.demo.hosts import HostSpec, SimulatedHost
from tests.bench import faults, tables
from tests.bench.generator import Connection, request_bytes
from tests.bench.machine import cpu_s, verdict
from tests.bench.processes import NotStarted, Running
from tests.bench.soak import growth
from tests.bench.workloads import CLOUD_MODEL, PROMPTS

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def test_forwarder_passes_answers_and_streams_whole() -> None:
    """The yardstick gives what the host said, and the generator counts its events and times."""
    with SimulatedHost(HostSpec(kind="openai", name="far", token_ms=0, first_token_ms=0, answer_tokens=64)) as host:
        targets = json.dumps({"m": [host.openai_base, CLOUD_MODEL]})
        running = Running((sys.executable, "-m", "tests.bench.forwarder", "{port}", targets), "/healthz")
        await running.start()
        try:
            connection = await Connection.to(running.port)

            whole = await connection.ask(request_bytes("/v1/chat/completions", BODY))
            stream = await connection.ask(request_bytes("/v1/chat/completions", {**BODY, "stream": True}))

            connection.close()
            assert (whole.status, stream.status) == (200, 200)
            assert b"[simulated far" in whole.body
            assert stream.events >= 64
            assert 0 < stream.first_ms <= stream.total_ms
            assert cpu_s(running.pid) > 0
        finally:
            running.stop()


async def test_process_that_ends_says_what_it_wrote() -> None:
    """A peer that cannot start is skipped with its own words."""
    running = Running((sys.executable, "-c", "raise SystemExit('no such thing')"), "/")

    with pytest.raises(NotStarted, match="no such thing"):
        await running.start()


@pytest.mark.parametrize(
    ("own", "foreign", "preferred", "expected"),
    [
        (0.5, 0.0, False, "valid"),
        (0.9, 0.0, True, "invalid"),
        (0.5, 0.4, False, "invalid"),
        (0.5, 0.4, True, "disturbed"),
    ],
)
def test_busy_generator_makes_a_row_invalid(own: float, foreign: float, preferred: bool, expected: str) -> None:
    """Above 80 % of the generator's core a row measures a queue; strangers count unless the run goes first."""
    assert verdict(own_busy=own, foreign=foreign, preferred=preferred) == expected


def test_readme_changes_between_the_markers_only() -> None:
    """What a person wrote around the block stays."""
    text = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"

    changed = tables.written(text, "| new |")

    assert changed == f"before\n{tables.BEGIN}\n| new |\n{tables.END}\nafter\n"


def test_readme_without_markers_is_refused() -> None:
    """Nothing is written to a place that was not meant for it."""
    with pytest.raises(tables.NoMarkers):
        tables.written("# no block", "| new |")


def test_table_of_peers_shows_invalid_rows_and_skipped_peers() -> None:
    """A figure that means nothing is marked, and an absent peer is named with its reason."""
    row = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": 0.5, "verdict": "valid"}
    contender = {"words": "one", "ready_s": 1.0, "rss_mb": 60, "workloads": {"openai": row}}
    bad = {**contender, "words": "two", "workloads": {"openai": {**row, "cpu_ms": 2.0, "verdict": "invalid"}}}
    contenders = {"forwarder": contender, tables.OURS: contender, "router": bad}

    shown = tables.peers({"contenders": contenders, "skipped": {"portkey": "npm is not installed"}, "pinned": True})

    assert "**2.00**!" in shown
    assert "**invalid**" in shown
    assert "Not measured: portkey: npm is not installed." in shown
    assert "| OpenAI, short answer | +0.00 ms, +0.00 ms | 1.0 | 4.0 |" in shown


def test_first_token_is_ascribed_to_the_host_that_spoke() -> None:
    """An answer without text counts as none, whatever its status."""
    event = 'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n'
    stream = (event % "[simulated" + event % " macbook" + event % " qwen3:8b]" + "data: [DONE]\n\n").encode()

    assert faults.served_by(stream) == "macbook"
    assert faults.served_by(b"data: [DONE]\n\n") == ""


def test_copied_router_configuration_meets_only_the_simulated_hosts() -> None:
    """The rival runs with the numbers that people copy, and reaches nothing beyond loopback."""
    addresses = {
        name: f"http://127.0.0.1:{port}" for port, name in enumerate(("mini", "macbook", "cloud1", "cloud2"), 1)
    }

    settings = faults.copied_settings(addresses)

    bases = {entry["litellm_params"]["api_base"] for entry in settings["model_list"]}
    assert bases == {addresses["mini"], addresses["macbook"], addresses["cloud1"] + "/v1", addresses["cloud2"] + "/v1"}
    assert {"num_retries": 2, "allowed_fails": 3, "cooldown_time": 30}.items() <= settings["router"].items()
    assert settings["module"] == {"request_timeout": 60, "drop_params": True}


def test_growth_compares_the_last_fifth_with_the_second() -> None:
    """A leak of one in a hundred requests shows as ten in a thousand, whatever the start took."""
    samples = [{"requests": 100 * n, "descriptors": 20 + n} for n in range(20)]

    grown = growth(samples, "descriptors")

    assert grown == {"early": 25.5, "late": 37.5, "per_1000": 10.0}


def test_prompts_are_of_a_realistic_length() -> None:
    """About 200 characters: what the README's table says."""
    assert all(180 <= len(prompt) <= 230 for prompt in PROMPTS.values())


def test_benches_name_their_machine() -> None:
    """Each table stands beside machine, commit and command."""
    facts = {"cpu": "X", "cores": 2, "python": "3.11", "commit": "abc", "when": "now", "load": [1.0], "command": "c"}

    assert all(word in tables.stamp(facts) for word in ("X", "2 cores", "abc", "`c`"))


def test_results_are_shown_only_where_they_are_kept(tmp_path: Path) -> None:
    """A bench that did not run leaves no table behind."""
    assert tables.block(tmp_path) == ""
