"""Where an artifact comes from: parent, data, labels, code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from classifier.artifact import Artifact


def lineage_of(
    parent: Artifact, report: Mapping[str, Any], base_hashes: Mapping[str, str], code: str
) -> dict[str, Any]:
    """The `lineage` of a challenger's metadata.

    Args:
        parent: The champion that it was trained against.
        report: What the retraining reports.
        base_hashes: sha256 of the base data by file.
        code: From `commit`.
    """
    ancestors = list(parent.metadata.get("lineage", {}).get("ancestors", []))
    return {
        **report,
        "parent": parent.id,
        "parent_files": dict(parent.metadata["files"]),
        "ancestors": [*ancestors, parent.id],
        "base_sha256": dict(sorted(base_hashes.items())),
        "commit": code,
    }


def commit() -> str:
    """Commit of the checkout that this code runs from, or the version of the installed package."""
    git = Path(__file__).resolve().parent.parent / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text(encoding="utf-8").strip()
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        pass  # no checkout
    try:
        return f"autotier {version('autotier')}"
    except PackageNotFoundError:
        return "unknown"
