"""The exact tree: every type both ways, worked out by hand from Green Book 9.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr import data as axdr
from dlms.axdr.data import BitString, CompactArray, Data, Tag, TypeDescription, decode, encode, of_value
from dlms.axdr.values import Delta, Value, decode_value
from dlms.errors import DecodeError, DlmsError
from tests.unit.dlms.axdr.trees import trees

EXAMPLES = [
    (axdr.NULL_DATA, "00", None),
    (axdr.array(axdr.unsigned(1), axdr.unsigned(2)), "0102 1101 1102", [1, 2]),
    (axdr.structure(axdr.long_unsigned(8), axdr.boolean(True)), "0202 120008 0301", (8, True)),
    (axdr.boolean(False), "0300", False),
    (axdr.bit_string(True, False, True, True), "0404b0", BitString.of(True, False, True, True)),
    (axdr.double_long(-2), "05fffffffe", -2),
    (axdr.double_long_unsigned(0xFFFF_FFFF), "06ffffffff", 2**32 - 1),
    (axdr.octet_string(b"\x00\x01"), "09020001", b"\x00\x01"),
    (axdr.visible_string("EMU"), "0a03454d55", "EMU"),
    (axdr.utf8_string("µ"), "0c02c2b5", "µ"),
    (axdr.bcd(0x42), "0d42", 0x42),
    (axdr.integer(-3), "0ffd", -3),
    (axdr.long(-300), "10fed4", -300),
    (axdr.unsigned(255), "11ff", 255),
    (axdr.long_unsigned(65535), "12ffff", 65535),
    (axdr.long64(-1), "14ffffffffffffffff", -1),
    (axdr.long64_unsigned(2**63), "158000000000000000", 2**63),
    (axdr.enum(27), "161b", 27),
    (axdr.float32(0.15625), "173e200000", 0.15625),
    (axdr.float64(-0.5), "18bfe0000000000000", -0.5),
    (
        axdr.date_time(bytes.fromhex("07e8050103060f00ff800000")),
        "1907e8050103060f00ff800000",
        bytes.fromhex("07e8050103060f00ff800000"),
    ),
    (axdr.date(bytes.fromhex("07e8050103")), "1a07e8050103", bytes.fromhex("07e8050103")),
    (axdr.time(bytes.fromhex("060f00ff")), "1b060f00ff", bytes.fromhex("060f00ff")),
    (Data(Tag.DELTA_INTEGER, -1), "1cff", Delta(-1)),
    (Data(Tag.DELTA_LONG, -1), "1dffff", Delta(-1)),
    (Data(Tag.DELTA_DOUBLE_LONG, -1), "1effffffff", Delta(-1)),
    (Data(Tag.DELTA_UNSIGNED, 255), "1fff", Delta(255)),
    (Data(Tag.DELTA_LONG_UNSIGNED, 255), "2000ff", Delta(255)),
    (Data(Tag.DELTA_DOUBLE_LONG_UNSIGNED, 255), "21000000ff", Delta(255)),
    (axdr.DONT_CARE, "ff", None),
    # Compact arrays: of long-unsigned; of structures with a string and a pair in it.
    (axdr.compact_array(axdr.long_unsigned(1), axdr.long_unsigned(2)), "13 12 04 00010002", [1, 2]),
    (
        axdr.compact_array(
            axdr.structure(axdr.octet_string(b"a"), axdr.array(axdr.unsigned(1), axdr.unsigned(2)), axdr.NULL_DATA),
            axdr.structure(axdr.octet_string(b"bcd"), axdr.array(axdr.unsigned(3), axdr.unsigned(4)), axdr.NULL_DATA),
        ),
        "13 0203 09 01000211 00 0a 0161 0102 03626364 0304",
        [(b"a", [1, 2], None), (b"bcd", [3, 4], None)],
    ),
    (Data(Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.UNSIGNED), ())), "131100", []),
]
IDS = [data.tag.name for data, _, _ in EXAMPLES]


@pytest.mark.parametrize(("data", "encoded", "plain"), EXAMPLES, ids=IDS)
def test_every_type_has_its_bytes(data: Data, encoded: str, plain: Value) -> None:
    assert encode(data) == bytes.fromhex(encoded)
    assert decode(bytes.fromhex(encoded)) == data


@pytest.mark.parametrize(("data", "encoded", "plain"), EXAMPLES, ids=IDS)
def test_every_type_has_its_plain_value(data: Data, encoded: str, plain: Value) -> None:
    read = decode_value(bytes.fromhex(encoded))
    assert (read, type(read)) == (plain, type(plain))
    assert data.plain() == plain


def test_a_push_of_a_real_shape_reads_as_its_parts() -> None:
    push = "0204 0906 4d4d4d303031 0906 0004190900ff 090c 07e8 05 01 03 06 0f 00 ff 8000 00 048180 80" + "00" * 15
    device, setup, time, status = decode_value(bytes.fromhex(push))  # type: ignore[misc, str-unpack]
    assert (device, setup, len(time)) == (b"MMM001", bytes((0, 4, 25, 9, 0, 255)), 12)  # type: ignore[arg-type]
    assert isinstance(status, BitString)
    assert (len(status), status.set_bits()) == (128, (0,))


@pytest.mark.parametrize(
    "data",
    [
        axdr.unsigned(256),
        axdr.unsigned(-1),
        axdr.long(2**15),
        axdr.float32(1e300),
        axdr.date_time(b"\x00" * 11),
        axdr.time(b"\x00" * 5),
        Data(Tag.NULL_DATA, 1),
        Data(Tag.OCTET_STRING, "text"),
        Data(Tag.DOUBLE_LONG, "5"),
        Data(Tag.DOUBLE_LONG, None),
        Data(Tag.BOOLEAN, "yes"),
        Data(Tag.ARRAY, 5),
        Data(Tag.COMPACT_ARRAY, ()),
        axdr.visible_string("λ"),
        Data(Tag.COMPACT_ARRAY, CompactArray(TypeDescription(Tag.UNSIGNED), (axdr.integer(1),))),
    ],
    ids=str,
)
def test_a_value_that_is_none_of_its_type_is_not_written(data: Data) -> None:
    with pytest.raises(ValueError, match=r"is no|ordinal|stands where"):
        encode(data)


def test_compact_arrays_are_of_one_type() -> None:
    with pytest.raises(ValueError, match="needs a type description"):
        axdr.compact_array()
    with pytest.raises(ValueError, match="inside a compact array"):
        axdr.compact_array(axdr.compact_array(axdr.unsigned(1)))
    mixed = axdr.compact_array(axdr.array(axdr.unsigned(1)), axdr.array(axdr.unsigned(1), axdr.unsigned(2)))
    with pytest.raises(ValueError, match="not the length"):
        encode(mixed)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, axdr.NULL_DATA),
        (True, axdr.boolean(True)),
        (5, axdr.double_long_unsigned(5)),
        (-5, axdr.double_long(-5)),
        (2**32, axdr.long64_unsigned(2**32)),
        (-(2**31) - 1, axdr.long64(-(2**31) - 1)),
        (0.5, axdr.float64(0.5)),
        (b"x", axdr.octet_string(b"x")),
        ("x", axdr.visible_string("x")),
        ("µ", axdr.utf8_string("µ")),
        ([1], axdr.array(axdr.double_long_unsigned(1))),
        ((None, b""), axdr.structure(axdr.NULL_DATA, axdr.octet_string(b""))),
        (BitString.of(True), axdr.bit_string(True)),
    ],
    ids=repr,
)
def test_a_plain_value_gets_the_type_that_usually_fits(value: Value, data: Data) -> None:
    assert of_value(value) == data


def test_a_number_of_more_than_64_bits_has_no_type() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        of_value(2**64)


def test_a_utf8_string_that_is_none_does_not_decode_exactly() -> None:
    with pytest.raises(DecodeError, match="UTF-8"):
        decode(b"\x0c\x01\xff")
    assert decode_value(b"\x0c\x01\xff") == "\N{REPLACEMENT CHARACTER}"


@given(trees)
def test_any_tree_comes_back(data: Data) -> None:
    assert decode(encode(data)) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_an_error(encoded: bytes) -> None:
    try:
        data = decode(encoded)
    except DlmsError:
        return
    assert decode(encode(data)).tag is data.tag
