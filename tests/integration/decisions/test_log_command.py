"""``autotier log`` over a real store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.log import command
from service.decisions.records import DecisionRecord, FeedbackRecord
from service.decisions.rows import Batch
from service.decisions.store import DecisionStore
from service.errors import AutotierError, ConfigurationError, StoreError

Factory = Callable[..., DecisionRecord]
Log = Callable[..., Result]


@pytest.fixture
def records(sqlite_store: DecisionStore, decision: Factory) -> list[DecisionRecord]:
    """An answered decision, then a refused one with a nasty model name; feedback on the first."""
    answered = decision(decision={"detail": "x"}, messages=[{"role": "user", "content": "kept"}])
    refused = decision(
        outcome="refused",
        status=404,
        tier=None,
        reason=None,
        deployment_id=None,
        first_token_ms=None,
        attempts=(),
        model_asked="\x1b[31mgpt",
        error={"message": "no such model"},
    )
    sqlite_store.write(Batch.of([answered, refused]))
    sqlite_store.add_feedback(FeedbackRecord(answered.id, "anna", 1.0, solved=False, comment="wrong"))
    return [answered, refused]


@pytest.fixture
def log(sqlite_path: Path) -> Log:
    """Runs the command on the store."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command, ["--store", f"sqlite:///{sqlite_path}", *arguments])

    return run


def test_the_newest_decisions_are_listed_first(log: Log, records: list[DecisionRecord]) -> None:
    """One line a decision, under headings."""
    result = log()

    head, first, second = result.stdout.splitlines()
    assert result.exit_code == 0
    assert head.split()[:4] == ["time", "id", "tier", "reason"]
    assert records[1].id in first
    assert first.endswith("refused 404")
    assert second.split()[2:] == [
        records[0].id,
        "coding",
        "classifier",
        "deployment-0",
        "1",
        "20",
        "300",
        "0.25000",
        "answered",
    ]


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        (("-n", "1"), [1]),
        (("--tier", "coding"), [0]),
        (("--outcome", "refused"), [1]),
        (("--reason", "classifier"), [0]),
        (("--caller", "nobody"), []),
        (("--since", "2000-01-01"), [1, 0]),
        (("--since", "2099-01-01"), []),
    ],
)
def test_options_choose_what_is_listed(
    log: Log, records: list[DecisionRecord], arguments: tuple[str, ...], listed: list[int]
) -> None:
    """Each filter reaches the store."""
    result = log(*arguments, "--json")

    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [records[i].id for i in listed]


def test_a_span_counts_back_from_now(log: Log, sqlite_store: DecisionStore, decision: Factory) -> None:
    """``--since 2h`` is two hours before now; an unreadable one is told with examples."""
    import time

    recent, old = decision(created_s=time.time() - 3600), decision(created_s=time.time() - 3 * 3600)
    sqlite_store.write(Batch.of([recent, old]))

    within, wrong = log("--since", "2h", "--json"), log("--since", "yesterday")

    assert [json.loads(line)["id"] for line in within.stdout.splitlines()] == [recent.id]
    assert wrong.exit_code == 2
    assert "30m, 2h, 7d" in wrong.stderr


def test_show_gives_attempts_and_feedback(log: Log, records: list[DecisionRecord]) -> None:
    """One decision with everything that is known of it, as text and as JSON."""
    text, machine = log("show", records[0].id), log("show", records[0].id, "--json")

    assert "deployment-0" in text.stdout
    assert "anna (caller): solved False, comment wrong" in text.stdout
    shown = json.loads(machine.stdout)
    assert shown["messages"] == [{"role": "user", "content": "kept"}]
    assert shown["feedback"][0]["solved"] is False


def test_show_lets_nobody_steer_the_terminal(log: Log, records: list[DecisionRecord]) -> None:
    """Control characters of a client are not printed."""
    result = log("show", records[1].id)

    assert "gpt" in result.stdout
    assert "no such model" in result.stdout
    assert "\x1b" not in result.stdout


def test_an_unknown_decision_is_told(log: Log, records: list[DecisionRecord]) -> None:
    """Exit 1 and one line."""
    result = log("show", "dec_0")

    assert result.exit_code == 1
    assert "dec_0" in result.stderr


def test_the_store_comes_from_the_configuration_without_its_keys(
    tmp_path: Path, sqlite_path: Path, records: list[DecisionRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``-c FILE`` needs only ``store``: keys that only the service needs may be unset."""
    monkeypatch.delenv("SOME_CLOUD_KEY", raising=False)
    file = tmp_path / "autotier.yaml"
    file.write_text(f"hosts: {{c: {{key: os.environ/SOME_CLOUD_KEY}}}}\nstore:\n  url: sqlite:///{sqlite_path}\n")

    result = CliRunner().invoke(command, ["-c", str(file), "-n", "1", "--json"])

    assert json.loads(result.stdout)["id"] == records[1].id


@pytest.mark.parametrize(
    ("text", "kind"), [("store: {urll: x}", ConfigurationError), ("store: {url: sqlite:///nowhere/a.db}", StoreError)]
)
def test_a_wrong_store_is_one_line(tmp_path: Path, text: str, kind: type[AutotierError]) -> None:
    """A wrong key and a missing file both say where and what to do."""
    file = tmp_path / "autotier.yaml"
    file.write_text(text)

    result = CliRunner().invoke(command, ["-c", str(file)])

    assert isinstance(result.exception, kind)
    assert "\n" not in str(result.exception)
