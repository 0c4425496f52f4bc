"""``python -m service.demo.hosts``: one simulated host."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from service.demo.hosts.faults import BadFault
from service.demo.hosts.process import run
from service.demo.hosts.spec import parse_args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one host; give the exit status: 2 for a command line or port that cannot be, else 0."""
    spec, exit_with_parent = parse_args(sys.argv[1:] if argv is None else argv)

    def announce(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    work = run(spec, exit_with_parent=exit_with_parent, announce=announce)
    try:
        try:
            import uvloop
        except ImportError:
            asyncio.run(work)
        else:
            uvloop.run(work)
    except BadFault as error:
        sys.stderr.write(f"simulated host {spec.name}: --fault: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"simulated host {spec.name}: port {spec.port or spec.control_port}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
