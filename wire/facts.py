"""Facts: what a gateway states in a batch, and what the cloud states that lasts.

A fact is identified by who reports it, by its natural key, and by its value. What a gateway stamps itself is keyed by
boot and monotonic tick; UTC is derived from `ClockFact`s of the same boot, so that a clock corrected later changes no
key.
"""

import hashlib
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from wire import codec, limits
from wire.readings import CAPTURED_S_MAX, BootId, Channel, MeterId, Obis, Profile, Readings, Scaler, TickMs, Unit, Value

Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
TimeMs = Annotated[int, Meta(ge=limits.TIME_MS_MIN, le=limits.TIME_MS_MAX)]
Counter = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Detail = Annotated[str, Meta(max_length=limits.DETAIL_CHARS_MAX)]
MeterOrGateway = Annotated[str, Meta(max_length=limits.NAME_BYTES_MAX, pattern=r"^[A-Za-z0-9-]*\Z")]
"""A meter, or empty for the gateway itself."""
EventCode = Annotated[str, Meta(max_length=20, pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}\Z")]
MetricName = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9_]+\Z")]


class TimeSource(StrEnum):
    """Who told the gateway the time."""

    SYSTEM = "system"
    """Its own clock, not known to be right."""
    WELCOME = "welcome"
    """The cloud, in answer to a fresh nonce."""


class Stage(StrEnum):
    """What a receipt says of a command; all but `accepted` are final."""

    ACCEPTED = "accepted"
    EXECUTED = "executed"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        return self is not Stage.ACCEPTED


class ClockFact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="clock", kw_only=True):
    """At this tick of this boot it was `utc_ms`, give or take `error_ms`."""

    boot: BootId
    tick_ms: TickMs
    utc_ms: TimeMs
    error_ms: Counter
    source: TimeSource


class Event(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="event", kw_only=True):
    """Something happened to a meter or to the gateway, coded by IEC 61968-9 (type.domain.subdomain.action)."""

    boot: BootId
    tick_ms: TickMs
    serial: Counter
    """Tells events of one tick apart; counts up within a boot."""
    meter: MeterOrGateway
    code: EventCode
    detail: Detail


class ReadValue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One value of a demand read; None where the meter did not give it."""

    obis: Obis
    scaler: Scaler
    unit: Unit
    value: Value | None


class MeterEvent(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="meter-event", kw_only=True
):
    """An entry of a meter's own event log, stamped by its clock."""

    meter: MeterId
    log: Obis
    """Logical name of the event log."""
    captured_s: Annotated[int, Meta(ge=0, le=CAPTURED_S_MAX)]
    """Unix seconds by the meter's clock, UTC."""
    number: Annotated[int, Meta(ge=0, le=0xFFFF)]
    """The meter's event code; tables differ by companion standard and vendor, so it is kept whatever it is."""
    code: Annotated[str, Meta(max_length=20, pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?\Z")]
    """IEC 61968-9, or empty where the gateway knows none for the number."""
    values: Annotated[list[ReadValue], Meta(max_length=limits.CHANNELS_PER_BLOCK_MAX)]
    """What the meter measured then."""
    boot: BootId
    tick_ms: TickMs
    """When the gateway had read it."""


class Receipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="receipt", kw_only=True):
    """What became of a command; the same for ever once it is final."""

    command: Id16
    meter: MeterOrGateway
    stage: Stage
    boot: BootId
    tick_ms: TickMs
    detail: Detail
    relay_closed: bool | None
    """What reading the relay back showed, if the command concerned it."""
    values: Annotated[list[ReadValue], Meta(max_length=limits.CHANNELS_PER_BLOCK_MAX)]
    journal_index: Counter
    journal_digest: Digest


class FactsHeld(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="held", kw_only=True):
    """The gateway has these facts of the cloud on its disk."""

    facts: Annotated[list[Id16], Meta(min_length=1, max_length=limits.FACTS_PER_DOWN_MESSAGE_MAX)]
    boot: BootId
    tick_ms: TickMs


class EntryFact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="entry", kw_only=True):
    """An entry of prepaid accounts as `prepay` encodes it: a register point goes up, a credit or tariff down."""

    account: MeterId
    entry: Annotated[bytes, Meta(min_length=1, max_length=limits.DOWN_FACT_BYTES_MAX)]


class Metric(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A named number; the unit stands in the name."""

    name: MetricName
    value: Value


class Health(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="health", kw_only=True):
    """How the gateway, or one of its meters, is doing."""

    boot: BootId
    tick_ms: TickMs
    meter: MeterOrGateway
    metrics: Annotated[list[Metric], Meta(min_length=1, max_length=limits.METRICS_PER_HEALTH_MAX)]


class LineHealth(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="line", kw_only=True):
    """How one of the gateway's lines to meters is doing."""

    boot: BootId
    tick_ms: TickMs
    line: MeterId
    """The line's name; names of meters and of lines have one form."""
    metrics: Annotated[list[Metric], Meta(min_length=1, max_length=limits.METRICS_PER_HEALTH_MAX)]


UpFact = Readings | Profile | ClockFact | Event | MeterEvent | Receipt | FactsHeld | EntryFact | Health | LineHealth


class PrepaidPolicy(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="policy", kw_only=True
):
    """Who decides about an account's credit, and by what bounds; the highest version counts."""

    account: MeterId
    meter: MeterId
    version: Counter
    decides: Annotated[str, Meta(pattern=r"^(box|cloud|external)\Z")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    emergency_minor: Annotated[int, Meta(ge=0, le=10**12)]
    """How far below zero supply goes on, in minor units."""
    low_minor: Annotated[int, Meta(ge=0, le=10**12)]
    """Below this the balance is low, in minor units."""


DownFact = EntryFact | PrepaidPolicy


def fact_id(encoded: bytes) -> bytes:
    """Return the name of an encoded fact of the cloud: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(encoded).digest()[:16]


def encode_down_fact(fact: DownFact) -> bytes:
    """Return the bytes that name and carry a fact of the cloud."""
    return codec.encode(fact)


def decode_down_fact(encoded: bytes) -> DownFact:
    """Return a fact of the cloud.

    Raises:
        MalformedError: Not one.
    """
    fact: DownFact = codec.decode_as(encoded, DownFact)
    return fact


__all__ = [
    "Channel", "ClockFact", "Digest", "DownFact", "EntryFact", "Event", "FactsHeld", "Health", "Id16", "LineHealth",
    "MeterEvent", "Metric", "PrepaidPolicy", "Profile", "ReadValue", "Readings", "Receipt", "Stage", "TimeMs",
    "TimeSource", "UpFact", "decode_down_fact", "encode_down_fact", "fact_id",
]  # fmt: skip
