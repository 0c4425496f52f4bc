"""The value object of a host and its command line."""

from __future__ import annotations

import pytest

from service.demo.hosts.spec import HostSpec, parse_args


def test_a_host_goes_through_its_command_line_unchanged() -> None:
    """to_args and parse_args are inverse, also for names and keys that begin with a dash."""
    spec = HostSpec(
        kind="openai",
        name="cloud 1",
        models=("gpt-4.1", "o3-mini"),
        fault="429:retry_after=3",
        token_ms=0.0,
        sizes=("x:1b=2.5",),
        keys=("-k", "sk-2"),
        parallel=4,
    )

    assert parse_args(spec.to_args()) == (spec, False)


def test_defaults_follow_the_kind() -> None:
    """An Ollama host generates one answer at a time, a cloud many."""
    ollama, cloud = HostSpec(), HostSpec(kind="openai")

    assert (ollama.model_names, ollama.slots) == (("qwen3:8b",), 1)
    assert "gpt-4.1" in cloud.model_names
    assert cloud.slots > 100


def test_sizes_override_the_known_ones() -> None:
    """--size counts before the catalog, with or without the default tag."""
    spec = HostSpec(models=("qwen3:8b", "mine"), sizes=("mine:latest=3",))

    assert (spec.size_gb("mine"), spec.size_gb("qwen3:8b"), spec.size_gb("qwen3-coder:30b")) == (3.0, 6.0, 19.0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--size=qwen3:8b"], "expected MODEL=GB"),
        (["--loaded=other"], "no such model"),
        (["--loaded=qwen3:8b@big"], "MODEL@CONTEXT"),
        (["--token-ms=-1"], "must not be negative"),
        (["--answer-tokens=0"], "at least 1"),
        (["--kind=gemini"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    args: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and one line that names the flag."""
    with pytest.raises(SystemExit) as ended:
        parse_args(args)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err
