"""The README's loop, word for word: only the address of the service is the test's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house import House

README = Path(__file__).resolve().parents[3] / "README.md"
pytestmark = pytest.mark.timeout(600)


def commands() -> list[str]:
    """The lines of the block, `export` first."""
    section = README.read_text(encoding="utf-8").split("### The learning loop in ten commands", 1)[1]
    return re.search(r"```sh\n(.*?)```", section, re.S)[1].strip().splitlines()  # type: ignore[index]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_ten_commands_run_as_they_stand(tmp_path: Path) -> None:
    """Each ends with 0, and what they are there for has happened."""

    def change(document: dict[str, Any]) -> None:
        document["classifier"] = {"stages": 1}

    lines = commands()
    assert len(lines) == 11
    with House(change=change) as house:
        shutil.copy(house.file, house.folder / "autotier.yaml")
        autotier = tmp_path / "autotier"
        autotier.write_text(f'#!/bin/sh\nexec {sys.executable} -m service.cli "$@"\n', encoding="utf-8")
        autotier.chmod(0o755)
        root = str(README.parent)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": root,
                       "AUTOTIER_CONFIG": "autotier.yaml", "no_proxy": "localhost"}  # fmt: skip
        said = []
        for line in lines[1:]:
            done = subprocess.run(
                ["bash", "-c", line.replace("localhost:4000", house.base.removeprefix("http://"))],
                cwd=house.folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)

    assert '"stored":true' in said[2].replace(" ", "")
    assert "1 labels" in said[3]
    assert "tuned-" in said[4]
    assert "promoted by force" in said[6]
    assert "refused" in said[7]
    assert "serves again" in said[9]
