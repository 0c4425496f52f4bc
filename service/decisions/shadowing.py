"""What a challenger in the shadow said: disagreements one by one, agreements as counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from service.decisions.schema import shadow_counts, shadows
from service.decisions.statements import Insert


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A request to which the challenger would have given another tier.

    Attributes:
        decision_id: The request.
        artifact: Id of the challenger.
        champion: Id of the artifact that decided.
        created_s: Unix seconds of the request.
        tier: The champion's tier, before conversation and constraints.
        shadow_tier: The challenger's.
        probability: That the champion gives to its own tier.
        shadow_probability: That the challenger gives to its own.
    """

    decision_id: str
    artifact: str
    champion: str
    created_s: float
    tier: str
    shadow_tier: str
    probability: float
    shadow_probability: float


Pair = tuple[str, str, str, str, str]
"""Day (UTC), challenger, champion, the champion's tier, the challenger's."""


def day_of(seconds: float) -> str:
    """The day (UTC) of a time."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def put_shadows(
    connection: Connection, insert: Insert, found: Sequence[Disagreement], counts: Mapping[Pair, int]
) -> None:
    """Adds disagreements, and adds up counts."""
    if found:
        connection.execute(insert(shadows).on_conflict_do_nothing(), [asdict(one) for one in found])
    names = ("day", "artifact", "champion", "tier", "shadow_tier")
    # Sorted, because two processes that lock rows in different orders deadlock.
    for pair, number in sorted(counts.items()):
        row = insert(shadow_counts).values(**dict(zip(names, pair, strict=True)), number=number)
        grown = {"number": shadow_counts.c.number + row.excluded.number}
        connection.execute(row.on_conflict_do_update(index_elements=[shadow_counts.c[n] for n in names], set_=grown))


def newest_disagreements(connection: Connection, since_s: float, limit: int) -> list[Disagreement]:
    """Disagreements since a time, newest first."""
    query = select(shadows).where(shadows.c.created_s >= since_s).order_by(shadows.c.created_s.desc()).limit(limit)
    return [Disagreement(**row) for row in connection.execute(query).mappings()]


def shadow_summary(connection: Connection, since_s: float) -> list[dict[str, Any]]:
    """For each challenger and champion: `compared`, `disagreed`, and `pairs` (tier, shadow_tier, number)."""
    total = func.sum(shadow_counts.c.number).label("number")
    columns = [shadow_counts.c[name] for name in ("artifact", "champion", "tier", "shadow_tier")]
    query = select(*columns, total).where(shadow_counts.c.day >= day_of(since_s)).group_by(*columns).order_by(*columns)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in connection.execute(query).mappings():
        one = found.setdefault(
            (row["artifact"], row["champion"]),
            {"artifact": row["artifact"], "champion": row["champion"], "compared": 0, "disagreed": 0, "pairs": []},
        )
        number = int(row["number"])
        one["compared"] += number
        one["disagreed"] += number if row["tier"] != row["shadow_tier"] else 0
        one["pairs"].append({"tier": row["tier"], "shadow_tier": row["shadow_tier"], "number": number})
    return list(found.values())
