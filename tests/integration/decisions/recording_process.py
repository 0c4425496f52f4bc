"""A process that records, says when it has, and waits to be killed: ``python recording_process.py STORE``."""

from __future__ import annotations

import asyncio
import sys

from service.decisions.recorder import Recorder
from service.decisions.records import DecisionRecord, FeedbackRecord
from service.decisions.store import DecisionStore

DECISIONS = 40
WRITTEN = 25


def made(number: int) -> DecisionRecord:
    """A decision."""
    return DecisionRecord(
        id=f"dec_{number:032x}",
        created_s=float(number),
        caller="anna",
        surface="chat",
        model_asked="auto",
        stream=False,
        tier="coding",
        reason="classifier",
        confidence=0.5,
        displaced=None,
        artifact=None,
        deployment_id=None,
        outcome="answered",
        status=200,
        first_token_ms=None,
        total_ms=1.0,
        prompt_tokens=None,
        completion_tokens=None,
        cost_usd=0.0,
        conversation=None,
        finish_reason=None,
        decision={},
    )


async def main(url: str) -> None:
    """Writes 25 decisions, gives feedback on one that still waits, keeps 14 more in memory, and waits."""
    recorder = Recorder(DecisionStore.open(url), flush_ms=300)
    for number in range(WRITTEN):
        recorder.record(made(number))
    while recorder.snapshot()["written"] < WRITTEN:
        await asyncio.sleep(0.01)
    # From here on nothing is flushed on its own.
    recorder._writer._flush_s = 3600.0
    recorder.record(made(WRITTEN))
    await recorder.feedback(FeedbackRecord(made(WRITTEN).id, "anna", 1.0, solved=False))
    for number in range(WRITTEN + 1, DECISIONS):
        recorder.record(made(number))
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
