"""Files for configuration tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import Configuration
from service.config.load import Loaded, load
from service.config.seed import seed_document, shipped
from service.errors import ConfigurationError

ENV = {"OPENAI_API_KEY": "sk-one", "OPENROUTER_API_KEY": "sk-two", "LITELLM_MASTER_KEY": "sk-master"}
LITELLM: dict[str, Any] = yaml.safe_load(shipped("litellm-two-macs.yaml").read_text(encoding="utf-8"))
Change = Callable[[dict[str, Any]], None]


def loaded(folder: Path, text: str, env: dict[str, str] | None = None) -> Loaded:
    """What `load` makes of a text."""
    file = folder / "house.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, ENV if env is None else env)


def seeded(folder: Path, change: Change, env: dict[str, str] | None = None) -> Configuration:
    """The seed after a change."""
    document = seed_document()
    change(document)
    return loaded(folder, yaml.safe_dump(document, sort_keys=False), env).configuration


def litellm(folder: Path, change: Change, env: dict[str, str] | None = None) -> Loaded:
    """The ordinary LiteLLM file after a change."""
    document = copy.deepcopy(LITELLM)
    change(document)
    return loaded(folder, yaml.safe_dump(document, sort_keys=False), env)


def refusal(folder: Path, change: Change, env: dict[str, str] | None = None) -> str:
    """The one line that the changed seed is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        seeded(folder, change, env)
    return str(caught.value)
