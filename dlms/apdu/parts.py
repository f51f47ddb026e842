"""What the services have in common: descriptors, selective access, results, data blocks (Green Book 9.5, A-XDR).

Decides nothing of a service; reads with bounds, so that whatever is cut short is a `DecodeError`.
"""

import struct
from typing import Final

from dlms.apdu.services import AttributeDescriptor, DataResult, MethodDescriptor, SelectedAttribute, Selection
from dlms.axdr.length import decode_length, encode_length
from dlms.axdr.values import end_of
from dlms.errors import DecodeError
from dlms.obis import OBIS_BYTES

DATA: Final = 0
"""Choice `data` of Get-Data-Result, and `raw-data` of DataBlock-G."""
REFUSAL: Final = 1
"""Choice `data-access-result` of both."""
DATE_TIME_BYTES: Final = 12
_TAG_OCTET_STRING: Final = 0x09
_TAG_DATE_TIME: Final = 0x19
_DESCRIPTOR: Final = struct.Struct(">H6sb")
_DESCRIPTOR_BYTES: Final = _DESCRIPTOR.size
_UINT16: Final = struct.Struct(">H")
_UINT32: Final = struct.Struct(">I")
_BLOCK_HEAD: Final = struct.Struct(">BI")


class Reader:
    """A place in an APDU that moves on with everything read."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def byte(self) -> int:
        byte = self.data[self.offset]
        self.offset += 1
        return byte

    def uint16(self) -> int:
        number: int = _UINT16.unpack_from(self.data, self.offset)[0]
        self.offset += 2
        return number

    def uint32(self) -> int:
        number: int = _UINT32.unpack_from(self.data, self.offset)[0]
        self.offset += 4
        return number

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes, all of them or none."""
        start = self.offset
        part = self.data[start : start + length]
        if len(part) != length:
            raise DecodeError(f"{length} bytes are announced and {len(part)} follow")
        self.offset = start + length
        return part

    def flag(self) -> bool:
        """Return a BOOLEAN, or whether an OPTIONAL component is there; any value but 0 says yes."""
        return self.byte() != 0

    def length(self) -> int:
        """Return a variable-length integer."""
        length, self.offset = decode_length(self.data, self.offset)
        return length

    def count(self) -> int:
        """Return how many items follow, each of a byte at least."""
        count = self.length()
        if count > len(self.data) - self.offset:
            raise DecodeError(f"{count} items are announced in {len(self.data) - self.offset} bytes")
        return count

    def octets(self) -> bytes:
        """Return an OCTET STRING."""
        return self.take(self.length())

    def value(self) -> bytes:
        """Return one Data as its bytes."""
        return self.take(end_of(self.data, self.offset) - self.offset)

    def rest(self) -> bytes:
        """Return all that is left, the Data that ends the APDU."""
        part = self.data[self.offset :]
        if not part:
            raise DecodeError("data is announced and none follows")
        self.offset = len(self.data)
        return part

    def at_end(self) -> bool:
        return self.offset >= len(self.data)

    def finish(self) -> None:
        """Demand that nothing is left."""
        if self.offset < len(self.data):
            raise DecodeError(f"{len(self.data) - self.offset} bytes follow the APDU")

    def attribute(self) -> AttributeDescriptor:
        class_id, name, attribute = _DESCRIPTOR.unpack_from(self.data, self.offset)
        self.offset += _DESCRIPTOR_BYTES
        return AttributeDescriptor(class_id, name, attribute)

    def selected(self) -> SelectedAttribute:
        """Return an attribute with its access selection, behind which something follows."""
        descriptor = self.attribute()
        if not self.flag():
            return SelectedAttribute(descriptor)
        return SelectedAttribute(descriptor, Selection(self.byte(), self.value()))

    def selected_list(self) -> tuple[SelectedAttribute, ...]:
        return tuple([self.selected() for _ in range(self.count())])

    def method(self) -> MethodDescriptor:
        class_id, name, method = _DESCRIPTOR.unpack_from(self.data, self.offset)
        self.offset += _DESCRIPTOR_BYTES
        return MethodDescriptor(class_id, name, method)

    def method_list(self) -> tuple[MethodDescriptor, ...]:
        return tuple([self.method() for _ in range(self.count())])

    def outcome(self) -> DataResult:
        """Return a Get-Data-Result behind which something may follow."""
        choice = self.byte()
        if choice == DATA:
            return DataResult(self.value())
        if choice == REFUSAL:
            return DataResult(None, self.byte())
        raise DecodeError(f"choice {choice} is no Get-Data-Result")

    def block(self) -> tuple[bool, int, bytes]:
        """Return the last-block flag, number and bytes of DataBlock-SA, which ends the APDU."""
        block = self.flag(), self.uint32(), self.octets()
        self.finish()
        return block

    def date_time(self) -> bytes:
        """Return a date-time sent as OCTET STRING: empty or 12 bytes.

        Kaifa and older Kamstrup firmware put the tag of Data before the length (0x09), others the tag of date-time
        in its place (0x19). No date-time has 9 or 25 bytes, so nothing else can be meant.
        """
        length = self.length()
        if length == _TAG_OCTET_STRING:
            length = self.length()
        elif length == _TAG_DATE_TIME:
            length = DATE_TIME_BYTES
        if length not in {0, DATE_TIME_BYTES}:
            raise DecodeError(f"a date-time of {length} bytes")
        return self.take(length)


def encode_attribute(descriptor: AttributeDescriptor) -> bytes:
    """Return a Cosem-Attribute-Descriptor."""
    return _DESCRIPTOR.pack(descriptor.class_id, checked_name(descriptor.name), descriptor.attribute)


def encode_method(descriptor: MethodDescriptor) -> bytes:
    """Return a Cosem-Method-Descriptor."""
    return _DESCRIPTOR.pack(descriptor.class_id, checked_name(descriptor.name), descriptor.method)


def checked_name(name: bytes) -> bytes:
    """Return a logical name that really has six bytes, for packing would cut or fill it silently."""
    if len(name) != OBIS_BYTES:
        raise ValueError(f"a logical name has {OBIS_BYTES} bytes, not {len(name)}")
    return name


def encode_selection(selection: Selection | None) -> bytes:
    """Return the optional access selection."""
    if selection is None:
        return b"\x00"
    return bytes((1, selection.selector)) + selection.parameters


def encode_selected(attribute: SelectedAttribute) -> bytes:
    """Return a Cosem-Attribute-Descriptor-With-Selection."""
    return encode_attribute(attribute.descriptor) + encode_selection(attribute.selection)


def encode_selected_list(attributes: tuple[SelectedAttribute, ...]) -> bytes:
    """Return their count and each of them."""
    return encode_length(len(attributes)) + b"".join(map(encode_selected, attributes))


def encode_method_list(methods: tuple[MethodDescriptor, ...]) -> bytes:
    """Return their count and each of them."""
    return encode_length(len(methods)) + b"".join(map(encode_method, methods))


def encode_octets(octets: bytes) -> bytes:
    """Return an OCTET STRING."""
    return encode_length(len(octets)) + octets


def encode_block(block: int, part: bytes, *, is_last: bool) -> bytes:
    """Return a DataBlock-SA."""
    return _BLOCK_HEAD.pack(is_last, block) + encode_octets(part)


def encode_outcome(outcome: DataResult) -> bytes:
    """Return a Get-Data-Result."""
    if outcome.data is None:
        return bytes((REFUSAL, outcome.result))
    return b"\x00" + outcome.data


def decode_last_outcome(encoded: bytes, offset: int) -> DataResult:
    """Return a Get-Data-Result that ends the APDU; its data is all that is left."""
    choice = encoded[offset]
    if choice == DATA and len(encoded) > offset + 1:
        return DataResult(encoded[offset + 1 :])
    if choice == REFUSAL and len(encoded) == offset + 2:
        return DataResult(None, encoded[offset + 1])
    raise DecodeError(f"choice {choice} with {len(encoded) - offset - 1} bytes is no Get-Data-Result")
