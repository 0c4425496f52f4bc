"""What the demo expects of each of its prompts, read from ``expected.yaml`` beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

NO_FAULT = "none"


@dataclass(frozen=True, slots=True)
class Expected:
    """One prompt of the demo.

    Attributes:
        served: Deployment and number of attempts by fault (``none`` or as ``--fault`` has it).
    """

    prompt: str
    tier: str
    served: dict[str, tuple[str, int]]

    def differs(self, fault: str, tier: str, deployment: str, attempts: int) -> str:
        """What is not as expected under ``fault``, or "". A fault without expectations is judged by nothing."""
        wanted = self.served.get(fault)
        if wanted is None or (self.tier, *wanted) == (tier, deployment, attempts):
            return ""
        return f"expected {self.tier}, {wanted[0]}, {wanted[1]} attempt(s)"


def expectations() -> list[Expected]:
    """The demo's prompts, in the order in which they are sent."""
    rows = yaml.safe_load((Path(__file__).parent / "expected.yaml").read_text(encoding="utf-8"))
    return [
        Expected(
            row["prompt"],
            row["tier"],
            {fault: (str(row[fault][0]), int(row[fault][1])) for fault in row if fault not in ("prompt", "tier")},
        )
        for row in rows
    ]
