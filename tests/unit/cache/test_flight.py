"""Identical requests under way share one call, and nobody's leaving or dying hangs the others."""

from __future__ import annotations

import asyncio

import pytest

from service.cache.flight import Flight, Flights, NotOpened, Reader

F = Flight[str, int]


class Call:
    """A call whose steps the test makes.

    Attributes:
        kept: Answers that `after` saw.
        ended: The work's end, however it came.
    """

    def __init__(self) -> None:
        self.steps: asyncio.Queue[int | str | Exception] = asyncio.Queue()
        self.kept: list[list[int]] = []
        self.ended = asyncio.Event()
        self.started = 0

    async def work(self, flight: F) -> None:
        """Text opens, numbers are batches, an empty text ends, an error fails."""
        self.started += 1
        try:
            while (step := await self.steps.get()) != "":
                if isinstance(step, Exception):
                    raise step
                flight.opened(step) if isinstance(step, str) else flight.add(step)
        finally:
            self.ended.set()

    async def after(self, flight: F) -> None:
        """Notes what came."""
        self.kept.append(list(flight.batches))

    def does(self, *steps: int | str | Exception) -> None:
        """Makes steps."""
        for step in steps:
            self.steps.put_nowait(step)


@pytest.fixture
async def call() -> Call:
    """A call."""
    return Call()


async def rest(reader: Reader[str, int]) -> list[int]:
    """All that a reader reads."""
    return [batch async for batch in reader]


async def test_a_follower_reads_from_the_beginning(call: Call) -> None:
    """Whoever joins late misses nothing, and one call is made."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    call.does("head", 1, 2)
    assert await leader.opened() == "head"
    follower = flights.join("k")
    assert follower is not None

    call.does(3, "")

    assert await asyncio.gather(rest(leader), rest(follower)) == [[1, 2, 3], [1, 2, 3]]
    assert await follower.opened() == "head"
    assert call.started == 1
    await call.ended.wait()
    assert call.kept == [[1, 2, 3]]


async def test_the_leader_leaves_and_the_follower_goes_on(call: Call) -> None:
    """The call is not ended, and its costs become the follower's."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    follower = flights.join("k")
    assert follower is not None
    assert (leader.carries, follower.carries) == (True, False)

    await leader.aclose()
    call.does("head", 1, "")

    assert await rest(follower) == [1]
    assert follower.carries


async def test_the_last_one_out_ends_the_call(call: Call) -> None:
    """Nobody listens: the connection upstream is not kept."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    follower = flights.join("k")
    assert follower is not None
    call.does("head", 1)
    await follower.opened()

    await leader.aclose()
    assert not call.ended.is_set()
    await follower.aclose()

    assert call.ended.is_set()
    assert flights.join("k") is None
    assert call.kept == []


async def test_a_call_that_is_left_before_its_first_step_ends_too(call: Call) -> None:
    """A task that is cancelled before it ran must not leave a flight that others wait for."""
    flights: Flights[str, int] = Flights()

    await flights.lead("k", call.work, call.after).aclose()

    assert flights.join("k") is None
    assert call.started == 0


async def test_a_failure_reaches_everybody_and_nobody_after(call: Call) -> None:
    """All that waited get the same error; the next request begins anew."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    follower = flights.join("k")
    assert follower is not None

    call.does(OSError("down"))

    for reader in (leader, follower):
        with pytest.raises(OSError, match="down"):
            await reader.opened()
    assert flights.join("k") is None


async def test_a_stream_that_dies_dies_for_all_after_what_came(call: Call) -> None:
    """Followers get every batch before the error."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    call.does("head", 1, OSError("cut"))

    seen = [await anext(leader)]
    with pytest.raises(OSError, match="cut"):
        await anext(leader)

    assert seen == [1]
    assert call.kept == []


async def test_who_waited_for_a_call_that_was_ended_asks_again(call: Call) -> None:
    """A reader that is left over gets `NotOpened`, not silence."""
    flights: Flights[str, int] = Flights()
    leader = flights.lead("k", call.work, call.after)
    call.does(NotOpened("its leader may ask no more"))

    with pytest.raises(NotOpened):
        await leader.opened()


async def test_a_flight_can_be_joined_until_its_answer_is_kept(call: Call) -> None:
    """Between the end of the answer and its place in the store nobody makes a second call."""
    flights: Flights[str, int] = Flights()
    keeping = asyncio.Event()

    async def slowly(flight: F) -> None:
        await keeping.wait()

    leader = flights.lead("k", call.work, slowly)
    call.does("head", 1, "")
    assert await rest(leader) == [1]

    late = flights.join("k")
    assert late is not None
    assert await rest(late) == [1]
    keeping.set()
    await asyncio.sleep(0.01)
    assert flights.join("k") is None
