"""What a meter says of itself and that changes only with its firmware: columns, scalers, types, how it writes time.

Each thing is asked when it is first needed, put on the disk at once, and asked again only when another instrument or
firmware answers, or when it proves wrong.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from dlms.axdr.data import Data
from dlms.axdr.data import decode as decode_data
from dlms.axdr.data import encode as encode_data
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import Tag
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.clock import Clock
from dlms.cosem.profile_generic import ProfileGeneric, SortMethod
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.registers import DemandRegister, ExtendedRegister, Register
from dlms.cosem.units import NO_UNIT, SCALER_UNIT, ScalerUnit
from dlms.errors import AccessRefusedError, DecodeError
from dlms.obis import obis_text
from gateway.adapters.dlms.access import DlmsMeter
from gateway.adapters.dlms.columns import Column
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.times import MeterTime
from gateway.ports import Shelf
from wire import codec
from wire.errors import MalformedError

COLUMNS_MAX = 256
"""More columns than any profile has."""
_VALUE_ATTRIBUTES = {Register.CLASS_ID: (2,), ExtendedRegister.CLASS_ID: (2,), DemandRegister.CLASS_ID: (2, 3)}


class _Typed:
    """Reads an attribute with its types kept."""

    decode = staticmethod(decode_data)
    encode = staticmethod(encode_data)


TYPED = _Typed()


class LearnedProfile(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """How a profile is laid out."""

    columns: list[Column]
    newest_first: bool = False

    @property
    def captures(self) -> tuple[CaptureObject, ...]:
        return tuple(column.capture for column in self.columns)


class Learned(msgspec.Struct, array_like=True, kw_only=True):
    """Of one instrument with one firmware."""

    serial: str = ""
    firmware: str = ""
    registers: dict[str, list[int]] = {}
    """Scaler and unit by class and name; an empty list where the meter gives none."""
    profiles: dict[str, LearnedProfile] = {}
    types: dict[str, int] = {}
    """Tag of an attribute's value."""
    clock: bytes = b""
    """What the clock showed once; only how it is written counts."""


class Learning:
    """What is known of the meters of a line."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._learned: dict[str, Learned] = {}

    async def of(self, meter: DlmsMeter) -> Learned:
        """Return what is known of a meter."""
        if meter.id not in self._learned:
            self._learned[meter.id] = _decoded(await self._shelf.kept(_name(meter)))
        return self._learned[meter.id]

    async def identify(self, meter: DlmsMeter, serial: str, firmware: str) -> bool:
        """Take what a meter says it is, empty for nothing said; False if it is the same, else the rest is forgotten."""
        learned = await self.of(meter)
        serial, firmware = serial or learned.serial, firmware or learned.firmware
        if (learned.serial, learned.firmware) == (serial, firmware):
            return False
        self._learned[meter.id] = Learned(serial=serial, firmware=firmware)
        await self._keep(meter)
        return True

    async def forget_profile(self, meter: DlmsMeter, name: bytes) -> None:
        """Forget how a profile is laid out: it has proved wrong."""
        learned = await self.of(meter)
        if learned.profiles.pop(obis_text(name), None) is not None:
            await self._keep(meter)

    async def time(self, talk: Conversation) -> MeterTime:
        """Return how a meter writes instants."""
        learned = await self.of(talk.meter)
        if not learned.clock:
            await self.see_clock(talk, await talk.get(Clock(talk.meter.profile.objects.clock).time))
        return MeterTime.of(talk.meter.profile.deviation, CosemDateTime(learned.clock))

    async def see_clock(self, talk: Conversation, shown: CosemDateTime) -> MeterTime:
        """Take what a meter's clock shows as an example of how it writes instants."""
        learned = await self.of(talk.meter)
        before = CosemDateTime(learned.clock).deviation_minutes if learned.clock else None
        if not learned.clock or before != shown.deviation_minutes:
            learned.clock = shown.encoded
            await self._keep(talk.meter)
        return MeterTime.of(talk.meter.profile.deviation, shown)

    # ---- registers ---------------------------------------------------------------------------------------------------

    async def scalers(self, talk: Conversation, attributes: Sequence[AttributeRef[Any]]) -> list[ScalerUnit | None]:
        """Return scaler and unit of each value, None where the meter gives none."""
        learned = await self.of(talk.meter)
        wanted = {_register_key(each): ref for each in attributes if (ref := scaler_of(each)) is not None}
        unknown = [key for key in wanted if key not in learned.registers]
        if unknown:
            found = await talk.get_many([wanted[key].using(TYPED) for key in unknown])
            for key, data in zip(unknown, found, strict=True):
                scaler_unit = _scaler_unit(data)
                learned.registers[key] = [] if scaler_unit is None else [scaler_unit.scaler, scaler_unit.unit]
            await self._keep(talk.meter)
        known = [learned.registers.get(_register_key(each), []) for each in attributes]
        return [ScalerUnit(*pair) if pair else None for pair in known]

    async def types(self, talk: Conversation, attributes: Sequence[AttributeRef[Any]]) -> list[Tag | None]:
        """Return in which type a meter has each of some values, None where it does not say."""
        learned = await self.of(talk.meter)
        unknown = [each for each in attributes if str(each) not in learned.types]
        if unknown:
            found = await talk.get_many([each.using(TYPED) for each in unknown])
            for each, data in zip(unknown, found, strict=True):
                learned.types[str(each)] = int(data.tag if isinstance(data, Data) else Tag.NULL_DATA)
            await self._keep(talk.meter)
        tags = [Tag(learned.types[str(each)]) for each in attributes]
        return [None if tag is Tag.NULL_DATA else tag for tag in tags]

    # ---- profiles ----------------------------------------------------------------------------------------------------

    async def profile(self, talk: Conversation, name: bytes, scalers: str | None) -> LearnedProfile:
        """Return how a profile is laid out.

        Args:
            talk: With the meter.
            name: Of the profile.
            scalers: Logical name of the profile with its scalers, where there is one.

        Raises:
            AccessRefusedError: The meter does not say.
            DecodeError: What it says makes no sense.
        """
        learned = await self.of(talk.meter)
        key = obis_text(name)
        if key not in learned.profiles:
            learned.profiles[key] = await self._ask_profile(talk, name, scalers)
            await self._keep(talk.meter)
        return learned.profiles[key]

    async def _ask_profile(self, talk: Conversation, name: bytes, scalers: str | None) -> LearnedProfile:
        thing = ProfileGeneric(name)
        captures, order = await talk.get_many([thing.capture_objects, thing.sort_method.using(TYPED)])
        if isinstance(captures, AccessRefusedError):
            raise captures
        if not 0 < len(captures) <= COLUMNS_MAX:
            raise DecodeError(f"profile {obis_text(name)} has {len(captures)} columns")
        known = await self._scaler_profile(talk, scalers) if scalers is not None else {}
        # What the scaler profile leaves out, its registers know.
        rest = [_value_of(column) for column in captures if _has_scaler(column) and column.name not in known]
        for ref, scaler_unit in zip(rest, await self.scalers(talk, rest), strict=True):
            if scaler_unit is not None:
                known[ref.name] = scaler_unit
        newest_first = isinstance(order, Data) and order.value == SortMethod.LIFO
        return LearnedProfile(columns=[_column(each, known) for each in captures], newest_first=newest_first)

    async def _scaler_profile(self, talk: Conversation, name: str) -> dict[bytes, ScalerUnit]:
        """Return the scalers in the one row of a profile that has nothing else; empty if the meter has none."""
        thing = ProfileGeneric(name)
        captures, rows = await talk.get_many([thing.capture_objects, thing.buffer])
        if isinstance(captures, AccessRefusedError) or isinstance(rows, AccessRefusedError) or not rows:
            return {}
        row = rows[0]
        if len(row) != len(captures):
            raise DecodeError(f"scaler profile {name} has {len(captures)} columns and a row of {len(row)}")
        found = {column.name: _pair(cell) for column, cell in zip(captures, row, strict=True)}
        return {each: scaler_unit for each, scaler_unit in found.items() if scaler_unit is not None}

    async def _keep(self, meter: DlmsMeter) -> None:
        await self._shelf.keep(_name(meter), codec.encode(self._learned[meter.id]))


def scaler_of(attribute: AttributeRef[Any]) -> AttributeRef[ScalerUnit] | None:
    """Return where scaler and unit of a value stand; None where it has none."""
    if attribute.index not in _VALUE_ATTRIBUTES.get(attribute.class_id, ()):
        return None
    is_demand = attribute.class_id == DemandRegister.CLASS_ID
    return DemandRegister(attribute.name).scaler_unit if is_demand else _register(attribute)


def _register(attribute: AttributeRef[Any]) -> AttributeRef[ScalerUnit]:
    reference = Register(attribute.name).scaler_unit
    return AttributeRef(attribute.class_id, reference.name, reference.index, reference.codec)


def _value_of(column: CaptureObject) -> AttributeRef[Any]:
    return AttributeRef(column.class_id, column.name, column.attribute, TYPED)


def _has_scaler(column: CaptureObject) -> bool:
    return scaler_of(_value_of(column)) is not None


def _column(capture: CaptureObject, known: dict[bytes, ScalerUnit]) -> Column:
    scaler_unit = known.get(capture.name, ScalerUnit(0, NO_UNIT))
    return Column(
        capture.class_id, capture.name, capture.attribute, capture.data_index, scaler_unit.scaler, scaler_unit.unit
    )


def _pair(cell: object) -> ScalerUnit | None:
    """Return a cell of a scaler profile."""
    match cell:
        case (int() as scaler, int() as unit):
            return ScalerUnit(scaler, unit)
        case _:
            return None


def _scaler_unit(data: Data | AccessRefusedError) -> ScalerUnit | None:
    if isinstance(data, AccessRefusedError):
        return None
    try:
        return SCALER_UNIT.decode(encode_data(data))
    except DecodeError:
        return None


def _register_key(attribute: AttributeRef[Any]) -> str:
    return f"{attribute.class_id} {obis_text(attribute.name)}"


def _name(meter: DlmsMeter) -> str:
    return f"dlms/learned/{meter.id}"


def _decoded(kept: bytes | None) -> Learned:
    """Return what is kept; what an older program kept in another form is learned anew."""
    if kept is None:
        return Learned()
    try:
        learned: Learned = codec.decode_as(kept, Learned)
    except MalformedError:
        return Learned()
    return learned
