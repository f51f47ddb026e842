"""What a push says: the meter's instant, its status word, its present values, what it calls itself.

With the meter's push list each member is what that says. Without it only what speaks for itself is taken: the one bit
string is the status word, a date-time the instant. Nothing is guessed from a number alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dlms.apdu.services import DataNotification, EventNotification
from dlms.axdr.tags import BitString
from dlms.axdr.values import Value, decode_value
from dlms.cosem.registers import DataObject
from dlms.obis import obis
from gateway.adapters.dlms.columns import Column
from gateway.adapters.dlms.push_meters import PushLists, name_bytes, setup_key, setups_of
from gateway.adapters.dlms.times import MeterTime
from gateway.core.acquisition import Sample
from gateway.core.dlms_profiles import STATUS_BITS_MAX, DlmsProfile
from wire.readings import CAPTURED_S_MAX

Notification: TypeAlias = DataNotification | EventNotification

_DATE_TIME_BYTES: Final = 12
_CLOCK_CLASS: Final = 8
_VALUE: Final = 2
"""The attribute that holds what an object is there for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was understood of a push."""

    at_s: int | None = None
    word: BitString | None = None
    samples: tuple[Sample, ...] = field(default_factory=tuple)

    @property
    def says_something(self) -> bool:
        return self.word is not None or bool(self.samples)


def members_of(notification: Notification) -> Sequence[Value]:
    """Return the members of a push, of an event the one value.

    Raises:
        DecodeError: It is no A-XDR data.
    """
    if isinstance(notification, EventNotification):
        return (decode_value(notification.value),)
    body = decode_value(notification.body)
    return body if isinstance(body, tuple | list) else (body,)


def names_in(members: Sequence[Value]) -> Iterator[bytes]:
    """Return what may be a name of the sender."""
    for member in members:
        name = name_bytes(member)
        if name is not None:
            yield name


def contents_of(
    notification: Notification, members: Sequence[Value], *, profile: DlmsProfile, lists: PushLists
) -> Contents:
    """Return what a push of a known meter says.

    Args:
        notification: The push.
        members: As `members_of` gives them.
        profile: The meter's make.
        lists: What the meter said of its pushes.
    """
    time = MeterTime.of(profile.deviation, None)
    if isinstance(notification, EventNotification):
        descriptor = notification.attribute
        column = Column(descriptor.class_id, descriptor.name, descriptor.attribute, unit=0)
        return _listed([column], members, profile, _instant_s(time, notification.sent_at))
    sent_s = _instant_s(time, notification.sent_at)
    columns = _columns(members, profile, lists)
    if columns is None:
        return _evident(members, profile, time, sent_s)
    clocks = (member for column, member in zip(columns, members, strict=True) if _is_clock(column))
    stamped_s = next((at_s for member in clocks if (at_s := _instant_s(time, member)) is not None), sent_s)
    return _listed(columns, members, profile, stamped_s)


def _columns(members: Sequence[Value], profile: DlmsProfile, lists: PushLists) -> list[Column] | None:
    """Return what the members are; None where the meter did not say, or says something else by now."""
    setups = setups_of(profile)
    named = next((member for member in members if isinstance(member, bytes) and member in setups), None)
    columns = lists.setups.get(setup_key(named)) if named is not None else None
    if columns is None or len(columns) != len(members):
        return None
    # The list says itself where the name of its setup stands: a list that was changed seldom agrees.
    agrees = all(
        member == column.name for column, member in zip(columns, members, strict=True) if column.name in setups
    )
    return columns if agrees else None


def _listed(columns: Sequence[Column], members: Sequence[Value], profile: DlmsProfile, at_s: int | None) -> Contents:
    word = None
    samples: dict[int, Sample] = {}
    for column, member in zip(columns, members, strict=True):
        if profile.status_word is not None and _place(column) == (
            DataObject.CLASS_ID,
            profile.status_word.name,
            _VALUE,
        ):
            word = _word(member)
        sample = _sample(profile, column, member)
        if sample is not None:
            samples[sample.channel] = sample
    return Contents(at_s=at_s, word=word, samples=tuple(samples[index] for index in sorted(samples)))


def _evident(members: Sequence[Value], profile: DlmsProfile, time: MeterTime, sent_s: int | None) -> Contents:
    words = [member for member in members if isinstance(member, BitString)]
    word = _word(words[0]) if len(words) == 1 and profile.status_word is not None else None
    instants = [at_s for member in members if (at_s := _instant_s(time, member)) is not None]
    return Contents(at_s=instants[0] if len(instants) == 1 else sent_s, word=word)


def _sample(profile: DlmsProfile, column: Column, member: Value) -> Sample | None:
    """Return a member as a present value; None where it is none that we keep."""
    if isinstance(member, bool) or not isinstance(member, int | float) or column.data_index:
        return None
    for index, channel in enumerate(profile.channels):
        if _place(column) == (channel.class_id, obis(channel.obis), channel.attribute):
            if channel.class_id == DataObject.CLASS_ID:
                return channel.sample(index, member, scaler=None, unit=None)
            return channel.sample(index, member, scaler=column.scaler, unit=column.unit) if column.unit else None
    return None


def _place(column: Column) -> tuple[int, bytes, int]:
    return column.class_id, column.name, column.attribute


def _is_clock(column: Column) -> bool:
    return column.class_id == _CLOCK_CLASS and column.attribute == _VALUE


def _word(member: Value) -> BitString | None:
    """Return a status word, which some makes send as octets."""
    if isinstance(member, bytes):
        member = BitString(member, 8 * len(member))
    return member if isinstance(member, BitString) and 0 < len(member) <= STATUS_BITS_MAX else None


def _instant_s(time: MeterTime, member: Value) -> int | None:
    at_s = time.seconds(member) if isinstance(member, bytes) and len(member) == _DATE_TIME_BYTES else None
    return at_s if at_s is not None and 0 <= at_s <= CAPTURED_S_MAX else None
