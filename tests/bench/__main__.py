"""``python -m tests.bench [NAME ...] [--scale X] [--write]``: run benches, keep their figures, show their tables."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from tests.bench import faults, loop_lag, peers, soak, tables
from tests.bench.contenders import ALL
from tests.bench.machine import RESULTS, facts

BENCHES: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]] = {
    "peers": lambda given: peers.run(given.scale, tuple(given.only or ALL)),
    "loop_lag": lambda given: loop_lag.run(given.scale),
    "faults": lambda given: faults.run(tuple(given.only or faults.CONTENDERS)),
    "soak": lambda given: soak.run(max(int(given.requests * given.scale), 1)),
}


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; all of them if left out")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the numbers of requests")
    parser.add_argument(
        "--only", action="append", metavar="CONTENDER", help="peers, faults: only this one (repeatable)"
    )
    parser.add_argument("--requests", type=int, default=soak.WHOLE, help="soak: requests")
    parser.add_argument("--write", action="store_true", help="put the tables of all kept results into README.md")
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in BENCHES:
            parser.error(f"no bench is named {name!r}; there are {', '.join(BENCHES)}")
    return given


def main(argv: list[str] | None = None) -> int:
    """Runs what was asked for; each result lies in ``bench-results/NAME.json``."""
    given = _arguments(sys.argv[1:] if argv is None else argv)
    RESULTS.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, _ended)
    for name in given.names or ([] if given.write else list(BENCHES)):
        print(f"== {name}", flush=True)
        result = {"facts": facts(), **_run(BENCHES[name](given))}
        result["facts"]["load_after"] = facts()["load"]
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(tables.TABLES[name](result), flush=True)
    if given.write:
        tables.write_readme()
    return 0


def _ended(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends as an error does: what was started is stopped on the way out."""
    sys.exit(128 + number)


def _run(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """On uvloop where it is there: the generator is to cost as little as it can."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    result: dict[str, Any] = uvloop.run(work)
    return result


if __name__ == "__main__":
    sys.exit(main())
