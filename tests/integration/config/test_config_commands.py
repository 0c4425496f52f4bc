"""``import``, ``init`` and ``schema`` as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from classifier import Tier
from service.config.load import load
from service.config.schema import schema_text
from service.config.seed import shipped
from service.demo.hosts import HostSpec, SimulatedHost

ENV = {"OPENAI_API_KEY": "sk-one", "LITELLM_MASTER_KEY": "sk-master", "OPENROUTER_API_KEY": "sk-two"}


def autotier(
    *arguments: str, folder: Path, env: dict[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a command in ``folder`` without keys in its environment unless given."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("AUTOTIER_")}
    root = str(Path(__file__).resolve().parents[3])
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        input=typed,
        env={**clean, "PYTHONPATH": root, **(env or {})},
    )


def test_import_prints_yaml_on_stdout_and_reasons_on_stderr(tmp_path: Path) -> None:
    """The output is a file that loads to the same configuration as the original; no variable need be set."""
    source = tmp_path / "litellm.yaml"  # beside what is made of it: paths are relative to the file
    source.write_bytes(shipped("litellm-two-macs.yaml").read_bytes())

    done = autotier("import", str(source), folder=tmp_path)

    assert done.returncode == 0, done.stderr
    file = tmp_path / "ours.yaml"
    file.write_text(done.stdout, encoding="utf-8")
    assert load(file, ENV).configuration == load(source, ENV).configuration
    assert "litellm_settings.num_retries: 2 -> left out: retries multiply" in done.stderr
    assert "os.environ/OPENAI_API_KEY" in done.stdout


def test_import_writes_no_secret(tmp_path: Path) -> None:
    """Keys in clear become references and hashes, on both outputs."""
    text = shipped("litellm-two-macs.yaml").read_text(encoding="utf-8")
    source = tmp_path / "litellm.yaml"
    source.write_text(
        text.replace("os.environ/OPENAI_API_KEY", "sk-cloud-secret").replace(
            "os.environ/LITELLM_MASTER_KEY", "sk-master"
        ),
        encoding="utf-8",
    )

    done = autotier("import", str(source), "-o", "ours.yaml", folder=tmp_path)

    written = (tmp_path / "ours.yaml").read_text(encoding="utf-8")
    assert "sk-cloud-secret" not in written + done.stdout + done.stderr
    assert "sk-master" not in written + done.stdout + done.stderr
    assert "export OPENAI_KEY=" in done.stderr
    same = load(tmp_path / "ours.yaml", {"OPENAI_KEY": "sk-cloud-secret"}).configuration
    assert same.key_of(same.tiers[Tier.REASONING].deployments[0]) == "sk-cloud-secret"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "none.yaml"), "none.yaml: (file): there is no such file"),
        (("import", str(shipped("two-macs.yaml"))), "model_list: is missing, so this is no LiteLLM file"),
        (("serve", "-c", str(shipped("litellm-two-macs.yaml"))), "export LITELLM_MASTER_KEY="),
        (("serve", "-c", str(shipped("two-macs.yaml"))), "hosts.openai.key: the environment variable OPENAI_API_KEY"),
        (("init", "--yes", "--mini", "a b"), "is no address"),
        (("init", "--yes", "--mini", "none", "--macbook", "none", "--openai-key-env", "none"), "neither a machine"),
    ],
)
def test_what_cannot_be_used_is_exit_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """The last line says what and how to mend it."""
    done = autotier(*arguments, folder=tmp_path)

    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def test_init_writes_what_it_saw(tmp_path: Path) -> None:
    """Hosts are asked, missing models and variables are named, the file loads."""
    with (
        SimulatedHost(HostSpec(models=("qwen3:8b",))) as mini,
        SimulatedHost(HostSpec(models=("llama3.2:3b",))) as macbook,
    ):
        done = autotier("init", "--yes", "--mini", mini.address, "--macbook", macbook.address, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "has qwen3:8b" in done.stdout
    assert "macbook: on it, run: ollama pull qwen3-coder:30b" in done.stdout
    assert "OPENAI_API_KEY is not set" in done.stdout
    configuration = load(tmp_path / "autotier.yaml", ENV).configuration
    assert configuration.hosts["mini"].address == mini.address
    assert [d.id for d in configuration.tiers[Tier.REASONING].deployments] == ["reasoning-cloud"]


def test_init_asks_where_nothing_is_given(tmp_path: Path) -> None:
    """Answers go in order; none leaves a machine out, an empty line takes the suggestion."""
    with SimulatedHost(HostSpec(models=("qwen3:8b",))) as mini:
        done = autotier("init", "-o", "mine.yaml", folder=tmp_path, typed=f"{mini.address}\nnone\nMY_KEY\n\n")

    assert done.returncode == 0, done.stderr
    configuration = load(tmp_path / "mine.yaml", {"MY_KEY": "sk-mine"}).configuration
    assert list(configuration.hosts) == ["mini", "openai"]
    assert [d.id for d in configuration.tiers[Tier.CODING].deployments] == ["coding-cloud"]


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    """Unless it is told to."""
    (tmp_path / "autotier.yaml").write_text("mine: 1\n", encoding="utf-8")

    done = autotier("init", "--yes", folder=tmp_path)

    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert (tmp_path / "autotier.yaml").read_text(encoding="utf-8") == "mine: 1\n"


def test_init_without_a_cloud_says_that_reasoning_is_empty(tmp_path: Path) -> None:
    """A house without a key is possible, and said."""
    arguments = ("--mini", "127.0.0.1:9", "--macbook", "none", "--openai-key-env", "none")

    done = autotier("init", "--yes", *arguments, folder=tmp_path)

    assert "reasoning: no deployment" in done.stdout
    assert load(tmp_path / "autotier.yaml", {}).configuration.tiers[Tier.REASONING].deployments == ()


def test_schema_prints_the_committed_schema(tmp_path: Path) -> None:
    """On stdout or into a file."""
    done = autotier("schema", folder=tmp_path)
    autotier("schema", "-o", "s.json", folder=tmp_path)

    assert done.stdout == schema_text()
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == schema_text()


def test_unit_files_name_commands_that_exist() -> None:
    """launchd and systemd start `serve -c`."""
    plist = shipped("com.autotier.serve.plist").read_text(encoding="utf-8")
    unit = shipped("autotier.service").read_text(encoding="utf-8")

    assert "serve -c" in plist
    assert "autotier serve -c" in unit
    assert yaml.safe_load(shipped("two-macs.yaml").read_text(encoding="utf-8"))["server"]["host"] == "127.0.0.1"


def test_the_variable_names_the_file_where_no_option_does(tmp_path: Path) -> None:
    """AUTOTIER_CONFIG stands for -c, and a wrong name beside it is refused."""
    chosen = {"AUTOTIER_CONFIG": str(shipped("litellm-two-macs.yaml")), **ENV}

    by_variable = autotier("route", "--json", "hello", folder=tmp_path, env=chosen)
    mistyped = autotier("route", "hello", folder=tmp_path, env={**chosen, "AUTOTIER_CONFG": "x"})

    assert by_variable.returncode == 0, by_variable.stderr
    assert '"lightweight-mini"' in by_variable.stdout
    assert mistyped.returncode == 2
    assert "did you mean AUTOTIER_CONFIG?" in mistyped.stderr
