"""``autotier doctor`` over simulated hosts, as they should be and with everything that goes wrong in a house."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config.load import load
from service.demo.hosts import SimulatedHost
from service.demo.scenario import write_configuration
from service.doctor.endpoints import ToldEnvironment
from service.doctor.examine import examine
from service.doctor.findings import Finding, Status
from tests.house import FAST, free_port
from tests.servers import RedisServer

Examine = Callable[..., dict[tuple[str, str], Finding]]


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, SimulatedHost]]:
    """The demo's hosts."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(SimulatedHost(spec)) for name, spec in FAST.items()}


@pytest.fixture
def hosts(started: dict[str, SimulatedHost]) -> dict[str, SimulatedHost]:
    """The hosts as at their start."""
    for host in started.values():
        host.reset()
    return started


@pytest.fixture
def file(hosts: dict[str, SimulatedHost], tmp_path: Path) -> Path:
    """The shipped configuration with the hosts' addresses."""
    return write_configuration(tmp_path, {name: host.address for name, host in hosts.items()}, "auto")


@pytest.fixture
def found(file: Path) -> Examine:
    """Changes the configuration and examines it; findings by subject and check."""

    def run(change: Callable[[dict[str, Any]], object] | None = None, **options: Any) -> dict[tuple[str, str], Finding]:
        document = yaml.safe_load(file.read_text())
        if change is not None:
            change(document)
        document["limits"] = {"connect_ms": 5000, **document.get("limits", {})}  # a busy machine is no finding here
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        environment = ToldEnvironment({})
        configuration = load(file, environment).configuration
        findings = examine(configuration, str(file), environment, **options)
        return {(one.subject, one.check): one for one in findings}

    return run


def failed(findings: dict[tuple[str, str], Finding]) -> set[tuple[str, str]]:
    """What made the command fail. Each has a fix."""
    wrong = {key: one for key, one in findings.items() if one.status is Status.FAILED}
    assert all(one.fix for one in wrong.values())
    return set(wrong)


def doctor(file: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as users run it."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "doctor", "-c", str(file), *flags],
        capture_output=True, text=True, timeout=90, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_a_house_in_order_passes(found: Examine) -> None:
    """Reached, pulled, context, keys, store, classifier: all looked at and nothing failed; a swap is warned of."""
    findings = found()

    assert failed(findings) == set()
    assert findings["mini", "qwen3:8b in memory"].text.startswith("loaded")
    assert findings["macbook", "qwen3:8b in memory"].text.startswith("cold")
    assert "do not fit together" in findings["macbook", "memory of both"].text
    assert findings["openai", "key"].text == "accepted"
    assert findings["redis", "state"].text.startswith("not configured")
    assert findings["clock", "time"].status is Status.OK


@pytest.mark.parametrize(
    ("fault", "problem", "fix"),
    [
        ("down", "refused", "ollama serve"),
        pytest.param(
            "black-hole", "no answer", "is the machine on",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a black hole on loopback needs Linux"),
        ),
        ("hang", "answers nothing", "restart"),
        ("garbage", "not Ollama", "11434"),
    ],
)  # fmt: skip
def test_a_host_that_cannot_be_reached_says_why(
    found: Examine, hosts: dict[str, SimulatedHost], fault: str, problem: str, fix: str
) -> None:
    """Each way of not being there has its own words and its own fix, and the other hosts are looked at."""
    hosts["mini"].set_fault(fault)

    findings = found()

    assert failed(findings) == {("mini", "reachable")}
    assert problem in findings["mini", "reachable"].text
    assert fix in str(findings["mini", "reachable"].fix)
    assert findings["macbook", "reachable"].status is Status.OK


@pytest.mark.parametrize(
    ("fault", "check", "problem"),
    [
        ("401", "key", "refused (401)"),
        ("down", "reachable", "refused"),
        ("hang", "reachable", "answers nothing"),
        ("garbage", "reachable", "does not speak OpenAI"),
    ],
)
def test_a_cloud_that_fails_says_why(
    found: Examine, hosts: dict[str, SimulatedHost], fault: str, check: str, problem: str
) -> None:
    """A refused key, a dead host and a login page in between are told apart."""
    hosts["cloud1"].set_fault(fault)

    findings = found()

    assert failed(findings) == {("openai", check)}
    assert problem in findings["openai", check].text.lower().replace("openai", "OpenAI")


def test_a_model_that_is_not_pulled_is_told_with_its_command(found: Examine, hosts: dict[str, SimulatedHost]) -> None:
    """The fix can be pasted."""

    def change(document: dict[str, Any]) -> None:
        document["tiers"]["lightweight"]["deployments"][0]["model"] = "llama3.2:3b"

    findings = found(change)

    assert failed(findings) == {("mini", "model llama3.2:3b")}
    assert findings["mini", "model llama3.2:3b"].fix == f"OLLAMA_HOST={hosts['mini'].address} ollama pull llama3.2:3b"


def test_a_context_beyond_the_model_and_one_that_reloads_are_told(found: Examine) -> None:
    """More than it was trained for fails; another than is loaded now, or two for one model, is warned of."""

    def change(document: dict[str, Any]) -> None:
        document["tiers"]["lightweight"]["deployments"][0]["context"] = 65_536
        document["tiers"]["coding"]["deployments"][0]["context"] = 16_384

    findings = found(change)

    assert ("mini", "context of lightweight-mini") in failed(findings)
    assert findings["mini", "context of lightweight-mini"].fix == "write context: 40960"
    reloads = findings["macbook", "context of coding-local"]
    assert (reloads.status, "8192" in reloads.text) == (Status.WARNING, True)


def test_a_model_too_large_for_its_machine_fails(found: Examine) -> None:
    """Weights, keys and values, buffers against memory_gb; the numbers are in the line."""

    def change(document: dict[str, Any]) -> None:
        document["hosts"]["macbook"]["memory_gb"] = 18

    findings = found(change)

    assert ("macbook", "memory of qwen3-coder:30b") in failed(findings)
    assert "has 18 GB" in findings["macbook", "memory of qwen3-coder:30b"].text


def test_a_machine_of_unknown_memory_is_asked_for(found: Examine) -> None:
    """Without memory_gb the sums are shown, and the key to write."""
    findings = found(lambda document: document["hosts"]["mini"].pop("memory_gb"))

    assert findings["mini", "memory"].status is Status.WARNING
    assert "hosts.mini.memory_gb" in str(findings["mini", "memory"].fix)


def test_speed_is_measured_where_it_is_asked_for(found: Examine, hosts: dict[str, SimulatedHost]) -> None:
    """One short generation with the deployment's own context, so that nothing is loaded again."""
    findings = found(measure=True)

    assert "tokens/s measured, 27 configured" in findings["mini", "speed of lightweight-mini"].text
    assert hosts["mini"].log().reloads == 0


def test_models_and_keys_of_clouds_are_looked_up(found: Examine) -> None:
    """A model that the account does not list fails; no key at all fails."""

    def change(document: dict[str, Any]) -> None:
        document["tiers"]["reasoning"]["deployments"][0]["model"] = "gpt-none"
        del document["hosts"]["openrouter"]["key"]

    findings = found(change)

    assert failed(findings) == {("openai", "model gpt-none"), ("openrouter", "key")}
    assert "gpt-4.1" in str(findings["openai", "model gpt-none"].fix)


def test_a_variable_that_is_not_set_does_not_stop_the_examination(file: Path) -> None:
    """It is one failure among the findings, and exit status 1."""
    document = yaml.safe_load(file.read_text())
    document["hosts"]["openai"]["key"] = "os.environ/A_KEY_THAT_NOBODY_SET"
    file.write_text(yaml.safe_dump(document))

    done = doctor(file, "--json")

    told = json.loads(done.stdout)
    wrong = [(f["subject"], f["check"]) for f in told["findings"] if f["status"] == "failed"]
    assert (done.returncode, told["ok"]) == (1, False)
    assert ("keys", "A_KEY_THAT_NOBODY_SET") in wrong
    assert ("openai", "key") in wrong
    assert "demo-key" not in done.stdout + done.stderr


def test_the_text_names_failures_and_fixes(file: Path, hosts: dict[str, SimulatedHost]) -> None:
    """What a person reads: FAILED, the fix below it, the sum at the end; exit status 1, and 0 once it is mended."""
    hosts["mini"].set_fault("down")

    broken = doctor(file)
    hosts["mini"].set_fault("none")
    mended = doctor(file)

    assert broken.returncode == 1
    assert "FAILED   reachable" in broken.stdout
    assert "-> start Ollama here" in broken.stdout
    assert "1 failed" in broken.stdout
    assert mended.returncode == 0, mended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is there on Linux only")
def test_a_host_that_listens_on_loopback_only_and_an_unknown_name_are_told(
    file: Path, hosts: dict[str, SimulatedHost]
) -> None:
    """Both have words of their own: OLLAMA_HOST=0.0.0.0 there, or the name to check here."""
    document = yaml.safe_load(file.read_text())
    document["hosts"]["mini"]["address"] = hosts["mini"].address.replace("127.0.0.1", "127.0.0.2")
    document["hosts"]["macbook"]["address"] = "http://macbook.invalid:11434"
    file.write_text(yaml.safe_dump(document))

    told = {(f["subject"], f["check"]): f for f in json.loads(doctor(file, "--json").stdout)["findings"]}

    assert "127.0.0.1 only" in told["mini", "reachable"]["text"]
    assert "OLLAMA_HOST=0.0.0.0" in told["mini", "reachable"]["fix"]
    assert "macbook.invalid is not known" in told["macbook", "reachable"]["text"]


def test_a_store_that_cannot_be_written_fails(found: Examine, tmp_path: Path) -> None:
    """A file in the place of its folder, and a file that is no database."""
    (tmp_path / "file").write_text("")
    (tmp_path / "garbage.sqlite3").write_bytes(b"no database " * 1000)

    below = found(lambda d: d["store"].update(url=f"sqlite:///{tmp_path}/file/x.sqlite3"))
    garbage = found(lambda d: d["store"].update(url=f"sqlite:///{tmp_path}/garbage.sqlite3"))

    assert failed(below) == failed(garbage) == {("store", "writable")}
    assert not (tmp_path / "demo.sqlite3").exists()  # looking makes nothing


def test_redis_is_looked_at_where_it_is_configured(found: Examine) -> None:
    """There: version and vector sets. Not there: a failure with a fix, and never its password."""
    with RedisServer() as server:
        there = found(lambda d: d.update(state={"redis_url": server.url, "timeout_ms": 5000}))
    gone = found(lambda d: d.update(state={"redis_url": f"redis://:hunter2@127.0.0.1:{free_port()}/0"}))

    assert there["redis", "state"].text.startswith("Redis ")
    assert there["redis", "vector sets"].text == "known"
    assert failed(gone) == {("redis", "state")}
    assert "hunter2" not in str(gone)


def test_a_classifier_that_is_not_there_fails(found: Examine, tmp_path: Path) -> None:
    """The artifact's folder is named."""
    findings = found(lambda d: d.update(classifier={"artifact": str(tmp_path / "none")}))

    assert failed(findings) == {("classifier", "artifact")}
