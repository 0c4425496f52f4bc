"""TABLE.md: what every cell and scenario showed, over both ways upstream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.faults.cells import SCALE
from tests.faults.play import Seen
from tests.faults.scenarios import Story

NONE = "none"


@dataclass(slots=True)
class Played:
    """All that was played over one way upstream."""

    way: str
    cells: list[Seen] = field(default_factory=list)
    stories: list[tuple[str, Story]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def table(played: Sequence[Played], commit: str, day: str, machine: str) -> str:
    """The whole file."""
    return "\n".join([*_head(played, commit, day, machine), *(line for p in played for line in _of_way(p)), ""])


def _head(played: Sequence[Played], commit: str, day: str, machine: str) -> Iterator[str]:
    yield "# The fault matrix"
    yield ""
    yield f"Made by `make faults` on {day}, commit {commit}, {machine}, times x {SCALE:g}. Do not edit."
    yield ""
    yield "Every row is one request through the whole service in front of simulated hosts; those before the place in"
    yield "the chain are off. Limits are shortened (tests/faults/cells.py): 2.5, 3 and 2 s to the first token per tier"
    yield "where the product has 30, 120 and 180 s, and so on in proportion. Times are seconds at the client; of an"
    yield "answer that was not streamed the first token is the serving host's. A `→` leads to the next deployment."
    yield ""
    yield "| way upstream | cells | answered | error before the first token | error event in a stream | rules broken |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for p in played:
        done = sum(seen.reply.done for seen in p.cells)
        cut = sum(seen.reply.status == 200 and not seen.reply.done for seen in p.cells)
        yield f"| {p.way} | {len(p.cells)} | {done} | {len(p.cells) - done - cut} | {cut} | {len(p.wrong)} |"
    for line in (line for p in played for line in p.wrong):
        yield f"\n- broken: {line}"


def _of_way(played: Played) -> Iterator[str]:
    yield f"\n## Way upstream: {played.way}"
    yield "\n### Several hosts, clients that leave, sleep, swaps\n"
    yield "| what happens | the client got | attempts | first token | total | recorded |"
    yield "| --- | --- | --- | ---: | ---: | --- |"
    for name, s in played.stories:
        yield f"| {name} | {s.client} | {s.attempts} | {_s(s.first_token_s)} | {_s(s.total_s)} | {s.recorded} |"
    places = dict.fromkeys((seen.cell.tier, seen.cell.position) for seen in played.cells)
    for tier, position in places:
        here = [seen for seen in played.cells if (seen.cell.tier, seen.cell.position) == (tier, position)]
        yield f"\n### {tier}, place {position + 1}: {here[0].cell.deployment}\n"
        yield "| fault | stream | the client got | attempts | first token | total | recorded |"
        yield "| --- | --- | --- | --- | ---: | ---: | --- |"
        yield from (_row(seen) for seen in here)


def _row(seen: Seen) -> str:
    reply, cell = seen.reply, seen.cell
    attempts = " → ".join(f"{a['deployment_id']} {a['outcome']}" for a in seen.attempts) or NONE
    columns = (
        cell.name,
        "yes" if cell.stream else "no",
        _got(seen),
        attempts,
        _s(reply.first_token_s),
        _s(reply.total_s),
        seen.record["outcome"],
    )
    return "| " + " | ".join(columns) + " |"


def _got(seen: Seen) -> str:
    reply = seen.reply
    code = (reply.error or {}).get("code") or (reply.error or {}).get("type")
    if reply.done:
        warned = next((" with a warning in the record" for a in seen.attempts if a["warning"]), "")
        return f"answer of {seen.record['deployment_id']}{warned}"
    return f"text, then error event {code}" if reply.status == 200 else f"{reply.status} {code}"


def _s(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds:.2f}"
