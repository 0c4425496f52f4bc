"""The JSON schema of a configuration, as editors read it."""

from __future__ import annotations

import json
from typing import Any

from service.config.model import Configuration


def schema() -> dict[str, Any]:
    """The schema; descriptions are those of the models."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Configuration.model_json_schema(),
        "title": "autotier configuration",
    }


def schema_text() -> str:
    """The schema as the file ``configs/autotier.schema.json`` holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
