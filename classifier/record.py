"""The labelled request: the one JSONL record that training, feedback export and evaluation share."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.prompt import Messages
from classifier.tiers import Tier

TEAM_WRITTEN = ("natural", "written")
"""Sources of the base data: `written` towards a tier each; `natural` labelled only afterwards, by others or blind."""


@dataclass(frozen=True, slots=True)
class LabelledRequest:
    """One request with its label.

    Attributes:
        id: Unique within its file.
        source: Where it comes from; whole sources are held out in evaluation.
        tier: The label.
        request: A string (one user message) or OpenAI messages.
        labels: Each labelling, `?` at the end where the labeller was torn; empty if unknown.
        weight: Weight in training, 1.0 for a row of the base data.
        group: Topic or subject; whole groups are held out in evaluation of team-written rows.
        near: Near group (same topic, other tiers), "" if none.
        block: What must be held out together (connected near groups and topics), "" if unknown.
        turn: Of a conversation: `continues`, `changes` (another topic) or `new`; "" if unknown.
        lang: Language code, "" if unknown.
        licence_class: `permissive`, or another word for rows that may only be measured with.
        score: Where a reader saw the request between trivial (0) and as hard as can be (100), -1 if nobody looked
            (`training.scores`).
    """

    id: str
    source: str
    tier: Tier
    request: str | Messages
    labels: tuple[str, ...] = ()
    weight: float = 1.0
    group: str = ""
    near: str = ""
    block: str = ""
    turn: str = ""
    lang: str = ""
    licence_class: str = "permissive"
    score: int = -1

    @property
    def text(self) -> str:
        """All text of user turns, joined: for leak checks and length buckets."""
        if isinstance(self.request, str):
            return self.request
        return "\n".join(c for m in self.request if m.get("role") == "user" and isinstance(c := m.get("content"), str))


def record_from(row: Mapping[str, Any], *, source: str = "") -> LabelledRequest:
    """Read one record.

    Args:
        row: Keys `id`, `tier`, and `prompt` or `messages`; the others are optional.
        source: Source where the row names none.

    Returns:
        The record.

    Raises:
        ValueError: A key is missing or the tier is unknown; the message names the row.
    """
    request = row.get("messages") or row.get("prompt")
    if "id" not in row or "tier" not in row or request is None:
        raise ValueError(f"row {row.get('id', '?')}: a labelled request has id, tier, and prompt or messages")
    try:
        tier = Tier(row["tier"])
    except ValueError as error:
        raise ValueError(f"row {row['id']}: unknown tier {row['tier']!r}") from error
    return LabelledRequest(
        id=str(row["id"]),
        source=str(row.get("source") or source),
        tier=tier,
        request=request,
        labels=tuple(row.get("labels") or ()),
        weight=float(row.get("weight", 1.0)),
        group=str(row.get("topic") or row.get("group") or ""),
        near=str(row.get("near") or ""),
        block=str(row.get("block") or ""),
        turn=str(row.get("turn") or ""),
        lang=str(row.get("lang") or ""),
        licence_class=str(row.get("licence_class") or "permissive"),
    )


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file, plain or gzip by its name.

    Raises:
        ValueError: A line is not a JSON object; the message names file and line.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{number}: not a JSON object")
            yield row


def read_requests(path: Path, *, source: str = "") -> list[LabelledRequest]:
    """All labelled requests of a JSONL file."""
    return [record_from(row, source=source) for row in read_rows(path)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSONL; gzip by the name, without a time stamp, so that equal rows give equal bytes."""
    data = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows).encode("utf-8")
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
