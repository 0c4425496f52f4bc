"""What a command is given and cannot use: one line that says what to do, and nothing is made by the way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli.cache import command as cache
from service.cli.compare import command as compare
from service.cli.demo import command as demo
from service.cli.experiment import command as experiment
from service.cli.log import command as log
from service.cli.main import main
from service.cli.route import command as route
from service.cli.train import command as train
from service.config.seed import shipped
from service.demo.run import DemoFailed
from service.errors import StoreError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine at which somebody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """`route -f` names the file and the byte."""
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n")

    found = CliRunner().invoke(route, ["-f", str(file)])

    assert found.exit_code == 2
    assert "picture.png is not UTF-8 at byte 0" in found.output


@pytest.mark.parametrize("source", ["--labelled", "--outcomes"])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, source: str) -> None:
    """`compare` says which file, and what it should be."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n")

    missing = CliRunner().invoke(compare, [source, str(tmp_path / "nowhere.jsonl")])
    binary = CliRunner().invoke(compare, [source, str(picture)])

    assert "nowhere.jsonl: cannot be read" in str(missing.exception)
    assert "picture.png: not UTF-8; write JSON lines" in str(binary.exception)


@pytest.mark.parametrize("base", ["router.local", "ftp://router.local"])
def test_an_address_without_its_scheme_is_refused(base: str) -> None:
    """`cache stats` shows what an address looks like."""
    found = CliRunner().invoke(cache, ["stats", "--base", base])

    assert found.exit_code == 1
    assert "write an address such as http://" in found.output


def test_a_language_without_pairs_is_no_measurement() -> None:
    """An empty table would look like one."""
    pytest.importorskip("onnxruntime")

    found = CliRunner().invoke(cache, ["evaluate", "--language", "xx"])

    assert found.exit_code == 1
    assert "nothing to measure" in found.output or "no model here" in found.output


@pytest.mark.parametrize("arguments", [["delete", "--caller", "anna", "--yes"], ["experiment"]])
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, arguments: list[str]) -> None:
    """Who starts or deletes from another folder would change an empty store and read that all went well."""
    file = tmp_path / "nowhere.sqlite3"
    place = ["--store", f"sqlite:///{file}"]

    if arguments == ["experiment"]:
        found = CliRunner().invoke(experiment, [*place, "start", "explore"])
    else:
        found = CliRunner().invoke(log, [*place, *arguments])

    assert isinstance(found.exception, StoreError)
    assert "no such store" in str(found.exception)
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The system's word with the path, and no trace."""
    with pytest.raises(SystemExit) as end:
        main(["schema", "-o", str(tmp_path / "nowhere" / "schema.json")])

    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("autotier: ")
    assert "schema.json: No such file or directory" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--name", "../elsewhere", "letters and digits"), ("--name", "", "letters"), ("--jobs", "0", "write 1 or more")],
)
def test_training_takes_no_impossible_option(option: str, value: str, said: str) -> None:
    """A name stays among the versions; a refused option costs no fit."""
    found = CliRunner().invoke(train, [option, value])

    assert found.exit_code == 2
    assert said in found.output


def test_the_demo_shows_no_other_service(taken: int) -> None:
    """A port that is taken is refused: the table would be about whoever answers there."""
    with pytest.raises(DemoFailed, match=f"--port {taken}: "):
        CliRunner().invoke(demo, ["--check", "--port", str(taken)], catch_exceptions=False)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_says_that_its_port_is_taken_in_one_line(
    taken: int, workers: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the fix and the status of other refusals, before anything was started."""
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, "sk-nothing")
    text = shipped("two-macs.yaml").read_text(encoding="utf-8")
    text = text.replace("redis_url: null", "redis_url: redis://127.0.0.1:1/0")
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as end:
        main(["serve", "-c", "own.yaml", "--port", str(taken), "--workers", workers])

    said = capsys.readouterr().err
    assert end.value.code == 2
    assert f"server.port: 127.0.0.1 port {taken} cannot be bound" in said
    assert "stop what listens there" in said
    assert said.count("\n") == 1
