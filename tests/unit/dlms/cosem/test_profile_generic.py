"""Parts of a profile, as a client asks for them and as a server reads it."""

import pytest

from dlms.apdu.services import Selection
from dlms.axdr import data as axdr
from dlms.axdr.data import Tag
from dlms.axdr.datetimes import CosemDateTime
from dlms.cosem.profile_generic import EntryDescriptor, ProfileGeneric, RangeDescriptor, read_selection
from dlms.cosem.profile_rows import CaptureObject
from dlms.errors import DecodeError
from dlms.obis import obis

BLOCK = ProfileGeneric("1.0.99.1.0.255")
CLOCK = CaptureObject(8, obis("0.0.1.0.0.255"), 2)
ENERGY = CaptureObject(3, obis("1.0.1.29.0.255"), 2)
FROM = CosemDateTime(bytes.fromhex("07e8050103000000ff800000"))
TO = CosemDateTime(bytes.fromhex("07e8050204000000ff800000"))


def test_a_range_of_times_has_its_bytes() -> None:
    selection = BLOCK.by_range(CLOCK, FROM, TO)
    assert selection.selector == 1
    assert selection.parameters == bytes.fromhex(
        "0204 0204 120008 0906 0000010000ff 0f02 120000090c 07e8050103000000ff800000 090c 07e8050204000000ff800000 0100"
    )
    assert read_selection(selection) == RangeDescriptor(CLOCK, FROM.encoded, TO.encoded)


def test_a_range_can_be_of_numbers_of_some_columns_and_of_any_type() -> None:
    numbers = BLOCK.by_range(ENERGY, axdr.long_unsigned(1), 5, [CLOCK, ENERGY])
    assert bytes.fromhex("120001 0600000005 0102") in numbers.parameters
    assert read_selection(numbers) == RangeDescriptor(ENERGY, 1, 5, (CLOCK, ENERGY))


def test_entries_have_their_bytes() -> None:
    selection = BLOCK.by_entry(1, 10)
    assert selection == Selection(2, bytes.fromhex("0204 0600000001 060000000a 120001 120000"))
    assert read_selection(selection) == EntryDescriptor(1, 10, 1, 0)
    assert read_selection(BLOCK.by_entry(first_column=2, last_column=3)) == EntryDescriptor(1, 0, 2, 3)


@pytest.mark.parametrize(
    "selection",
    [Selection(3, b"\x00"), Selection(1, b"\x00"), Selection(2, b"\x02\x01\x11\x01"), Selection(1, b"")],
)
def test_another_selection_is_refused(selection: Selection) -> None:
    with pytest.raises(DecodeError):
        read_selection(selection)


def test_rows_of_known_columns_are_an_attribute_like_others() -> None:
    rows = BLOCK.rows([CLOCK, ENERGY], capture_period_s=900, types=[Tag.OCTET_STRING, Tag.LONG_UNSIGNED])
    assert rows.descriptor == BLOCK.buffer.descriptor
    encoded = rows.encode(((FROM, 5), (None, 6)))
    assert rows.decode(encoded) == ((FROM, 5), (FROM.plus_seconds(900), 6))
