"""Present values of a meter, in as few requests as it admits: a list of registers, or the row of a profile.

Decides how they are asked for; what a value is once it is here, the meter's profile file decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlms.apdu.conformance import Conformance
from dlms.axdr.values import Value
from dlms.client.settings import ATTRIBUTES_AT_ONCE_MAX
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.registers import DataObject
from dlms.cosem.units import ScalerUnit
from dlms.errors import AccessRefusedError, RefusedError
from dlms.obis import obis
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning
from gateway.core.acquisition import Sample
from gateway.core.dlms_profiles import DlmsChannel, DlmsProfile
from wire.limits import NAME_BYTES_MAX

_IDENTITY_COUNT = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What a meter says it is, and what it shows."""

    serial: str
    firmware: str
    values: tuple[Value | AccessRefusedError, ...]
    """As it gave them, for each channel asked for."""


def identity_of(profile: DlmsProfile) -> list[AttributeRef[Any]]:
    """Return where a meter says what it is: serial number and firmware."""
    return [DataObject(name).value for name in (profile.objects.serial, profile.objects.firmware)]


def identity_text(value: Value | AccessRefusedError) -> str:
    """Return a serial number or version as text; empty where the meter does not say."""
    match value:
        case bytes():
            text = value.decode("latin-1")
        case str():
            text = value
        case bool() | float():
            return ""
        case int():
            text = str(value)
        case _:
            return ""
    kept = "".join(character for character in text if character.isascii() and character.isprintable())
    return kept.strip()[:NAME_BYTES_MAX]


def is_one_request(talk: Conversation, channels: int) -> bool:
    """Say whether `look` asks for so many channels at once."""
    return talk.grants(Conformance.MULTIPLE_REFERENCES) and channels + _IDENTITY_COUNT <= ATTRIBUTES_AT_ONCE_MAX


async def look(talk: Conversation, channels: Sequence[DlmsChannel]) -> Seen:
    """Return what a meter is and what it shows.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter broke off, or refuses everything.
    """
    profile = talk.meter.profile
    identity = identity_of(profile)
    if channels and profile.instantaneous is not None and not talk.grants(Conformance.MULTIPLE_REFERENCES):
        serial, firmware = await talk.get_many(identity)
        return Seen(identity_text(serial), identity_text(firmware), ())
    serial, firmware, *values = await talk.get_many([*identity, *map(value_of, channels)])
    return Seen(identity_text(serial), identity_text(firmware), tuple(values))


async def samples(
    talk: Conversation, learning: Learning, indexes: Sequence[int], seen: Sequence[Value | AccessRefusedError]
) -> tuple[Sample, ...]:
    """Return present values as samples of their channels.

    Args:
        talk: With the meter.
        learning: For scalers.
        indexes: Of the channels.
        seen: What the meter showed of them; empty if it was not asked yet.
    """
    channels = [talk.meter.profile.channels[index] for index in indexes]
    found: dict[int, Sample] = {}
    if not seen:
        found = await _from_profile(talk, learning, indexes)
        rest = [index for index in indexes if index not in found]
        seen = await talk.get_many([value_of(talk.meter.profile.channels[index]) for index in rest])
        indexes, channels = rest, [talk.meter.profile.channels[index] for index in rest]
    scalers = await learning.scalers(talk, [value_of(channel) for channel in channels])
    for index, channel, value, scaler_unit in zip(indexes, channels, seen, scalers, strict=True):
        found[index] = _sample(index, channel, value, scaler_unit)
    return tuple(found[index] for index in sorted(found))


async def _from_profile(talk: Conversation, learning: Learning, indexes: Sequence[int]) -> dict[int, Sample]:
    """Return what the row of the instantaneous profile has of some channels; nothing if the meter has no such row."""
    profile = talk.meter.profile
    if profile.instantaneous is None:
        return {}
    thing = ProfileGeneric(profile.instantaneous.obis)
    try:
        layout = await learning.profile(talk, thing.name, profile.instantaneous.scalers)
        rows = await talk.get(thing.rows(layout.captures, fills=False))
    except RefusedError:
        return {}
    if not rows:
        return {}
    found = {}
    for column, cell in zip(layout.columns, rows[-1], strict=True):
        for index in indexes:
            channel = profile.channels[index]
            if (column.class_id, column.name, column.attribute) == _place(channel):
                value = cell if isinstance(cell, int | float) else None
                found[index] = _sample(index, channel, value, ScalerUnit(column.scaler, column.unit))
    return found


def _sample(
    index: int, channel: DlmsChannel, value: Value | AccessRefusedError, scaler_unit: ScalerUnit | None
) -> Sample:
    number = value if isinstance(value, int | float) else None
    if channel.class_id == DataObject.CLASS_ID or scaler_unit is None:
        return channel.sample(index, number, scaler=None, unit=None)
    return channel.sample(index, number, scaler=scaler_unit.scaler, unit=scaler_unit.unit)


def value_of(channel: DlmsChannel) -> AttributeRef[Value]:
    """Return where a channel's value stands."""
    class_id, name, attribute = _place(channel)
    return AttributeRef(class_id, name, attribute, VALUE)


def _place(channel: DlmsChannel) -> tuple[int, bytes, int]:
    return channel.class_id, obis(channel.obis), channel.attribute
