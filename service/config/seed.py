"""The configuration that is shipped: ``configs/two-macs.yaml``, the seed of every installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from service.config.model import Configuration

SEED = "two-macs.yaml"
REFERENCE = "os.environ/"


def shipped(name: str) -> Path:
    """A file of ``configs/``: in a checkout from there, else from the copy inside the package."""
    beside = Path(__file__).resolve().parents[2] / "configs" / name
    return beside if beside.is_file() else Path(__file__).resolve().parent / "shipped" / name


def seed_document() -> dict[str, Any]:
    """The seed as plain data, references to the environment not resolved."""
    document: dict[str, Any] = yaml.safe_load(shipped(SEED).read_text(encoding="utf-8"))
    return document


def seed_configuration() -> Configuration:
    """The seed with stand-ins for the keys: for dry runs, which send nothing."""

    def stand_in(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stand_in(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [stand_in(inner) for inner in value]
        return "not-set" if isinstance(value, str) and value.startswith(REFERENCE) else value

    return Configuration.model_validate(stand_in(seed_document()))
