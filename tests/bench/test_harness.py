"""The benches' own parts, so that a figure is what it says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from service.api.auth import Authenticator
from service.config.load import load_configuration
from service.demo.hosts import HostSpec, SimulatedHost
from service.errors import AuthenticationFailed
from tests.bench import faults, tables
from tests.bench.contenders import ALL
from tests.bench.generator import Connection, request_bytes
from tests.bench.machine import cpu_s, verdict
from tests.bench.processes import NotStarted, Running
from tests.bench.soak import WHOLE, configured, growth
from tests.bench.workloads import AUTHORIZATION, CLOUD_MODEL, HOSTS, PROMPTS

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ROW: dict[str, Any] = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": 0.5, "verdict": "valid"}
PROBED: dict[str, Any] = {
    "p50_ms": 0.4,
    "p99_ms": 1.5,
    "max_ms": 4.0,
    "answers": 9,
    "failed": 0,
    "other_core_busy": 0.2,
}
"""One cell of `loop_lag`."""


def request_with(headers: Mapping[str, str]) -> Request:
    """A request as the `Authenticator` sees it."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


def compared(**verdicts: str) -> dict[str, Any]:
    """A result of `peers` with one workload, by verdict of each contender (``_`` for ``-``)."""
    contenders = {
        name.replace("_", "-"): {
            "words": name,
            "ready_s": 1.0,
            "rss_mb": 60,
            "workloads": {"openai": {**ROW, "verdict": verdict}},
        }
        for name, verdict in verdicts.items()
    }
    return {"contenders": contenders, "skipped": {}, "pinned": True}


def lagged(*, pinned: bool = True, **found: Any) -> dict[str, Any]:
    """A result of `loop_lag`: idle, and one load of which ``found`` is known otherwise."""
    under = {"idle": {**PROBED, "answers": 0}, "64 streams": {**PROBED, **found}}
    return {"contenders": {"one": {"words": "one", "under": under}}, "pinned": pinned}


def soaked(key: str, early: float, per_1000: float, **other: Any) -> dict[str, Any]:
    """A result of `soak` in which one value grew."""
    grown = {"early": early, "late": early, "per_1000": per_1000}
    return {"requests": WHOLE, "seconds": 360.0, "answers": {"short: 200": WHOLE}, "growth": {key: grown}, **other}


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
    contender = {"words": "one", "ready_s": 1.0, "rss_mb": 60, "workloads": {"openai": ROW}}
    bad = {**contender, "words": "two", "workloads": {"openai": {**ROW, "cpu_ms": 2.0, "verdict": "invalid"}}}
    contenders = {"forwarder": contender, tables.OURS: contender, "router": bad}

    shown = tables.peers({"contenders": contenders, "skipped": {"portkey": "npm is not installed"}, "pinned": True})

    assert "**2.00**!" in shown
    assert "**invalid**" in shown
    assert "Not measured: portkey: npm is not installed." in shown
    assert "| OpenAI, short answer | +0.00 ms, +0.00 ms | 1.0 | 4.0! |" in shown


@pytest.mark.parametrize(
    ("forwarder", "ours", "router", "expected"),
    [
        ("disturbed", "valid", "valid", "| +0.00 ms, +0.00 ms~ | 1.0~ | 1.0 |"),
        ("valid", "disturbed", "valid", "| +0.00 ms, +0.00 ms~ | 1.0~ | 1.0~ |"),
        ("valid", "disturbed", "invalid", "| +0.00 ms, +0.00 ms~ | 1.0~ | 1.0! |"),
    ],
)
def test_ratio_has_the_worse_mark_of_its_rows(forwarder: str, ours: str, router: str, expected: str) -> None:
    """A ratio is worth no more than the worse of the two figures that it is made of."""
    shown = tables.peers(compared(forwarder=forwarder, autotier_auto=ours, router=router))

    assert f"| OpenAI, short answer {expected}" in shown


def test_rows_of_peers_are_invalid_where_nothing_was_pinned() -> None:
    """The legend says so, and each figure has its mark."""
    shown = tables.peers({**compared(forwarder="valid", autotier_auto="valid"), "pinned": False})

    assert shown.count("**0.50**!") == 2
    assert "| +0.00 ms, +0.00 ms! | 1.0! |" in shown


@pytest.mark.parametrize("found", [{"failed": 1}, {"answers": 0}, {"other_core_busy": 0.81}], ids=str)
def test_lag_under_a_load_that_was_none_is_marked(found: dict[str, Any]) -> None:
    """Failed or absent answers load nothing, and behind a full core the asker waits for itself."""
    shown = tables.loop_lag(lagged(**found))

    assert "| one | 0.4 / 1.5 / 4.0 | 0.4 / 1.5 / 4.0! |" in shown
    assert "`!`: **invalid**" in shown


def test_lag_without_a_core_of_its_own_is_marked() -> None:
    """Unpinned, generator and service take turns on one core: the idle figure means nothing either."""
    assert "| 0.4 / 1.5 / 4.0! | 0.4 / 1.5 / 4.0! |" in tables.loop_lag(lagged(pinned=False))


def test_good_lag_has_neither_mark_nor_legend() -> None:
    """An idle service answers nothing, and that is no fault; a core 80 % busy is not over the limit."""
    assert "!" not in tables.loop_lag(lagged(other_core_busy=0.8))


@pytest.mark.parametrize(
    ("key", "early", "per_1000", "expected"),
    [
        ("rss_mb", 181.0, 0.47, "**yes**, +47.0"),
        ("rss_mb", 200.0, 0.1, "no, +10.0"),
        ("rss_mb", 200.0, -0.4, "no, -40.0"),
        ("descriptors", 54.0, 0.056, "no, +5.6"),
        ("descriptors", 54.0, 0.1, "**yes**, +10.0"),
        ("threads", 10.0, 0.02, "no, +2.0"),
        ("threads", 10.0, 0.1, "**yes**, +10.0"),
        ("tasks", 27.0, 0.064, "no, +6.4"),
        ("tasks", 400.0, 0.1, "no, +10.0"),
    ],
)
def test_soak_says_what_grows(key: str, early: float, per_1000: float, expected: str) -> None:
    """Five parts in a hundred over the run; a few descriptors, threads and tasks come and go with the clients."""
    assert f"| {expected} |" in tables.soak(soaked(key, early, per_1000))


def test_soak_of_fewer_requests_says_that_it_is_a_part() -> None:
    """A tenth of the soak in the README is not read as the soak."""
    part = tables.soak(soaked("threads", 10.0, 0.0, requests=WHOLE // 10))

    assert "**Not the whole soak**: 10,000 of 100,000 requests" in part
    assert "Not the whole" not in tables.soak(soaked("threads", 10.0, 0.0))


def test_soak_names_answers_that_it_did_not_ask_for() -> None:
    """A service that refuses every request does not grow."""
    answers = {"refused: 400": 10, "left: left": 9, "short: 401": 1500, "stream: connection lost": 2}

    shown = tables.soak(soaked("threads", 10.0, 0.0, answers=answers))

    assert "Other answers than asked for: short: 401 (1,500), stream: connection lost (2)." in shown


@pytest.mark.parametrize("name", ["autotier-auto", "autotier-router"])
def test_autotier_is_asked_with_a_key_and_refuses_without_one(name: str, tmp_path: Path) -> None:
    """Authentication is a part of what is measured."""
    contender = ALL[name](dict.fromkeys(HOSTS, "http://127.0.0.1:9"), tmp_path)
    configuration = load_configuration(contender.argv[contender.argv.index("-c") + 1], {})
    authenticator = Authenticator(configuration.callers)

    names = {authenticator.caller_of(request_with(contender.headers[target])).name for target in HOSTS}

    assert names == {"bench"}
    with pytest.raises(AuthenticationFailed):
        authenticator.caller_of(request_with({}))


def test_soak_asks_with_a_key_that_may_see_the_metrics(tmp_path: Path) -> None:
    """The tasks of the loop stand in ``/metrics``, which needs the admin right once somebody has a key."""
    addresses = dict.fromkeys(("mini", "macbook", "cloud1", "cloud2"), "http://127.0.0.1:9")
    authenticator = Authenticator(load_configuration(configured(tmp_path, addresses), {}).callers)

    caller = authenticator.admin_of(request_with(AUTHORIZATION))

    assert caller.name == "bench"
    with pytest.raises(AuthenticationFailed):
        authenticator.admin_of(request_with({}))


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
