"""``make faults``: plays the whole matrix over both ways upstream and writes TABLE.md. Exit 1 where a rule is broken.

    python -m tests.faults [--way auto|router] [--houses N]

Some houses per way play at once: nearly all of the time is waiting.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import tests.house
from service.demo.hosts import HostSpec
from tests.faults.cells import HOSTS, Cell, all_cells, shortened
from tests.faults.play import Seen, play
from tests.faults.rules import violations
from tests.faults.scenarios import IN_A_HOUSE_OF_ITS_OWN, IN_THE_MATRIX, SPECIAL_HOSTS, Story, special, tell
from tests.faults.table import Played, table
from tests.house import Change, House

TABLE = Path(__file__).with_name("TABLE.md")
WAYS = ("auto", "router")


LONGEST_START_S = 300.0
"""litellm takes seconds to import, and minutes on a machine that is short of memory and processors."""

_STARTING = Lock()


@contextmanager
def started(way: str, change: Change, hosts: Mapping[str, HostSpec]) -> Iterator[House]:
    """A house; one starts at a time, since each takes seconds of all processors for litellm's import."""
    with ExitStack() as stack:
        with _STARTING:
            house = _opened(stack, way, change, hosts)
        yield house


def _opened(stack: ExitStack, way: str, change: Change, hosts: Mapping[str, HostSpec], tries: int = 3) -> House:
    """A machine that does ten other things may miss the limit for a start; the matrix is not given up for that."""
    while True:
        try:
            return stack.enter_context(House(way=way, change=change, hosts=hosts))
        except RuntimeError as error:
            tries -= 1
            if not tries:
                raise
            print(f"{way}: {str(error)[:200]}; once more", flush=True)


def play_cells(way: str, cells: list[Cell]) -> list[Seen]:
    """One house, these cells one after the other. A cell with a violation is played once more: machines hiccup."""
    seen = []
    with started(way, shortened, HOSTS) as house:
        for number, cell in enumerate(cells):
            one = play(house, cell)
            if violations(one):
                print(f"again, {way}: {'; '.join(violations(one))}", flush=True)
                one = play(house, cell)
            seen.append(one)
            if number % 40 == 39:
                print(f"{way}: {number + 1} of {len(cells)} cells of a house", flush=True)
    return seen


def play_stories(way: str) -> list[tuple[str, Story]]:
    """The scenarios, in the matrix's house and in one of their own."""
    stories = []
    with started(way, shortened, HOSTS) as house:
        stories += [(name, tell(house, scenario)) for name, scenario in IN_THE_MATRIX.items()]
    with started(way, special, SPECIAL_HOSTS) as house:
        stories += [(name, tell(house, scenario)) for name, scenario in IN_A_HOUSE_OF_ITS_OWN.items()]
    return stories


def play_way(way: str, houses: int) -> Played:
    """Everything over one way upstream."""
    cells = list(all_cells())
    with ThreadPoolExecutor(houses + 1) as pool:
        stories = pool.submit(play_stories, way)
        parts = list(pool.map(lambda n: play_cells(way, cells[n::houses]), range(houses)))
    order = {cell: number for number, cell in enumerate(cells)}
    played = Played(way, sorted((s for part in parts for s in part), key=lambda s: order[s.cell]), stories.result())
    played.wrong = [said for seen in played.cells for said in violations(seen)]
    played.wrong += [f"{name}: {said}" for name, story in played.stories for said in story.wrong]
    return played


def _commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def main() -> int:
    """Plays, writes, reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=WAYS, help="only this one; the table is then not written")
    parser.add_argument("--houses", type=int, default=3, help="houses at once")
    given = parser.parse_args()
    tests.house.START_LIMIT_S = LONGEST_START_S
    played = [play_way(way, given.houses) for way in ([given.way] if given.way else WAYS)]
    if given.way is None:
        machine = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        TABLE.write_text(table(played, _commit(), datetime.now(UTC).date().isoformat(), machine), encoding="utf-8")
    wrong = [f"{p.way}: {said}" for p in played for said in p.wrong]
    print("\n".join(wrong) or f"{sum(len(p.cells) for p in played)} cells, no rule broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
