"""Promote and roll back: the folder of versions, the file that names the one in use, and the history.

A version's folder is written once and never changed. Promoting copies it in where it lies elsewhere and swaps one line
of one file; rolling back swaps it again, after the hashes of the version were checked. `history.jsonl` only grows.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.artifact import METADATA, ArtifactError, load_artifact, metadata_of
from classifier.versions import CURRENT, current_name, in_use

HISTORY = "history.jsonl"
PROMOTED, REFUSED, ROLLED_BACK, TRAINED = "promoted", "refused", "rolled back", "trained"


class PromotionError(Exception):
    """Nothing to promote, or nothing to go back to; the message says why."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The folder of versions of one service.

    Attributes:
        folder: Where they lie; made when first written to.
        configured: What serves while nothing was promoted.
    """

    folder: Path
    configured: Path

    def champion(self) -> Path:
        """Folder of the artifact in use.

        Raises:
            ArtifactError: The version in use is not there.
        """
        return in_use(self.folder, self.configured) or self.configured

    def history(self) -> list[dict[str, Any]]:
        """All events, oldest first; a line that a crash cut is left out."""
        file = self.folder / HISTORY
        if not file.is_file():
            return []
        found = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def record(self, event: str, artifact: str, *, now: datetime, **more: Any) -> None:
        """Append an event.

        Args:
            event: `PROMOTED`, `REFUSED`, `ROLLED_BACK` or `TRAINED`.
            artifact: Id of the artifact that it is about.
            now: When.
            **more: Ready for JSON.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": _iso(now), "event": event, "artifact": artifact, **more}, ensure_ascii=False)
        with (self.folder / HISTORY).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def newest_trained(self) -> Path:
        """The challenger that was trained last.

        Raises:
            PromotionError: None was.
        """
        for event in reversed(self.history()):
            if event["event"] == TRAINED and (path := Path(event["path"])).is_dir():
                return path
        raise PromotionError(f"{self.folder}: no challenger was trained yet: autotier train")

    def add(self, artifact: Path) -> Path:
        """Copy an artifact in under its id, unless it is there already.

        Returns:
            Its folder here.

        Raises:
            ArtifactError: It cannot be used.
        """
        name = load_artifact(artifact).id
        target = self.folder / name
        if target.is_dir():
            load_artifact(target)  # an earlier copy that was changed since must not serve
            return target
        self.folder.mkdir(parents=True, exist_ok=True)
        waiting = self.folder / f".{name}.{os.getpid()}"
        shutil.rmtree(waiting, ignore_errors=True)
        waiting.mkdir()
        for file in (METADATA, *metadata_of(artifact)["files"], *_also(artifact)):
            shutil.copyfile(artifact / file, waiting / file)
        os.replace(waiting, target)
        return target

    def use(self, name: str) -> None:
        """Let the version of this name serve; the file is swapped as a whole."""
        waiting = self.folder / f".{CURRENT}.{os.getpid()}"
        with waiting.open("w", encoding="utf-8") as stream:
            stream.write(name + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(waiting, self.folder / CURRENT)

    def promote(
        self, challenger: Path, *, reason: str, forced: bool, now: datetime, figures: Mapping[str, Any] | None = None
    ) -> Path:
        """Let a challenger serve. The gate has been asked already.

        Args:
            challenger: Its folder.
            reason: Why, for the history.
            forced: Whether the gate refused it.
            now: When.
            figures: What the gate found, for the history.

        Returns:
            Its folder among the versions.

        Raises:
            ArtifactError: It cannot be used.
        """
        before = self.add(self.champion())  # so that there is a way back even where the package is replaced
        after = self.add(challenger)
        self.record(
            PROMOTED, after.name, now=now, before=before.name, reason=reason, forced=forced, figures=dict(figures or {})
        )
        self.use(after.name)
        return after

    def roll_back(self, *, reason: str, now: datetime, to: str | None = None) -> Path:
        """Let the version before the present one serve again.

        Args:
            reason: Why, for the history.
            now: When.
            to: Id of the version; None: what the present one replaced.

        Returns:
            Its folder.

        Raises:
            PromotionError: There is none.
            ArtifactError: Its files are not those that it was promoted with.
        """
        present = current_name(self.folder)
        target = to or self._before(present)
        folder = self.folder / target
        if Path(target).name != target or not folder.is_dir():
            there = sorted(file.parent.name for file in self.folder.glob(f"*/{METADATA}") if file.parent.name[0] != ".")
            known = f"there are {', '.join(there)}" if there else "there are none"
            raise PromotionError(f"{self.folder}: no version {target[:80]!r}; {known} (autotier rollback --list)")
        if load_artifact(folder).id != target:
            raise ArtifactError(f"{folder}: is not the version that its name says: its files were changed")
        self.record(ROLLED_BACK, target, now=now, before=present, reason=reason)
        self.use(target)
        return folder

    def _before(self, present: str | None) -> str:
        if present is None:
            raise PromotionError(f"{self.folder}: nothing was promoted, so there is nothing to roll back")
        for event in reversed(self.history()):
            if event["event"] == PROMOTED and event["artifact"] == present:
                return str(event["before"])
        raise PromotionError(f"{self.folder}: nothing was promoted before {present}")


def _also(artifact: Path) -> list[str]:
    return ["CARD.md"] if (artifact / "CARD.md").is_file() else []


def _iso(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")
