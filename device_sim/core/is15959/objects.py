"""How the objects of the meter are described: per attribute what reads and writes it, and who may do so.

Decides access; the tables of objects stand in the modules named `catalogue...`. One description serves all meters of a
process: what differs from meter to meter is read off the meter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from device_sim.core.is15959.associations import Audience
from dlms.apdu.results import ActionResult, DataAccessResult
from dlms.cosem.association_ln import (
    OBJECT_LIST_ELEMENT,
    AccessMode,
    AccessRights,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
)
from dlms.cosem.codecs import sequence
from dlms.errors import AccessRefusedError, ActionRefusedError, DecodeError

if TYPE_CHECKING:
    from device_sim.core.is15959.associations import Client
    from device_sim.core.is15959.meter import Is15959Meter
    from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
    from dlms.cosem.attribute import AttributeRef, CosemObject, MethodRef

T = TypeVar("T")
P = TypeVar("P")
_OBJECT_LIST: Final = sequence(OBJECT_LIST_ELEMENT)


@dataclass(frozen=True, slots=True)
class Query:
    """Who reads, and which part."""

    client: Client
    selection: Selection | None


Read = Callable[["Is15959Meter", Query], bytes]
Write = Callable[["Is15959Meter", bytes], None]
Invoke = Callable[["Is15959Meter", bytes | None], None]


@dataclass(frozen=True, slots=True)
class Readable:
    """One attribute."""

    index: int
    read: Read | None
    write: Write | None = None
    selectors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Invocable:
    """One method."""

    index: int
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Entry:
    """One object."""

    class_id: int
    version: int
    name: bytes
    attributes: dict[int, Readable]
    methods: dict[int, Invocable]
    readers: Audience
    writers: Audience
    """Who may write what can be written, and invoke the methods."""

    def mode(self, attribute: Readable, audience: Audience) -> AccessMode:
        """Return what an association may do with an attribute."""
        reads = attribute.read is not None and bool(audience & self.readers)
        writes = attribute.write is not None and bool(audience & self.writers)
        return AccessMode(AccessMode.READ * reads + AccessMode.WRITE * writes)

    def list_element(self, audience: Audience) -> ObjectListElement:
        """Return the object as an association's object list shows it."""
        attributes = [
            AttributeAccess(index, self.mode(attribute, audience), attribute.selectors or None)
            for index, attribute in sorted(self.attributes.items())
        ]
        may_invoke = bool(audience & self.writers)
        methods = [MethodAccess(index, int(may_invoke)) for index in sorted(self.methods)]
        return ObjectListElement(
            self.class_id, self.version, self.name, AccessRights(tuple(attributes), tuple(methods))
        )


def value(
    ref: AttributeRef[T],
    read: Callable[[Is15959Meter], T],
    write: Callable[[Is15959Meter, T], None] | None = None,
) -> Readable:
    """Describe an attribute by typed functions; what is written must be such that it can be read again."""

    def read_bytes(meter: Is15959Meter, _: Query) -> bytes:
        return ref.encode(read(meter))

    if write is None:
        return Readable(ref.index, read_bytes)
    take = write

    def write_bytes(meter: Is15959Meter, data: bytes) -> None:
        given = ref.decode(data)
        try:
            ref.encode(given)
        except ValueError as error:
            raise DecodeError(f"{ref} cannot hold this value") from error
        take(meter, given)

    return Readable(ref.index, read_bytes, write_bytes)


def fixed(ref: AttributeRef[T], constant: T) -> Readable:
    """Describe an attribute that is the same in all meters, for ever."""
    encoded = ref.encode(constant)
    return Readable(ref.index, lambda _meter, _query: encoded)


def write_only(ref: AttributeRef[T], write: Callable[[Is15959Meter, T], None]) -> Readable:
    """Describe an attribute that nobody reads."""
    return Readable(ref.index, None, lambda meter, data: write(meter, ref.decode(data)))


def method(ref: MethodRef[P, None], act: Callable[[Is15959Meter, P], None]) -> Invocable:
    """Describe a method that returns nothing."""

    def invoke(meter: Is15959Meter, parameters: bytes | None) -> None:
        act(meter, ref.decode_parameters(b"\x0f\x00" if parameters is None else parameters))

    return Invocable(ref.index, invoke)


def entry(
    thing: CosemObject,
    *parts: Readable | Invocable,
    readers: Audience = Audience.READERS,
    writers: Audience = Audience.SETTINGS,
) -> Entry:
    """Describe an object; its logical name can always be read."""
    attributes = {1: fixed(thing.logical_name, thing.name)}
    attributes |= {part.index: part for part in parts if isinstance(part, Readable)}
    methods = {part.index: part for part in parts if isinstance(part, Invocable)}
    return Entry(thing.CLASS_ID, thing.VERSION, thing.name, attributes, methods, readers, writers)


def refuse(result: DataAccessResult) -> AccessRefusedError:
    """Return the refusal of a read or write."""
    return AccessRefusedError(f"refused: {result.name.lower()}", result=result)


@dataclass(slots=True)
class Catalogue:
    """All objects of this kind of meter."""

    entries: dict[bytes, Entry]
    _lists: dict[Audience, bytes] = field(default_factory=dict)

    def read(self, meter: Is15959Meter, wanted: AttributeDescriptor, query: Query, audience: Audience) -> bytes:
        """Return an attribute as an association sees it.

        Raises:
            AccessRefusedError: It is not there, or not for this association.
        """
        found, attribute = self._attribute(wanted, audience)
        if attribute.read is None or not audience & found.readers:
            raise refuse(DataAccessResult.READ_WRITE_DENIED)
        if query.selection is not None and query.selection.selector not in attribute.selectors:
            raise refuse(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return attribute.read(meter, query)

    def write(self, meter: Is15959Meter, wanted: AttributeDescriptor, data: bytes, audience: Audience) -> None:
        """Set an attribute for an association.

        Raises:
            AccessRefusedError: It is not there, or not for this association.
            DecodeError: The value is none of its type.
        """
        found, attribute = self._attribute(wanted, audience)
        if attribute.write is None or not audience & found.writers:
            raise refuse(DataAccessResult.READ_WRITE_DENIED)
        attribute.write(meter, data)

    def invoke(
        self, meter: Is15959Meter, wanted: MethodDescriptor, parameters: bytes | None, audience: Audience
    ) -> None:
        """Carry a method out for an association.

        Raises:
            ActionRefusedError: It is not there, or not for this association.
            DecodeError: The parameters are none of its type.
        """
        found = self.entries.get(wanted.name)
        if found is None or not audience & (found.readers | found.writers):
            raise ActionRefusedError("no such object", result=ActionResult.OBJECT_UNDEFINED)
        if found.class_id != wanted.class_id:
            raise ActionRefusedError("another class", result=ActionResult.OBJECT_CLASS_INCONSISTENT)
        act = found.methods.get(wanted.method)
        if act is None or not audience & found.writers:
            raise ActionRefusedError("not for you", result=ActionResult.READ_WRITE_DENIED)
        act.invoke(meter, parameters)

    def object_list(self, audience: Audience) -> bytes:
        """Return the objects that an association sees, with what it may do to them."""
        encoded = self._lists.get(audience)
        if encoded is None:
            seen = [each for each in self.entries.values() if audience & (each.readers | each.writers)]
            encoded = _OBJECT_LIST.encode(tuple(each.list_element(audience) for each in seen))
            self._lists[audience] = encoded
        return encoded

    def _attribute(self, wanted: AttributeDescriptor, audience: Audience) -> tuple[Entry, Readable]:
        found = self.entries.get(wanted.name)
        if found is None or not audience & (found.readers | found.writers):
            raise refuse(DataAccessResult.OBJECT_UNDEFINED)
        if found.class_id != wanted.class_id:
            raise refuse(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
        attribute = found.attributes.get(wanted.attribute)
        if attribute is None:
            raise refuse(DataAccessResult.READ_WRITE_DENIED)
        return found, attribute
