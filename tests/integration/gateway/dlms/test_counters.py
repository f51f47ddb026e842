"""An invocation counter is never used twice, whoever dies when, and finds its way where nobody knows it."""

import asyncio
from pathlib import Path

import pytest

from dlms.security.counters import COUNTER_LAST
from gateway.adapters.dlms.counters import LEAP_MAX, CounterBook, SentCounter
from gateway.core.acquisition import Reading, ReadValues
from gateway.ports import MeterRefusedError, UntrustedError
from tests.integration.gateway.dlms.gateway_side import Joined, joined, our_meter, write_secrets
from tests.integration.gateway.dlms.site import MemoryShelf, make_sim_meter


def counters_sent(side: Joined) -> list[int]:
    """Return the counters of what the meter was sent as requests of the control role, in order."""
    return [
        int.from_bytes(apdu[3:7]) if apdu[1] < 0x80 else int.from_bytes(apdu[4:8])
        for client, apdu in side.line.asked
        if client == 48 and 200 <= apdu[0] <= 207
    ]


async def test_numbers_are_on_the_disk_before_they_are_used() -> None:
    shelf = MemoryShelf()
    counter = SentCounter("c", shelf, bound=500)
    used = []
    for _ in range(2_500):
        await counter.reserve()
        used.append(counter.take())
        assert used[-1] < int.from_bytes(shelf.values["c"])
    assert used == list(range(500, 3_000))
    assert len(shelf.log) == 3


async def test_a_process_that_is_killed_goes_on_above_all_it_may_have_used() -> None:
    shelf = MemoryShelf()
    before = await SentCounter.load("c", shelf)
    before.raise_to(10)
    await before.reserve()
    used = [before.take() for _ in range(20)]
    after = await SentCounter.load("c", shelf)
    await after.reserve()
    assert not after.is_doubtful
    assert after.take() > max(used)


async def test_a_disk_that_does_not_take_the_bound_stops_the_conversation_before_it_begins(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await side.driver.switch("m1", closed=True)

        class FullError(Exception):
            pass

        async def keep(_name: str, _value: bytes) -> None:
            raise FullError

        side.restarted()
        side.shelf.keep = keep  # type: ignore[method-assign]
        before = len(counters_sent(side))
        with pytest.raises(FullError):
            await side.driver.switch("m1", closed=True)
        assert len(counters_sent(side)) == before


async def test_two_lines_never_share_a_number_of_one_key() -> None:
    shelf = MemoryShelf()
    counter = SentCounter("c", shelf, bound=1)
    taken: list[int] = []

    async def use() -> None:
        for _ in range(700):
            await counter.reserve()
            taken.append(counter.take())
            await asyncio.sleep(0)

    await asyncio.gather(use(), use(), use())
    assert len(set(taken)) == len(taken)


async def test_meters_with_one_key_share_a_counter(tmp_path: Path) -> None:
    files = write_secrets(tmp_path)
    book = CounterBook(MemoryShelf())
    one, other = (our_meter(name, files).roles for name in ("m1", "m2"))
    assert await book.sent(one["control"].settings) is await book.sent(other["control"].settings)  # type: ignore[index]
    assert await book.sent(one["control"].settings) is not await book.sent(one["firmware"].settings)  # type: ignore[index]


async def test_an_unknown_counter_is_asked_of_the_public_client(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.admission.peer_counters[48].accept(123_456)  # type: ignore[index]
        await side.driver.switch("m1", closed=True)
        assert min(counters_sent(side)) > 123_456
        assert [client for client, apdu in side.line.asked if apdu[0] == 0x60] == [16, 48]


async def test_numbers_rise_over_restarts(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        for _ in range(3):
            await side.driver.switch("m1", closed=True)
            side.restarted()
        sent = counters_sent(side)
        assert sent == sorted(set(sent))


async def test_a_counter_that_another_head_end_has_passed_is_lifted(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await side.driver.switch("m1", closed=True)
        side.sim.admission.peer_counters[48].accept(1_000_000)  # type: ignore[index]
        await side.driver.switch("m1", closed=True)
        assert counters_sent(side)[-1] > 1_000_000


async def test_a_meter_cannot_use_our_counter_up_by_its_word(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await side.driver.switch("m1", closed=True)
        side.sim.admission.peer_counters[48].accept(COUNTER_LAST - LEAP_MAX)  # type: ignore[index]
        with pytest.raises((UntrustedError, MeterRefusedError)):
            await side.driver.switch("m1", closed=True)
        (bound,) = (value for name, value in side.shelf.values.items() if name.startswith("dlms/sent/"))
        assert int.from_bytes(bound) < LEAP_MAX


async def test_what_the_meter_sent_before_is_not_believed_again_after_a_restart(tmp_path: Path) -> None:
    entry = {"reading": None}
    async with joined(tmp_path, entry=entry) as side:
        await side.visit(ReadValues())
        # The same meter begins to count anew: what it says could have been recorded long ago.
        side.sim.admission.counters = type(side.sim.admission.counters)(1, lambda _: None)
        side.restarted()
        with pytest.raises(UntrustedError, match="per-association"):
            await side.visit(ReadValues())


async def test_a_meter_that_forgets_is_believed_where_the_operator_says_so(tmp_path: Path) -> None:
    async with joined(tmp_path, entry={"reading": None, "peer_counters": "per-association"}) as side:
        await side.visit(ReadValues())
        side.sim.admission.counters = type(side.sim.admission.counters)(1, lambda _: None)
        events = await side.visit(ReadValues())
        assert [type(event) for event in events] == [Reading]


async def test_another_meter_with_the_same_keys_is_believed(tmp_path: Path) -> None:
    async with joined(tmp_path, entry={"reading": None}, first_counter=5_000) as side:
        await side.visit(ReadValues())
        other = make_sim_meter(side.clock, 2, days=0.1)
        side.line.meters = {1: other}
        events = await side.visit(ReadValues())
        assert [type(event).__name__ for event in events] == ["Identified", "Reading"]
