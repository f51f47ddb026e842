"""What the golden vectors say: at least one message of every type, lane, fact and effect, with fixed content.

Adding a sample is free; changing one changes bytes, which `tests/contract/test_vectors.py` does not allow.
"""

from collections.abc import Callable, Sequence

from tests.rig.parties import CLIENT
from wire import codec
from wire.address import Kind
from wire.facts import (
    ClockFact,
    EntryFact,
    Event,
    FactsHeld,
    Health,
    LineHealth,
    MeterEvent,
    Metric,
    PrepaidPolicy,
    ReadValue,
    Receipt,
    Stage,
    TimeSource,
    UpFact,
    encode_down_fact,
    fact_id,
)
from wire.messages import (
    Ack,
    Batch,
    Command,
    Disconnect,
    Effect,
    Facts,
    Floor,
    Hello,
    Limit,
    Message,
    Ping,
    Quarantined,
    Read,
    Reconnect,
    Request,
    Restore,
    State,
    Status,
    Welcome,
)
from wire.readings import QUALITY_SUSPECT, CapturedRow, Channel, Profile, Readings, Row, to_block, to_profile

BOOT = bytes.fromhex("b007b007b007b007")
STORE = bytes.fromhex("5704e00000000001")
NONCE = bytes(range(16))
NOON_MS = 1_767_268_800_000
"""2026-01-01 12:00 UTC."""
MINUTE_MS = 60_000

ENERGY = Channel(bytes.fromhex("0100010800ff"), 0, 30)
"""Active energy import, total, in Wh."""
POWER = Channel(bytes.fromhex("0100010700ff"), 0, 27)
"""Active power import, in W."""
VOLTAGE = Channel(bytes.fromhex("0100200700ff"), -1, 35)
"""Voltage of phase 1, in tenths of a volt."""
CURRENT = Channel(bytes.fromhex("01001f0700ff"), -3, 33)
"""Current of phase 1, in mA."""


def id16(number: int) -> bytes:
    return number.to_bytes(16, "big")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def worked_block() -> Readings:
    """Return the example of docs/protocol.md: two meters, three rows, one value missing, one suspect."""
    return to_block(
        BOOT,
        [ENERGY, VOLTAGE],
        [
            Row("m-1", 60_000, [1_000, 2_301]),
            Row("m-1", 960_000, [1_012, None]),
            Row("m-2", 60_250, [500, 9_999], [(1, QUALITY_SUSPECT)]),
        ],
    )


def _profile() -> Readings:
    rows = [
        Row(
            "m-1", index * 15 * MINUTE_MS, [120_000 + 37 * index, 150 + 7 * (index % 5), 2_300 - index % 9, 650 + index]
        )
        for index in range(96)
    ]
    return to_block(BOOT, [ENERGY, POWER, VOLTAGE, CURRENT], rows)


def _block_load() -> Profile:
    """Return what a meter captured in a night: half hours, one of them flagged, one without a voltage."""
    channels = [Channel(bytes.fromhex("01000c1b00ff"), -2, 35), Channel(bytes.fromhex("0100011d00ff"), 0, 30)]
    rows = [CapturedRow(NOON_MS // 1_000 + 1_800 * index, [23_012 - 7 * index, 120 + index]) for index in range(12)]
    rows[4] = CapturedRow(rows[4].captured_s, [None, 40])
    rows[5] = CapturedRow(rows[5].captured_s + 12, [22_990, 0], [(1, "1.4.64")])
    return to_profile(
        rows, meter="m-1", serial="WP0000001", profile=bytes.fromhex("0100630100ff"), channels=channels, boot=BOOT,
        tick_ms=8_000,
    )  # fmt: skip


def _snapshot() -> Readings:
    rows = [Row(f"m-{index:03}", 900_000 + 40 * index, [9_000 * index, -200 + index]) for index in range(40)]
    return to_block(BOOT, [ENERGY, POWER], rows)


CLOCK = ClockFact(boot=BOOT, tick_ms=1_500, utc_ms=NOON_MS, error_ms=120, source=TimeSource.WELCOME)
CLOCK_UNSURE = ClockFact(boot=BOOT, tick_ms=10, utc_ms=NOON_MS - 1_490, error_ms=0, source=TimeSource.SYSTEM)
POWER_FAILED = Event(boot=BOOT, tick_ms=2_000, serial=1, meter="m-1", code="3.26.0.85", detail="")
GATEWAY_EVENT = Event(boot=BOOT, tick_ms=2_000, serial=2, meter="", code="0.26.0.216", detail="Netz zurück")
COVER_OPENED = MeterEvent(
    meter="m-1", log=bytes.fromhex("0000636205ff"), captured_s=NOON_MS // 1_000 - 90, number=251, code="3.12.29.212",
    values=[ReadValue(ENERGY.obis, 0, 30, 120_037)], boot=BOOT, tick_ms=2_500,
)  # fmt: skip
VENDOR_EVENT = MeterEvent(
    meter="m-1", log=bytes.fromhex("0000636204ff"), captured_s=0, number=889, code="", values=[], boot=BOOT,
    tick_ms=2_500,
)  # fmt: skip
EXECUTED = Receipt(
    command=id16(0xC1), meter="m-1", stage=Stage.EXECUTED, boot=BOOT, tick_ms=3_000, detail="", relay_closed=False,
    values=[], journal_index=2, journal_digest=digest(2),
)  # fmt: skip
READ_RESULT = Receipt(
    command=id16(0xC4), meter="m-1", stage=Stage.EXECUTED, boot=BOOT, tick_ms=4_000, detail="", relay_closed=None,
    values=[ReadValue(ENERGY.obis, 0, 30, 120_037), ReadValue(VOLTAGE.obis, -1, 35, None)],
    journal_index=3, journal_digest=digest(3),
)  # fmt: skip
ACCEPTED = Receipt(
    command=id16(0xC1), meter="m-1", stage=Stage.ACCEPTED, boot=BOOT, tick_ms=2_900, detail="", relay_closed=None,
    values=[], journal_index=1, journal_digest=digest(1),
)  # fmt: skip
EXPIRED = Receipt(
    command=id16(0xC2), meter="m-2", stage=Stage.EXPIRED, boot=BOOT, tick_ms=5_000, detail="deadline 4 s ago",
    relay_closed=True, values=[], journal_index=4, journal_digest=digest(4),
)  # fmt: skip
CREDIT = EntryFact(account="a-1", entry=bytes.fromhex("83666372656469741a000f424063555344"))
REGISTER_POINT = EntryFact(account="a-1", entry=bytes.fromhex("8365706f696e741a0001d4c000"))
POLICY = PrepaidPolicy(
    account="a-1", meter="m-1", version=3, decides="box", currency="KES", emergency_minor=5_000, low_minor=20_000
)
HELD = FactsHeld(facts=[fact_id(encode_down_fact(CREDIT)), fact_id(encode_down_fact(POLICY))], boot=BOOT, tick_ms=6_000)
HEALTH = Health(
    boot=BOOT, tick_ms=7_000, meter="",
    metrics=[Metric("store_used_percent", 3), Metric("cpu_temperature_millicelsius", 48_250)],
)  # fmt: skip
METER_HEALTH = Health(boot=BOOT, tick_ms=7_000, meter="m-2", metrics=[Metric("reads_failed_total", 12)])
LINE_HEALTH = LineHealth(
    boot=BOOT, tick_ms=7_000, line="rs485-1", metrics=[Metric("transactions_count", 9_312), Metric("busy_percent", 41)]
)


def _command(number: int, effect: Effect, *, meter: str = "m-1") -> Command:
    return Command(
        id=id16(number), meter=meter, version=number, issued_at_ms=NOON_MS, not_after_ms=NOON_MS + 5 * MINUTE_MS,
        issuer=CLIENT, effect=effect,
    )  # fmt: skip


def _request(number: int, effect: Effect, *meters: str) -> Request:
    return Request(
        id=id16(number), issued_at_ms=NOON_MS, not_after_ms=NOON_MS + 5 * MINUTE_MS, meters=list(meters), effect=effect
    )


def _status(
    state: State, *, command: bytes = b"", meter: str = "m-1", detail: str = "", closed: bool | None = None
) -> Status:
    return Status(
        request=id16(0xE1), command=command, meter=meter, state=state, at_ms=NOON_MS + 800, detail=detail,
        relay_closed=closed,
    )  # fmt: skip


def samples(deflate: Callable[[bytes], bytes]) -> dict[str, tuple[Kind, Message]]:
    """Return every sample by the name of its vector; `deflate` makes zlib streams whose bytes do not depend on zlib."""

    def batch(index: int, facts: Sequence[UpFact], *, deflated: bool) -> tuple[Kind, Batch]:
        plain = codec.encode(list(facts))
        return Kind.BATCH, Batch(
            store=STORE, index=index, deflated=deflated, body=deflate(plain) if deflated else plain
        )

    return {
        "hello": (
            Kind.HELLO,
            Hello(
                nonce=NONCE, software="wattpost 0.1.0", boot=BOOT, store=STORE, tick_ms=1_200, journal_index=4,
                journal_digest=digest(4), facts_held=NONCE[::-1], epoch=1, meters=["m-1", "m-2"],
            ),
        ),
        "hello-first": (
            Kind.HELLO,
            Hello(
                nonce=NONCE, software="", boot=BOOT, store=STORE, tick_ms=0, journal_index=0, journal_digest=bytes(32),
                facts_held=bytes(16), epoch=0, meters=[],
            ),
        ),
        "welcome": (
            Kind.WELCOME,
            Welcome(nonce=NONCE, cloud_utc_ms=NOON_MS, epoch=1, window=8, restores=[], floors=[]),
        ),
        "welcome-restored": (
            Kind.WELCOME,
            Welcome(
                nonce=NONCE, cloud_utc_ms=NOON_MS, epoch=3, window=8, restores=[Restore(2, 71_000), Restore(3, 90_500)],
                floors=[Floor("m-1", "relay", 12), Floor("", "ping", 3)],
            ),
        ),
        "batch-urgent-receipts": batch(1, [ACCEPTED, EXECUTED, READ_RESULT, EXPIRED], deflated=True),
        "batch-urgent-event": batch(2, [POWER_FAILED], deflated=False),
        "batch-urgent-events": batch(3, [POWER_FAILED, GATEWAY_EVENT], deflated=False),
        "batch-urgent-held": batch(4, [HELD], deflated=False),
        "batch-bulk-worked": batch(5, [worked_block()], deflated=False),
        "batch-bulk-profile": batch(6, [_profile()], deflated=True),
        "batch-bulk-snapshot": batch(7, [_snapshot()], deflated=True),
        "batch-bulk-clock": batch(8, [CLOCK_UNSURE, CLOCK], deflated=False),
        "batch-bulk-entry": batch(9, [REGISTER_POINT], deflated=False),
        "batch-bulk-health": batch(10, [HEALTH, METER_HEALTH], deflated=False),
        "batch-bulk-mixed": batch(11, [CLOCK, _snapshot(), REGISTER_POINT, HEALTH, HELD], deflated=True),
        "batch-bulk-captured": batch(12, [_block_load()], deflated=False),
        "batch-urgent-meter-events": batch(13, [COVER_OPENED, VENDOR_EVENT], deflated=False),
        "batch-bulk-line": batch(14, [LINE_HEALTH], deflated=False),
        "ack": (Kind.ACK, Ack(epoch=1, position=71_001, committed=[digest(0xD1), digest(0xD2)], quarantined=[])),
        "ack-quarantined": (
            Kind.ACK,
            Ack(epoch=3, position=90_501, committed=[], quarantined=[Quarantined(digest(0xD3), "not-assigned")]),
        ),
        "facts": (Kind.FACTS, Facts(facts=[encode_down_fact(CREDIT), encode_down_fact(POLICY)])),
        "command-disconnect": (Kind.COMMAND, _command(0xC1, Disconnect())),
        "command-reconnect": (Kind.COMMAND, _command(0xC2, Reconnect())),
        "command-limit": (Kind.COMMAND, _command(0xC3, Limit(2_500))),
        "command-limit-lifted": (Kind.COMMAND, _command(0xC5, Limit(None))),
        "command-read": (Kind.COMMAND, _command(0xC4, Read([ENERGY.obis, VOLTAGE.obis]))),
        "command-read-all": (Kind.COMMAND, _command(0xC6, Read([]))),
        "command-ping-gateway": (Kind.COMMAND, _command(0xC7, Ping(), meter="")),
        "request-disconnect": (Kind.REQUEST, _request(0xE1, Disconnect(), "m-1")),
        "request-reconnect": (Kind.REQUEST, _request(0xE2, Reconnect(), "m-1", "m-2")),
        "request-limit": (Kind.REQUEST, _request(0xE3, Limit(1_000), "m-2")),
        "request-read": (Kind.REQUEST, _request(0xE4, Read([ENERGY.obis]), "m-1")),
        "request-ping": (Kind.REQUEST, _request(0xE5, Ping(), "m-1")),
        "status-accepted": (Kind.STATUS, _status(State.ACCEPTED, command=id16(0xC1))),
        "status-executed": (Kind.STATUS, _status(State.EXECUTED, command=id16(0xC1), closed=False)),
        "status-failed": (Kind.STATUS, _status(State.FAILED, command=id16(0xC1), detail="no answer from the meter")),
        "status-unknown": (Kind.STATUS, _status(State.UNKNOWN, command=id16(0xC1))),
        "status-refused": (Kind.STATUS, _status(State.REFUSED, meter="", detail="replayed")),
    }  # fmt: skip
