"""Codecs read tolerantly, write exactly, and refuse what does not fit."""

from dataclasses import dataclass
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.axdr import data as axdr
from dlms.axdr.data import Tag
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.cosem import codecs
from dlms.cosem.classes import CLASSES
from dlms.errors import DecodeError, DlmsError


class Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Pair:
    left: int
    right: Colour | None


PAIR = codecs.record(Pair, codecs.LONG_UNSIGNED, codecs.optional(codecs.enumeration(Colour)))


def test_a_record_has_its_fields_in_order() -> None:
    assert PAIR.encode(Pair(7, Colour.BLUE)) == bytes.fromhex("0202 120007 1602")
    assert PAIR.decode(bytes.fromhex("0202 1107 1102")) == Pair(7, Colour.BLUE)
    assert PAIR.decode(bytes.fromhex("0202 1107 00")) == Pair(7, None)


def test_members_of_later_versions_are_passed_over() -> None:
    assert PAIR.decode(bytes.fromhex("0203 1107 00 0901ff")) == Pair(7, None)


@pytest.mark.parametrize("encoded", ["0201 1107", "0202 1107 1603", "0202 0301 1602", "1107", "0102 1107 1102"])
def test_what_is_no_such_record_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        PAIR.decode(bytes.fromhex(encoded))


def test_a_record_needs_a_codec_for_every_field() -> None:
    with pytest.raises(ValueError, match="2 fields for 1 codecs"):
        codecs.record(Pair, codecs.LONG)


def test_an_array_reads_as_a_tuple_and_null_as_none_of_it() -> None:
    numbers = codecs.sequence(codecs.UNSIGNED)
    assert numbers.decode(bytes.fromhex("0102 1101 120002")) == (1, 2)
    assert numbers.decode(b"\x00") == ()
    assert numbers.encode((1, 2)) == bytes.fromhex("0102 1101 1102")
    with pytest.raises(DecodeError, match="array"):
        numbers.decode(bytes.fromhex("0201 1101"))


def test_a_boolean_may_come_as_a_number() -> None:
    assert codecs.BOOLEAN.decode(b"\x11\x01") is True
    assert codecs.BOOLEAN.decode(b"\x16\x00") is False
    assert codecs.TRUTH_OR_ENUM.decode(b"\x03\x01") == 1
    for codec in (codecs.BOOLEAN, codecs.TRUTH_OR_ENUM):
        with pytest.raises(DecodeError):
            codec.decode(b"\x00")


def test_text_may_come_as_octets() -> None:
    assert codecs.TEXT.decode(bytes.fromhex("09 02 4869")) == "Hi"
    assert codecs.TEXT.encode("Hi") == bytes.fromhex("0a 02 4869")
    assert codecs.OCTET_TEXT.encode("Hi") == bytes.fromhex("09 02 4869")
    with pytest.raises(DecodeError):
        codecs.TEXT.decode(b"\x11\x01")


def test_times_come_in_either_type_and_are_written_as_octet_strings() -> None:
    moment = CosemDateTime.from_utc_ms(0, 0)
    for tag in (Tag.OCTET_STRING, Tag.DATE_TIME):
        assert codecs.DATE_TIME.decode(axdr.encode(axdr.Data(tag, moment.encoded))) == moment
    assert codecs.DATE_TIME.encode(moment) == b"\x09\x0c" + moment.encoded
    assert codecs.DATE.decode(codecs.DATE.encode(CosemDate.of(day=1))) == CosemDate.of(day=1)
    assert codecs.TIME.decode(codecs.TIME.encode(CosemTime.of(hour=1))) == CosemTime.of(hour=1)
    with pytest.raises(DecodeError, match="12 bytes"):
        codecs.DATE_TIME.decode(b"\x09\x00")


def test_a_logical_name_has_six_bytes() -> None:
    with pytest.raises(DecodeError, match="logical name"):
        codecs.NAME.decode(bytes.fromhex("0905 0000000000"))


def test_any_takes_data_as_it_is() -> None:
    assert codecs.ANY.encode(axdr.enum(3)) == b"\x16\x03"
    assert codecs.ANY.encode("x") == b"\x0a\x01x"


def test_numbers_out_of_range_are_not_written() -> None:
    with pytest.raises(ValueError, match="UNSIGNED"):
        codecs.UNSIGNED.encode(300)


@given(st.sampled_from(sorted(CLASSES)), st.data(), st.binary(max_size=60))
def test_any_bytes_are_a_value_of_an_attribute_or_an_error(class_id: int, draw: st.DataObject, encoded: bytes) -> None:
    cosem = CLASSES[class_id]("0.0.1.0.0.255")
    _, attribute = draw.draw(st.sampled_from(list(cosem.attributes())))
    reference = cosem.attribute_at(attribute.index)
    assert reference is not None
    try:
        reference.decode(encoded)
    except DlmsError:
        return
