"""``make faults-break``: each rule broken on purpose in a copy of the tree must turn its test red.

    python -m tests.faults.breaks [NAME ...]

A patch begins with a line ``test: NODE ID`` and one ``breaks: what``. The tests first run in a copy without any patch
and must be green there. Exit 1 where a patch does not apply, or its test does not notice it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("classifier", "service", "training", "data", "configs", "tests", "pyproject.toml")
PASSED, FAILED = 0, 1  # pytest's exit codes; 2 and more: it could not run the test
PYTEST = ("-q", "-x", "-n0", "-p", "no:cacheprovider", "--no-header", "--tb=line")


@dataclass(frozen=True, slots=True)
class Break:
    """A patch and its test."""

    file: Path
    test: str
    breaks: str

    @classmethod
    def read(cls, file: Path) -> Break:
        """From a file.

        Raises:
            ValueError: It names no test.
        """
        heads = dict(line.partition(": ")[::2] for line in file.read_text().splitlines()[:4])
        if not heads.get("test") or not heads.get("breaks"):
            raise ValueError(f"{file.name}: its first lines must be 'test: ...' and 'breaks: ...'")
        return cls(file, heads["test"], heads["breaks"])


def copied(folder: Path) -> Path:
    """A copy of what the tests need."""
    tree = folder / "tree"
    tree.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, tree / name)
    return tree


def tested(tree: Path, *tests: str) -> tuple[int, str]:
    """pytest's exit code in ``tree``, whose packages come before installed ones, and what it said."""
    command = [sys.executable, "-m", "pytest", *PYTEST, *dict.fromkeys(tests)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout[-1500:] + done.stderr[-500:]


def verdict(one: Break) -> str | None:
    """What is wrong with a patch, or None where its test turned red."""
    with tempfile.TemporaryDirectory(prefix="autotier-break-") as folder:
        tree = copied(Path(folder))
        command = ["git", "apply", "--whitespace=nowarn", str(one.file)]
        applied = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if applied.returncode:
            return f"does not apply: {applied.stderr.strip()}"
        code, said = tested(tree, one.test)
    if code == PASSED:
        return f"{one.test} stayed green"
    return None if code == FAILED else f"pytest ended with {code}: {said}"


def main() -> int:
    """Runs all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="patches, without .patch; all if none is named")
    names = parser.parse_args().names
    found = [Break.read(file) for file in sorted(Path(__file__).parent.glob("*.patch"))]
    chosen = [one for one in found if not names or one.file.stem in names]
    with tempfile.TemporaryDirectory(prefix="autotier-break-") as folder:
        code, said = tested(copied(Path(folder)), *(one.test for one in chosen))
    if code != PASSED:
        print(f"not even green without a patch:\n{said}")
        return 1
    wrong = 0
    for one in chosen:
        found_wrong = verdict(one)
        wrong += found_wrong is not None
        print(f"{'NOT NOTICED' if found_wrong else 'red, as it must'}  {one.file.stem}: {found_wrong or one.breaks}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
