"""The canonical form of a request: two requests share a key exactly where one answer serves both.

In the key: who asks (or the group that shares), tier, the deployments that may serve with all that is configured about
them, every message, every field that changes the answer. Not in it: the order of arguments, whether a text comes as a
string or as its only part, whether the answer is streamed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

VERSION = 1
"""Of the canonical form and of entries; another one never meets the old ones."""

_SAFE_INTEGER = 2**53
_TYPOGRAPHIC = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u00a0": " ",
        "\u202f": " ",
    }
)
_SPACES = re.compile(r" {2,}")
_REPEATED = re.compile(r"([?!。？！])[?!。？！]+$")
_VERBATIM = re.compile(r"[\n\t`{}\\]")
"""Text with any of these may be code or a table, where white space has a meaning."""


class NotCanonical(ValueError):
    """A part of a request that has no canonical form: its content is not in the request."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the cache sees of a request.

    Attributes:
        owner: Caller, or the group whose callers share answers (``group:NAME``).
        tier: Decided tier.
        serving: One text per deployment that may serve, with all that is configured about it.
        messages: OpenAI's messages.
        fields: Body fields that change the answer.
    """

    owner: str
    tier: str
    serving: tuple[str, ...]
    messages: Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """Digests of one question, 32 hexadecimal digits each.

    Attributes:
        exact: Of all of it.
        near: The same, with the newest ask folded (`folded`).
        scope: Of all of it but the newest ask: only within one scope are asks compared.
        ask: The newest ask's text; "" where it is not the last message or is more than text.
        group: Owner and tier, ``caller:NAME/TIER``: hits are verified and thresholds set by it.
    """

    exact: str
    near: str
    scope: str
    ask: str
    group: str = ""


def key_of(question: Question) -> Key:
    """The key of a question. Takes about 3 us per KB.

    Raises:
        NotCanonical: An image by address or an attachment: what stands there may change.
    """
    messages = [_message(message) for message in question.messages]
    around = [VERSION, question.owner, question.tier, question.serving, _plain(dict(question.fields))]
    ask = messages[-1][1] if messages and messages[-1][0] == "user" else None
    text = ask if isinstance(ask, str) else ""
    return Key(
        exact=_digest([around, messages]),
        near=_digest([around, [*messages[:-1], ["user", folded(text), *messages[-1][2:]]]])
        if text
        else _digest([around, messages]),
        scope=_digest([around, messages[:-1], messages[-1][2:] if text else messages[-1:]]),
        ask=text,
        group=f"{question.owner}/{question.tier}",
    )


def folded(text: str) -> str:
    """An ask without what never changes its meaning: typographic marks, doubled spaces, repeated marks at the end.

    Letters keep their case (``polish`` is not ``Polish``), numbers their form (x² is not x2); texts with line breaks,
    back-quotes or braces are code and only lose white space at their ends.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if _VERBATIM.search(text):
        return text
    text = _SPACES.sub(" ", text.translate(_TYPOGRAPHIC))
    return _REPEATED.sub(r"\1", text).removesuffix(".") if not text.endswith("...") else text


def _message(message: Mapping[str, Any]) -> list[Any]:
    """Role, content, everything else that is set."""
    role = "system" if message["role"] == "developer" else message["role"]
    rest = {k: _plain(v) for k, v in message.items() if k not in ("role", "content") and v not in (None, [], "")}
    return [role, _content(message.get("content")), *([rest] if rest else [])]


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content or ""
    parts = [_part(part) for part in content]
    return parts[0]["text"] if len(parts) == 1 and set(parts[0]) == {"text"} else parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url" and isinstance(part.get("image_url"), Mapping):
        image = part["image_url"]
        return {"image": _image(image.get("url")), "detail": image.get("detail") or "auto"}
    raise NotCanonical(f"a part of type {kind}")


def _image(url: Any) -> str:
    """Digest of an inline image's bytes."""
    if not isinstance(url, str) or not url.startswith("data:"):
        raise NotCanonical("an image by address")
    head, _, data = url.partition(",")
    try:
        raw = base64.b64decode(data, validate=True) if head.endswith(";base64") else data.encode()
    except (binascii.Error, ValueError):
        raise NotCanonical("an image that is not base64") from None
    return hashlib.sha256(raw).hexdigest()


def _plain(value: Any) -> Any:
    """Values with one form each: 1.0 is 1. Keys are sorted when written."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _SAFE_INTEGER:
        return int(value)
    return value


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
