"""A visit brings what was asked for, in one association, and what it learned is not asked again."""

from dataclasses import replace
from pathlib import Path

import pytest

from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.objects import Catalogue
from device_sim.core.is15959.prepaid import PaymentMode
from dlms.apdu.acse import Aarq, Mechanism
from dlms.apdu.codec import decode_acse, decode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import GetRequest, GetRequestList
from dlms.obis import obis
from gateway.core.acquisition import (
    Captured,
    ClockSeen,
    Identified,
    Logged,
    Mirror,
    Mirrored,
    ReadCaptured,
    Reading,
    ReadLog,
    ReadMeter,
    ReadValues,
    SyncClock,
    TaskRefused,
    VisitEvent,
)
from gateway.core.coverage import Span
from gateway.ports import MeterRefusedError, UntrustedError
from tests.integration.gateway.dlms.gateway_side import KINDS, Joined, joined, roles, write_secrets
from tests.integration.gateway.dlms.site import DAY_MS, HOUR_MS, UTC_LESS_TICK_MS
from tests.rig.blocking import blocking_calls_fail
from wire.readings import QUALITY_MISSING

BLOCK, DAILY, BILLING = obis("1.0.99.1.0.255"), obis("1.0.99.2.0.255"), obis("1.0.98.1.0.255")
TRANSACTIONS = obis("0.0.99.98.3.255")
IMPORT_CHANNEL = 7


def the_last(side: Joined, profile: bytes, duration_ms: int) -> ReadCaptured:
    now_s = side.clock.wall_ms() // 1_000
    return ReadCaptured(profile=profile, spans=(Span(now_s - duration_ms // 1_000, now_s),))


def sync(**changes: int) -> SyncClock:
    given = {"utc_less_tick_ms": UTC_LESS_TICK_MS, "offset_ms_max": 10_000, "period_s": 0, **changes}
    return SyncClock(may_set=True, **given)


def one(events: list[VisitEvent], kind: type[VisitEvent]) -> VisitEvent:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def associations(side: Joined) -> list[int]:
    """Return the clients that opened an association, in order."""
    return [client for client, apdu in side.line.asked if apdu[0] == 0x60 and isinstance(decode_acse(apdu), Aarq)]


def plain_requests(side: Joined, start: int = 0) -> list[GetRequest | GetRequestList]:
    found = []
    for _, apdu in side.line.asked[start:]:
        if apdu[0] == 192:
            request = decode_apdu(apdu)
            assert isinstance(request, GetRequest | GetRequestList)
            found.append(request)
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_a_visit_brings_values_rows_and_clock_in_one_association(tmp_path: Path, kind: str) -> None:
    async with joined(tmp_path, kind) as side:
        tasks = (ReadValues(), sync(), the_last(side, BLOCK, DAY_MS), the_last(side, DAILY, 2 * DAY_MS))
        with blocking_calls_fail(("gateway", "dlms")):
            events = await side.visit(*tasks)

        assert [type(event) for event in events] == [Identified, Reading, ClockSeen, Captured, Captured]
        assert associations(side) == [32]
        identified, reading, seen, block, daily = events
        assert isinstance(identified, Identified)
        assert (identified.serial, identified.firmware) == ("00000001", "1.0.0")
        assert isinstance(reading, Reading)
        assert len(reading.samples) == 10
        assert reading.samples[IMPORT_CHANNEL].value == side.sim.measuring.import_wh
        assert all(sample.quality is None for sample in reading.samples)
        assert isinstance(seen, ClockSeen)
        assert abs(seen.offset_ms) < 1_000
        assert not seen.was_set
        assert isinstance(block, Captured)
        assert (block.serial, block.period_s, len(block.rows)) == ("00000001", 900, 96)
        assert [channel.unit for channel in block.channels] == [35, 30, 31, 30, 31, 33, 255]
        assert all(row.captured_s % 900 == 0 for row in block.rows)
        assert isinstance(daily, Captured)
        assert len(daily.rows) == 2
        # Midnight in India.
        assert {row.captured_s % 86_400 for row in daily.rows} == {86_400 - 330 * 60}


async def test_rows_add_up_to_what_the_register_counted(tmp_path: Path) -> None:
    async with joined(tmp_path, days=1) as side:
        (block,) = (event for event in await side.visit(the_last(side, BLOCK, DAY_MS)) if isinstance(event, Captured))
        energy = [channel.obis for channel in block.channels].index(obis("1.0.1.29.0.255"))
        total = sum(row.values[energy] or 0 for row in block.rows)
        running_wh = side.sim.measuring.import_wh - total
        assert 0 <= running_wh < 1_500
        assert total > 1_000


async def test_what_was_learned_is_asked_once_and_outlasts_a_restart(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        tasks = (ReadValues(), the_last(side, BLOCK, HOUR_MS))
        first = await side.visit(*tasks)
        learned_after = len(side.line.asked)
        again = await side.visit(*tasks)
        cheap = len(side.line.asked) - learned_after
        assert cheap == 4, "associate, values, periods, rows"
        assert [type(event) for event in again] == [Reading, Captured]
        side.restarted()
        before = len(side.line.asked)
        after_restart = await side.visit(*tasks)
        assert len(side.line.asked) - before == cheap
        assert [type(event) for event in after_restart] == [type(event) for event in first]


async def test_another_firmware_is_learned_anew_and_told(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await side.visit(the_last(side, BLOCK, HOUR_MS))
        side.sim.firmware.version = "2.0.0"
        events = await side.visit(the_last(side, BLOCK, HOUR_MS))
        identified = one(events, Identified)
        assert isinstance(identified, Identified)
        assert identified.firmware == "2.0.0"
        asked = [request for request in plain_requests(side) if isinstance(request, GetRequestList)]
        columns = [each for request in asked for each in request.attributes if each.descriptor.attribute == 3]
        assert len([each for each in columns if each.descriptor.name == BLOCK]) == 2


async def test_only_the_spans_that_were_asked_for_are_read(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        now_s = side.clock.wall_ms() // 1_000
        spans = (Span(now_s - 3_600, now_s), Span(now_s - 12 * 3_600, now_s - 11 * 3_600))
        events = await side.visit(ReadCaptured(profile=BLOCK, spans=spans))
        blocks = [event for event in events if isinstance(event, Captured)]
        assert [event.asked for event in blocks] == [(span,) for span in spans]
        for event, span in zip(blocks, spans, strict=True):
            assert len(event.rows) == 4
            assert all(span.first_s <= row.captured_s <= span.last_s for row in event.rows)


@pytest.mark.parametrize("states_deviation", [True, False])
async def test_a_meter_is_asked_in_the_way_it_writes_time(tmp_path: Path, states_deviation: bool) -> None:  # noqa: FBT001
    async with joined(tmp_path, states_deviation=states_deviation) as side:
        events = await side.visit(the_last(side, BLOCK, HOUR_MS), sync())
        block, seen = one(events, Captured), one(events, ClockSeen)
        assert isinstance(block, Captured)
        assert len(block.rows) == 4
        assert isinstance(seen, ClockSeen)
        assert abs(seen.offset_ms) < 1_000


async def test_a_billing_profile_brings_maxima_with_their_times(tmp_path: Path) -> None:
    async with joined(tmp_path, days=3) as side:
        side.sim.end_cycle(stamp_ms=side.sim.local_ms - 2_000)
        events = await side.visit(the_last(side, BILLING, DAY_MS))
        bill = one(events, Captured)
        assert isinstance(bill, Captured)
        assert bill.period_s == 0
        row = bill.rows[-1]
        values = dict(zip(((channel.obis, channel.unit) for channel in bill.channels), row.values, strict=True))
        now_s = side.clock.wall_ms() // 1_000
        assert values[obis("1.0.1.8.0.255"), 30] == side.sim.measuring.import_wh
        maximum_w, at_s = values[obis("1.0.1.6.0.255"), 27], values[obis("1.0.1.6.0.255"), 7]
        assert maximum_w is not None
        assert maximum_w > 0
        assert at_s is not None
        assert now_s - 3 * 86_400 <= at_s <= now_s


async def test_a_log_is_read_from_what_is_known_on(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        for _ in range(3):
            side.sim.occur(Event.MAGNET)
            side.sim.occur(Event.MAGNET_ENDED)
        other = obis("0.0.99.98.4.255")
        (first,) = (
            event
            for event in await side.visit(ReadLog(log=other, known_sequence=None, known_s=0))
            if isinstance(event, Logged)
        )
        assert (first.sequence, [entry.number for entry in first.entries]) == (6, [201, 202] * 3)
        assert {value.obis for value in first.entries[0].values} >= {obis("1.0.1.8.0.255"), obis("1.0.12.7.0.255")}
        assert abs(first.entries[0].captured_s - side.clock.wall_ms() // 1_000) < 60

        before = len(side.line.asked)
        known_s = first.entries[-1].captured_s
        assert await side.visit(ReadLog(log=other, known_sequence=6, known_s=known_s)) == []
        assert len(side.line.asked) - before == 3, "associate, identity, sequence numbers"

        side.sim.occur(Event.MAGNET)
        (more,) = await side.visit(ReadLog(log=other, known_sequence=6, known_s=known_s))
        assert isinstance(more, Logged)
        assert (more.sequence, [entry.number for entry in more.entries]) == (7, [201])


async def test_a_clock_that_is_off_is_set_in_an_association_that_may(tmp_path: Path) -> None:
    async with joined(tmp_path, clock_offset_ms=45_000) as side:
        events = [event for event in await side.visit(sync()) if isinstance(event, ClockSeen)]
        assert [(round(event.offset_ms, -3), event.was_set) for event in events] == [(45_000, False), (45_000, True)]
        assert associations(side)[-1] == 48
        (seen,) = await side.visit(sync())
        assert isinstance(seen, ClockSeen)
        assert abs(seen.offset_ms) < 1_000


async def test_a_clock_is_not_set_by_who_has_no_right_to(tmp_path: Path) -> None:
    async with joined(tmp_path, entry={"control": None, "firmware": None}, clock_offset_ms=45_000) as side:
        events = await side.visit(sync())
        assert [type(event) for event in events] == [Identified, ClockSeen, TaskRefused]
        assert not side.meter.has_relay


@pytest.mark.parametrize("kind", ["hdlc-tcp", "wrapper-tcp"])
async def test_a_mirror_is_written_with_the_whole_visit_in_the_control_role(tmp_path: Path, kind: str) -> None:
    async with joined(tmp_path, kind) as side:
        mirror = Mirror(
            is_prepaid=True,
            balance_minor=-120,
            balance_at_s=1_780_000_000,
            recharge_minor=5_000,
            recharge_at_s=1_779_000_000,
            total_minor=90_000,
        )
        events = await side.visit(ReadValues(channels=(0,)), mirror)
        mirrored = one(events, Mirrored)
        assert isinstance(mirrored, Mirrored)
        assert mirrored.mirror == mirror
        shown = side.sim.prepaid
        assert (shown.balance, shown.recharge_amount, shown.recharge_total) == (-120, 5_000, 90_000)
        assert shown.payment_mode is PaymentMode.PREPAID
        assert (shown.balance_at.to_utc_ms(), shown.recharged_at.to_utc_ms()) == (1_780_000_000_000, 1_779_000_000_000)
        assert set(associations(side)) == {16, 48}, "the counter is asked of the public client once"
        programmed = side.sim.events.sequences
        counts = dict(programmed)
        await side.visit(mirror)
        assert programmed == counts, "what is as it should be is not written to the log again"


async def test_a_refused_task_does_not_stop_the_others(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        unknown = ReadCaptured(profile=obis("1.0.99.9.0.255"), spans=(Span(0, 1), Span(2, 3)))
        events = await side.visit(unknown, ReadValues())
        assert [type(event) for event in events] == [Identified, TaskRefused, Reading]


async def test_a_meter_without_lists_is_asked_for_the_row_of_its_values(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        rules = side.sim.admission.rules
        granted = int(Conformance.GET | Conformance.SELECTIVE_ACCESS | Conformance.BLOCK_TRANSFER_WITH_GET)

        def meager(client: object) -> object:
            told = rules(client)  # type: ignore[arg-type]
            return type(told)(
                mechanism=told.mechanism,
                secret=told.secret,
                security=told.security,
                plain_context=told.plain_context,
                conformance=granted,
                pdu_bytes_max=300,
            )

        side.sim.admission.rules = meager  # type: ignore[method-assign, assignment]
        await side.visit(ReadValues())
        before = len(side.line.asked)
        (reading,) = await side.visit(ReadValues())
        assert isinstance(reading, Reading)
        assert len(reading.samples) == 10
        assert reading.samples[IMPORT_CHANNEL].value == side.sim.measuring.import_wh
        assert all(sample.quality is None for sample in reading.samples)
        assert len(side.line.asked) - before == 4, "associate, serial, firmware, row"


async def test_a_channel_that_the_meter_does_not_have_is_missing(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        entries = side.sim.catalogue.entries
        side.sim.catalogue = Catalogue({name: each for name, each in entries.items() if name != obis("1.0.91.7.0.255")})
        samples = await side.driver.read(ReadMeter(meter_id="m1", channels=(0, 2)), 0)
        assert [(sample.channel, sample.quality) for sample in samples] == [(0, None), (2, QUALITY_MISSING)]


SECURITIES = [
    {"form": "glo"},
    {"form": "ded"},
    {"form": "general-glo"},
    {"form": "general-ded"},
    {"form": "glo", "security": "authenticated"},
    {"form": "glo", "security": "encrypted"},
]


@pytest.mark.parametrize("security", SECURITIES, ids=lambda item: "-".join(item.values()))
@pytest.mark.parametrize("mechanism", ["high", "high-gmac"])
async def test_every_protection_opens_and_reads(tmp_path: Path, security: dict[str, str], mechanism: str) -> None:
    theirs = Mechanism.HIGH if mechanism == "high" else Mechanism.HIGH_GMAC
    files = write_secrets(tmp_path)
    entry = roles(files, mechanism=mechanism, **security) | {"reading": None}
    async with joined(tmp_path, entry=entry, mechanism=theirs) as side:
        if security.get("security"):
            side.sim.admission._security = _lenient(side.sim.admission._security)  # type: ignore[method-assign]
        events = await side.visit(ReadValues(), the_last(side, BLOCK, DAY_MS))
        block = one(events, Captured)
        assert isinstance(block, Captured)
        assert len(block.rows) == 96
        assert associations(side) == [16, 48]


def _lenient(make: object) -> object:
    return lambda client: replace(make(client), required=0)  # type: ignore[operator]


async def test_a_wrong_secret_is_a_refusal_that_does_not_tell_it(tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    wrong = tmp_path / "wrong" / "secret.txt"
    wrong.write_text("not-the-password")
    files = write_secrets(tmp_path) | {"reader": str(wrong), "settings": str(wrong)}
    async with joined(tmp_path / "theirs", entry=roles(files)) as side:
        with pytest.raises(MeterRefusedError) as refused:
            await side.visit(ReadValues())
        assert "not-the-password" not in str(refused.value)
        with pytest.raises(UntrustedError) as untrusted:
            await side.driver.switch("m1", closed=True)
        assert "not-the-password" not in str(untrusted.value)


async def test_a_wrong_key_is_told_without_telling_it(tmp_path: Path) -> None:
    files = write_secrets(tmp_path)
    wrong = tmp_path / "wrong-key.txt"
    wrong.write_text("00" * 16)
    entry = roles(files | {"encryption": str(wrong)})
    async with joined(tmp_path, entry=entry) as side:
        with pytest.raises((UntrustedError, MeterRefusedError)) as caught:
            await side.driver.switch("m1", closed=True)
        assert "00" * 16 not in repr(caught.value)
        assert "00" * 16 not in repr(side.meter)
