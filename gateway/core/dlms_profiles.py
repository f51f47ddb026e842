"""Makes of DLMS meters as data: where each thing stands at a meter, what its event codes mean, how it is to be asked.

The third kind of profile file, beside register maps and relay boards. What a meter can say of itself (columns and
scalers of its profiles, its capture period, its serial number) is read from the meter and does not stand here. Numbers
that a table does not know are kept and passed on without a name.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from math import isfinite
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dlms.obis import obis
from gateway.core.acquisition import Sample
from gateway.core.profiles import Bound, Exponent, Name, ProfileError
from wire.facts import EventCode as EventCodeText
from wire.limits import VALUE_MAX
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, Channel

_GROUP = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
Obis = Annotated[str, Meta(pattern=rf"^({_GROUP}\.){{5}}{_GROUP}\Z")]
"""Dotted; `dlms.obis.obis` makes bytes of it."""
Sap = Annotated[int, Meta(ge=1, le=0x3FFF)]

STATUS_BITS_MAX = 1_024


class Association(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one role opens an association."""

    client: Sap
    server: Sap = 1
    mechanism: Literal["none", "low", "high", "high-gmac"]
    """`high` is the manufacturer's own, in Indian meters AES-128 of the challenge."""
    security: Literal["none", "authenticated", "encrypted", "authenticated-encrypted"] = "none"
    counter: Obis | None = None
    """Where the meter shows its invocation counter for this client, to whoever asks without security."""


class Associations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The roles that this system has at a meter."""

    public: Association
    reading: Association
    control: Association
    """Whatever is written: clock, relay, limits, periods, mirrors."""
    firmware: Association
    push: Association | None = None
    """As which the meter sends by itself."""


class Deviation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the meter's date-times are to be taken."""

    minutes: Annotated[int, Meta(ge=-840, le=840)]
    """Where a date-time does not specify its own; by `sign`."""
    sign: Literal["local-to-utc", "utc-to-local"] = "local-to-utc"
    """`local-to-utc` as the Blue Book has it, so that India is -330."""


class DlmsChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One present value."""

    obis: Obis
    class_id: Literal[1, 3, 4, 5] = 3
    attribute: Annotated[int, Meta(ge=2, le=5)] = 2
    scaler: Exponent
    """Power of ten of the integer we keep, in `unit`; the meter's own scaler is turned into it."""
    unit: Annotated[int, Meta(ge=1, le=255)]
    """DLMS unit code, which the meter's must be the same as."""
    raw_scaler: Exponent = 0
    """Of a value without a scaler of its own (class 1)."""
    low: Bound
    """Least plausible value, in the scaler; a lower one is kept and marked suspect."""
    high: Bound

    def sample(self, index: int, value: float | None, *, scaler: int | None, unit: int | None) -> Sample:
        """Return a value as the meter gave it as what we keep: missing where it is none, suspect outside the bounds.

        Args:
            index: Of this channel.
            value: Before any scaling; None if the meter gave none.
            scaler: As the meter says; None where the object has none.
            unit: As the meter says; None where the object has none.
        """
        if value is None or not isfinite(value) or (unit is not None and unit != self.unit):
            return Sample(index, None, QUALITY_MISSING)
        kept = _shifted(value, (self.raw_scaler if scaler is None else scaler) - self.scaler)
        if abs(kept) > VALUE_MAX:
            return Sample(index, None, QUALITY_MISSING)
        return Sample(index, kept) if self.low <= kept <= self.high else Sample(index, kept, QUALITY_SUSPECT)


def _shifted(value: float, exponent: int) -> int:
    """Return a value times a power of ten as an integer, half to even."""
    power: int = 10 ** abs(exponent)
    if not isinstance(value, int):
        return round(value * power if exponent >= 0 else value / power)
    if exponent >= 0:
        return value * power
    quotient, rest = divmod(value, power)
    return quotient + (2 * rest > power or (2 * rest == power and quotient % 2 == 1))


class CapturedProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile whose rows are read."""

    obis: Obis
    scalers: Obis | None = None
    """Profile whose one row has the scalers and units of this one's columns."""
    kind: Literal["block", "daily", "billing"]
    period_s: Annotated[int, Meta(ge=0, le=31 * 86_400)]
    """Expected; the meter's own counts once it has said it. 0 if rows are captured by other occasions."""
    depth_days: Annotated[int, Meta(ge=1, le=3_660)]
    """How far back it is read at most."""

    @property
    def name(self) -> bytes:
        return obis(self.obis)


class Instantaneous(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The profile whose one row has the present values, for whoever wants them in one answer."""

    obis: Obis
    scalers: Obis | None = None


class EventLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event log, itself a profile."""

    obis: Obis
    name: Name
    code: Obis
    """The column with the event code."""
    sequence: Obis | None = None
    """Counts the entries that were ever made."""
    scalers: Obis | None = None

    @property
    def log(self) -> bytes:
        return obis(self.obis)


class EventCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a number in an event log means."""

    number: Annotated[int, Meta(ge=0, le=0xFFFF)]
    code: EventCodeText
    """IEC 61968-9."""
    name: Name
    urgent: bool = False
    """Somebody should know at once."""


class StatusBit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bit of the event status word means."""

    bit: Annotated[int, Meta(ge=0, lt=STATUS_BITS_MAX)]
    """From 0, the leftmost."""
    code: EventCodeText
    """IEC 61968-9, when it rises."""
    restored: EventCodeText | None = None
    """The same when it falls."""
    name: Name
    urgent: bool = False
    """Somebody should know at once that it rose."""
    momentary: bool = False
    """It says that something happened and stands for nothing that lasts: each push that has it tells of it anew."""
    relay: bool = False
    """It leaves open which way the relay went, which is then read."""


class StatusWord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event status word."""

    obis: Obis
    filter: Obis | None = None
    """Which bits are pushed."""
    bits: tuple[StatusBit, ...]

    @property
    def name(self) -> bytes:
        return obis(self.obis)

    def risen(self, word: bytes, before: bytes = b"") -> tuple[int, ...]:
        """Return the bits, from the leftmost, that are set in a word and were not before."""
        length = max(len(word), len(before))
        changed = int.from_bytes(word.ljust(length, b"\0")) & ~int.from_bytes(before.ljust(length, b"\0"))
        return tuple(bit for bit in range(8 * length) if changed >> (8 * length - 1 - bit) & 1)


class Mirrors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects that show at the meter what its prepaid account stands at."""

    balance: Obis
    balance_time: Obis
    recharge: Obis
    recharge_time: Obis
    total: Obis
    amount_scaler: Exponent = 0
    """Power of ten of the meter's amounts, in minor units of the currency."""


class Objects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logical names of single objects; None where the make has no such thing."""

    clock: Obis
    serial: Obis
    firmware: Obis
    logical_device: Obis | None = None
    device_id: Obis | None = None
    """What the meter calls itself in what it pushes."""
    relay: Obis | None = None
    limiter: Obis | None = None
    capture_period: Obis | None = None
    daily_capture_period: Obis | None = None
    demand_period: Obis | None = None
    payment_mode: Obis | None = None
    metering_mode: Obis | None = None
    image_transfer: Obis | None = None
    image_activation: Obis | None = None
    """Single action schedule."""
    billing_dates: Obis | None = None
    activity_calendar: Obis | None = None
    demand_reset: Obis | None = None
    """Script table."""
    push: tuple[Obis, ...] = ()
    """Push setups."""


class DlmsProfile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="dlms", dict=True
):
    """A make of DLMS meters."""

    make: Name
    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    source: Annotated[str, Meta(min_length=1, max_length=400)]
    """Where the numbers come from, and what of them is unsourced."""
    associations: Associations
    deviation: Deviation
    objects: Objects
    mirrors: Mirrors | None = None
    instantaneous: Instantaneous | None = None
    channels: Annotated[tuple[DlmsChannel, ...], Meta(min_length=1, max_length=64)]
    captured: Annotated[tuple[CapturedProfile, ...], Meta(max_length=16)] = ()
    logs: Annotated[tuple[EventLog, ...], Meta(max_length=32)] = ()
    events: Annotated[tuple[EventCode, ...], Meta(max_length=4_096)] = ()
    status_word: StatusWord | None = None

    def wire_channels(self) -> tuple[Channel, ...]:
        """Return the present values as the contract names them, in the order of the samples' indexes."""
        return tuple(Channel(obis(item.obis), item.scaler, item.unit) for item in self.channels)

    @cached_property
    def by_number(self) -> dict[int, EventCode]:
        """What the numbers in event logs mean."""
        return {item.number: item for item in self.events}

    @cached_property
    def by_profile(self) -> dict[bytes, CapturedProfile]:
        """The profiles that are read, by logical name."""
        return {item.name: item for item in self.captured}


def parse_dlms_profile(text: bytes, *, file: str) -> DlmsProfile:
    """Return a make of DLMS meters from the text of its file.

    Args:
        text: TOML.
        file: Its name, for the message.

    Raises:
        ProfileError: The file does not hold.
    """
    try:
        profile = msgspec.toml.decode(text, type=DlmsProfile)
    except msgspec.ValidationError as exc:
        problem, _, place = str(exc).partition(" - at `")
        raise ProfileError(
            file=file, key=place.removesuffix("`") or "$", problem=problem, remedy="correct the value of that key"
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ProfileError(file=file, key="$", problem=str(exc), remedy="correct the TOML syntax") from exc
    _check(profile, file=file)
    return profile


def _check(profile: DlmsProfile, *, file: str) -> None:
    bits = profile.status_word.bits if profile.status_word is not None else ()
    _refuse_twice("$.channels", (f"{item.obis} attribute {item.attribute}" for item in profile.channels), file)
    _refuse_twice("$.captured", (item.obis for item in profile.captured), file)
    _refuse_twice("$.logs", (item.obis for item in profile.logs), file)
    _refuse_twice("$.events", (f"number {item.number}" for item in profile.events), file)
    _refuse_twice("$.status_word.bits", (f"bit {item.bit}" for item in bits), file)
    for index, bit in enumerate(bits):
        if bit.momentary and bit.restored is not None:
            key = f"$.status_word.bits[{index}].restored"
            raise ProfileError(file=file, key=key, problem="what is momentary does not end", remedy="leave it out")
    for index, channel in enumerate(profile.channels):
        if channel.low > channel.high:
            key = f"$.channels[{index}].low"
            raise ProfileError(file=file, key=key, problem="it is above high", remedy="give the lower bound first")
    for index, item in enumerate(profile.captured):
        if (item.period_s == 0) is not (item.kind == "billing"):
            problem = f"{item.period_s} s do not go with {item.kind}"
            remedy = "give billing 0, the others the period that the meter is likely to have"
            raise ProfileError(file=file, key=f"$.captured[{index}].period_s", problem=problem, remedy=remedy)


def _refuse_twice(key: str, names: Iterable[str], file: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ProfileError(file=file, key=key, problem=f"{name} stands there twice", remedy="keep one of them")
