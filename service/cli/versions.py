"""What the commands about versions share: the configuration, and its folder of versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.compare import configuration
from service.config import Configuration
from service.errors import AutotierError

if TYPE_CHECKING:
    from training.promotion import Versions


class VersionRefused(AutotierError):
    """A version that cannot be trained, promoted or gone back to."""


def versions_of(config: Path | None) -> tuple[Configuration, Versions]:
    """The configuration, and its versions.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    from classifier.artifact import shipped_path
    from training.promotion import Versions

    own = configuration(config)
    named = own.classifier.artifact
    return own, Versions(Path(own.classifier.versions), Path(named) if named else shipped_path())
