"""Register maps: what a make of meter shows at which Modbus registers, and how to read that in the fewest transactions.

A profile is a data file; `parse_profile` checks it and `compile_plan` makes a `ReadPlan` of it. Files are read by
`gateway.adapters.profile_files`, frames are the driver's business. Floats that meters send are turned into integers
of the channel's scaler here and nowhere else.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.acquisition import Sample
from wire.limits import VALUE_MAX
from wire.readings import QUALITY_MISSING, QUALITY_SUSPECT, Channel

REGISTERS_MAX = 125
"""Modbus Application Protocol 1.1b3 clause 6.3: registers of one read."""

_WIDTHS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2, "i64": 4, "u64": 4}

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Exponent = Annotated[int, Meta(ge=-9, le=9)]
Bound = Annotated[int, Meta(ge=-(2**62), le=2**62)]


class ProfileError(ValueError):
    """Raised when a register map does not hold; the text names file, key, problem and remedy."""

    def __init__(self, *, file: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {key}: {problem}; {remedy}")
        self.file = file
        self.key = key
        self.problem = problem
        self.remedy = remedy


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a device talks as it leaves the factory."""

    baud: Annotated[int, Meta(ge=300, le=1_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class ChannelMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One quantity of a meter and where it stands."""

    obis: Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){5}$")]
    address: Annotated[int, Meta(ge=0, le=0xFFFF)]
    """As in the frame, 0-based."""
    type: Literal["u16", "i16", "u32", "i32", "f32", "i64", "u64"]
    scale: Exponent = 0
    """Power of ten that turns the register's number into `unit`."""
    scaler: Exponent
    """Power of ten of the integer we keep, in `unit` (IEC 62056-6-2 clause 4.3.2)."""
    unit: Annotated[int, Meta(ge=1, le=255)]
    """DLMS unit code: V 35, A 33, W 27, VA 28, var 29, Hz 44, Wh 30, VAh 31, varh 32, none 255."""
    order: Literal["ABCD", "CDAB"] | None = None
    """Of the words; the profile's `order` where not given."""
    function: Literal[3, 4] | None = None
    fold: Literal["four-quadrant"] | None = None
    """Power factor whose magnitude runs on to 2 in the capacitive quadrants: 1.2 means 0.8, -1.2 means -0.8."""
    low: Bound
    """Least plausible value, in the scaler; a lower one is kept and marked suspect."""
    high: Bound
    rollover: Annotated[int, Meta(gt=0, le=2**62)] | None = None
    """A counter starts again from 0 at this value, in the scaler; None for what is no counter."""


class MeterProfile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="meter"
):
    """The register map of meters that share one."""

    make: Name
    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    source: Annotated[str, Meta(min_length=1, max_length=400)]
    """Where the numbers come from, and what of them is unsourced."""
    serial: SerialSettings
    function: Literal[3, 4]
    order: Literal["ABCD", "CDAB"]
    registers_max: Annotated[int, Meta(ge=4, le=REGISTERS_MAX)] = REGISTERS_MAX
    """Registers the device gives in one answer."""
    gap_max: Annotated[int, Meta(ge=0, le=REGISTERS_MAX)] = 0
    """Unused registers that may be read along to save a transaction; 0 where the device may refuse them."""
    frame_gap_ms: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Silence the device needs before a request, beyond the 3.5 characters of every serial line."""
    channels: Annotated[tuple[ChannelMap, ...], Meta(min_length=1, max_length=64)]

    def wire_channels(self) -> tuple[Channel, ...]:
        """Return the channels as the contract names them, in the order of the samples' indexes."""
        return tuple(Channel(_obis_bytes(item.obis), item.scaler, item.unit) for item in self.channels)


class RelayProfile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="relay"
):
    """A board of relays, one coil each: function 5 writes, function 1 reads back."""

    make: Name
    models: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    source: Annotated[str, Meta(min_length=1, max_length=400)]
    serial: SerialSettings
    coil_first: Annotated[int, Meta(ge=0, le=0xFFFF)]
    outputs: Annotated[int, Meta(ge=1, le=64)]
    frame_gap_ms: Annotated[int, Meta(ge=0, le=1000)] = 0
    coil_when_closed: bool = True
    """False for a contactor that opens when its coil is energised."""


Profile = MeterProfile | RelayProfile


def parse_profile(text: bytes, *, file: str) -> Profile:
    """Return a register map from the text of its file.

    Args:
        text: TOML.
        file: Its name, for the message.

    Raises:
        ProfileError: The file does not hold.
    """
    try:
        profile: Profile = msgspec.toml.decode(text, type=MeterProfile | RelayProfile)
    except msgspec.ValidationError as exc:
        problem, _, place = str(exc).partition(" - at `")
        key = place.removesuffix("`") or "$"
        raise ProfileError(file=file, key=key, problem=problem, remedy="correct the value of that key") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ProfileError(file=file, key="$", problem=str(exc), remedy="correct the TOML syntax") from exc
    match profile:
        case MeterProfile():
            _check_channels(profile, file=file)
        case RelayProfile() if profile.coil_first + profile.outputs > 0x10000:
            raise ProfileError(
                file=file,
                key="$.outputs",
                problem="the last coil is beyond 65535",
                remedy="lower outputs or coil_first",
            )
        case RelayProfile():
            pass
    return profile


def _check_channels(profile: MeterProfile, *, file: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(profile.channels):
        key = f"$.channels[{index}]"
        if any(int(group) > 255 for group in item.obis.split(".")):
            raise ProfileError(file=file, key=f"{key}.obis", problem="a group exceeds 255", remedy="write six bytes")
        if item.obis in seen:
            raise ProfileError(
                file=file, key=f"{key}.obis", problem=f"{item.obis} stands twice", remedy="keep one channel of it"
            )
        seen.add(item.obis)
        if item.address + _WIDTHS[item.type] > 0x10000:
            raise ProfileError(
                file=file,
                key=f"{key}.address",
                problem="the value ends beyond register 65535",
                remedy="lower the address",
            )
        if item.low > item.high:
            raise ProfileError(
                file=file, key=f"{key}.low", problem="it is above high", remedy="give the lower bound first"
            )
        if item.rollover is not None and item.high >= item.rollover:
            raise ProfileError(
                file=file, key=f"{key}.high", problem="it reaches rollover", remedy="end the range below rollover"
            )


def _obis_bytes(text: str) -> bytes:
    return bytes(int(group) for group in text.split("."))


@dataclass(frozen=True, slots=True)
class Register:
    """How one channel comes out of the words of a transaction."""

    channel: int
    offset: int
    map: ChannelMap
    low_word_first: bool

    def sample(self, words: Sequence[int]) -> Sample:
        """Return the channel's value: missing if it is no number a message can carry, suspect outside its bounds."""
        width = _WIDTHS[self.map.type]
        parts = words[self.offset : self.offset + width]
        raw = 0
        for word in reversed(parts) if self.low_word_first else parts:
            raw = raw << 16 | word
        value = _scaled(raw, 16 * width, self.map)
        if value is None or abs(value) > VALUE_MAX:
            return Sample(self.channel, None, QUALITY_MISSING)
        if self.map.low <= value <= self.map.high:
            return Sample(self.channel, value)
        return Sample(self.channel, value, QUALITY_SUSPECT)


def _scaled(raw: int, bits: int, item: ChannelMap) -> int | None:
    shift = item.scale - item.scaler
    power: int = 10 ** abs(shift)
    if item.type == "f32":
        number: float = struct.unpack(">f", raw.to_bytes(4, "big"))[0]
        if not isfinite(number):
            return None
        if item.fold == "four-quadrant" and abs(number) > 1:
            number = (2 if number > 0 else -2) - number
        # A double holds every float32 times a power of ten up to 18 closely enough for the rounding that follows.
        return round(number * power if shift >= 0 else number / power)
    if item.type[0] == "i" and raw >> bits - 1:
        raw -= 1 << bits
    return raw * power if shift >= 0 else _rounded(raw, power)


def _rounded(number: int, divisor: int) -> int:
    """Divide, half to even, without a float in between."""
    quotient, rest = divmod(number, divisor)
    return quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2 == 1))


@dataclass(frozen=True, slots=True)
class Transaction:
    """One read request and what its answer holds."""

    function: int
    address: int
    count: int
    registers: tuple[Register, ...]

    def decode(self, words: Sequence[int]) -> tuple[Sample, ...]:
        """Return the samples in `count` words of an answer."""
        assert len(words) == self.count, "the driver passes only whole answers"
        return tuple(register.sample(words) for register in self.registers)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The transactions that bring the wanted channels."""

    transactions: tuple[Transaction, ...]


def compile_plan(profile: MeterProfile, channels: Sequence[int] = ()) -> ReadPlan:
    """Return the fewest transactions within the device's limits.

    Args:
        profile: The meter's register map.
        channels: Indexes into `profile.channels`; empty means all.

    Raises:
        IndexError: The profile has no such channel.
    """
    wanted = sorted(
        (profile.channels[index].function or profile.function, profile.channels[index].address, index)
        for index in channels or range(len(profile.channels))
    )
    groups: list[list[tuple[int, int, int]]] = []
    function = start = end = -1
    # Taking the lowest address first and stretching each request as far as allowed needs the fewest requests.
    for entry in wanted:
        stop = entry[1] + _WIDTHS[profile.channels[entry[2]].type]
        fits = entry[0] == function and entry[1] - end <= profile.gap_max and stop - start <= profile.registers_max
        if not groups or not fits:
            groups.append([])
            function, start, end = entry[0], entry[1], stop
        groups[-1].append(entry)
        end = max(end, stop)
    return ReadPlan(tuple(_transaction(profile, group) for group in groups))


def _transaction(profile: MeterProfile, group: Sequence[tuple[int, int, int]]) -> Transaction:
    function, start, _ = group[0]
    items = [(address, index, profile.channels[index]) for _, address, index in group]
    count = max(address + _WIDTHS[item.type] for address, _, item in items) - start
    registers = tuple(
        Register(index, address - start, item, (item.order or profile.order) == "CDAB")
        for address, index, item in items
    )
    return Transaction(function, start, count, registers)
