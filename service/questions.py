"""Fixed questions to a deployment that judges: data in a JSON object, an answer in one. Pure; who asks is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def fixed_question(
    instruction: str, shown: Mapping[str, Any], name: str, schema: Mapping[str, Any], *, json_schema: bool
) -> dict[str, Any]:
    """The body of a chat request.

    Args:
        instruction: The question itself, which says that what is shown is data.
        shown: The data.
        name: Of the answer's schema.
        schema: Of the answer.
        json_schema: The deployment takes a schema; else it is asked for any JSON object.
    """
    form: dict[str, Any] = {"type": "json_object"}
    if json_schema:
        form = {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
    return {
        "messages": [
            {"role": "system", "content": instruction},
            {"role": "user", "content": json.dumps(shown, ensure_ascii=False)},
        ],
        "temperature": 0,
        "response_format": form,
    }


def answered(text: str | None, key: str) -> Any:
    """What the answer's JSON object has under ``key``, whatever stands around the object; None where there is none."""
    begin, end = (text or "").find("{"), (text or "").rfind("}")
    if text is None or begin < 0 or end < begin:
        return None
    try:
        value = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return None
    return value.get(key) if isinstance(value, dict) else None
