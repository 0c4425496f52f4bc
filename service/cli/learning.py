"""What the commands about learning share: the section ``learning`` of a configuration, and labels by it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.config.learning import Learning
    from service.decisions.labels import Labels
    from service.decisions.store import DecisionStore
    from training.logged_labels import LoggedLabel
    from training.older_schema import OldScorers


def learning_of(config: Path | None) -> Learning:
    """The section of a configuration, without asking for the keys that only a running service needs.

    Args:
        config: The file; None is ``AUTOTIER_CONFIG``, and without that the defaults.

    Raises:
        ConfigurationError: The file cannot be read, or its ``learning`` is wrong.
    """
    from pydantic import ValidationError

    from service.config.learning import Learning
    from service.config.problems import one_line
    from service.config.yaml_source import read

    file = _named(config)
    if file is None:
        return Learning()
    document = read(file)
    section = document.value.get("learning") if "model_list" not in document.value else None
    try:
        return Learning.model_validate(section or {})
    except ValidationError as error:
        raise one_line(error, document) from None


def _named(config: Path | None) -> Path | None:
    named = os.environ.get("AUTOTIER_CONFIG")
    return config or (Path(named) if named else None)


def labels_of(store: DecisionStore, config: Path | None) -> Labels:
    """The labels of a store, as its configuration weighs and caps them.

    Raises:
        ConfigurationError: As `learning_of`.
    """
    from service.decisions.labels import Labels

    settings = learning_of(config)
    return Labels(store, settings.implicit.weight_of, settings.most_weight_per_caller_day, _older_by(config))


def _older_by(config: Path | None) -> Callable[[LoggedLabel], str | None]:
    """Asks the scorers among the versions; the configuration is read when the first label of an older schema comes."""

    @cache
    def scorers() -> OldScorers:
        from service.cli.versions import versions_of
        from training.older_schema import OldScorers

        return OldScorers(versions_of(_named(config))[1].folder)

    def older(label: LoggedLabel) -> str | None:
        word = scorers().word(label)
        return None if word is None else word.through

    return older
