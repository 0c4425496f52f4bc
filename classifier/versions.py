"""Which version of the classifier serves: a folder of artifacts, and one file in it that names the one in use.

`autotier promote` and `rollback` write (training.promotion); the running service and every command read here.
"""

from __future__ import annotations

from pathlib import Path

from classifier.artifact import ArtifactError

CURRENT = "current"
"""File in the folder of versions: one line, the name of the version in use. It is swapped as a whole."""


def current_name(versions: Path) -> str | None:
    """Name of the version in use, or None where nothing was promoted yet.

    Raises:
        ArtifactError: The file cannot be read or names no plain folder.
    """
    file = versions / CURRENT
    try:
        name = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: cannot be read: {error}") from error
    if not name or Path(name).name != name:
        raise ArtifactError(f"{file}: names no version: {name[:80]!r}")
    return name


def in_use(versions: Path | None, configured: Path | None) -> Path | None:
    """Folder of the artifact that serves.

    Args:
        versions: Folder of versions, or None.
        configured: What serves while nothing was promoted; None is the shipped champion.

    Returns:
        The promoted version, else `configured`.

    Raises:
        ArtifactError: The version that is named is not there.
    """
    name = current_name(versions) if versions is not None else None
    if versions is None or name is None:
        return configured
    folder = versions / name
    if not folder.is_dir():
        raise ArtifactError(f"{versions / CURRENT}: names {name}, which is not there")
    return folder
