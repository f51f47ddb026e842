"""What is understood of a push is what it says; what could be two things is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.apdu.services import AttributeDescriptor, DataNotification, EventNotification
from dlms.axdr.data import Data, encode, octet_string, of_value, structure, visible_string
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import BitString
from dlms.cosem.push_setup import PushObject
from dlms.cosem.units import ScalerUnit
from dlms.errors import DecodeError
from dlms.obis import obis
from gateway.adapters.dlms.push_contents import Contents, contents_of, members_of, names_in
from gateway.adapters.dlms.push_meters import PushLists, name_bytes
from gateway.adapters.dlms.push_visits import columns_of
from gateway.core.acquisition import Sample
from tests.unit.gateway.paper_meter import MAKE
from wire.readings import QUALITY_SUSPECT

ALERT, PERIODIC, ESW = obis("0.4.25.9.0.255"), obis("0.0.25.9.0.255"), obis("0.0.94.91.18.255")
AT_S = 1_790_000_000
CLOCK = octet_string(CosemDateTime.from_utc_ms(AT_S * 1_000, -330).encoded)
NAME = octet_string(b"MMM12345678")
WORD = BitString.from_int(1 << 127 - 81, 128)
HEAD = (PushObject(1, obis("0.0.96.1.2.255"), 2), PushObject(40, PERIODIC, 1), PushObject(8, obis("0.0.1.0.0.255"), 2))
VOLTS = PushObject(3, obis("1.0.12.7.0.255"), 2)
WATTS = PushObject(3, obis("1.0.1.7.0.255"), 2)


def lists(*more: PushObject, scalers: tuple[ScalerUnit | None, ...]) -> PushLists:
    columns = columns_of((*HEAD, *more), (None, None, None, *scalers))
    return PushLists(setups={"0.0.25.9.0.255": columns})


def understood(*members: Data, known: PushLists | None = None, sent_at: bytes = b"") -> Contents:
    push = DataNotification(1, sent_at, encode(structure(*members)))
    return contents_of(push, members_of(push), profile=MAKE, lists=known or PushLists())


def test_an_alert_speaks_for_itself() -> None:
    assert understood(NAME, octet_string(ALERT), CLOCK, of_value(WORD)) == Contents(at_s=AT_S, word=WORD)


def test_the_instant_of_the_envelope_counts_where_the_contents_have_none() -> None:
    sent_at = bytes(CLOCK.value)  # type: ignore[arg-type]
    assert understood(NAME, of_value(WORD), sent_at=sent_at).at_s == AT_S
    assert understood(NAME, of_value(WORD)).at_s is None
    assert understood(NAME, of_value(WORD), sent_at=b"\xff" * 12).at_s is None, "a date-time that is none"


def test_of_two_bit_strings_neither_is_the_status_word() -> None:
    assert understood(NAME, of_value(WORD), of_value(WORD)).word is None


def test_numbers_mean_nothing_without_the_meters_own_list() -> None:
    assert not understood(NAME, octet_string(PERIODIC), CLOCK, of_value(23_000)).says_something


def test_values_have_the_scaler_and_the_bounds_of_their_channel() -> None:
    known = lists(VOLTS, WATTS, scalers=(ScalerUnit(-2, 35), ScalerUnit(1, 27)))
    found = understood(NAME, octet_string(PERIODIC), CLOCK, of_value(23_010), of_value(9_000), known=known)
    assert found == Contents(at_s=AT_S, samples=(Sample(0, 2_301), Sample(6, 90_000, QUALITY_SUSPECT)))


@pytest.mark.parametrize("members", [(), (of_value(1),), (of_value(1), of_value(2), of_value(3))])
def test_a_push_of_another_length_than_its_list_is_not_read_by_it(members: tuple[Data, ...]) -> None:
    known = lists(VOLTS, WATTS, scalers=(ScalerUnit(0, 35), ScalerUnit(0, 27)))
    assert understood(NAME, octet_string(PERIODIC), CLOCK, *members, known=known).samples == ()


def test_a_list_whose_own_name_stands_elsewhere_is_not_the_one_of_this_push() -> None:
    known = lists(VOLTS, scalers=(ScalerUnit(0, 35),))
    assert understood(octet_string(PERIODIC), NAME, CLOCK, of_value(230), known=known).samples == ()


def test_a_register_whose_scaler_is_not_known_gives_nothing() -> None:
    known = lists(VOLTS, scalers=(None,))
    assert understood(NAME, octet_string(PERIODIC), CLOCK, of_value(230), known=known).samples == ()


def test_a_word_may_come_as_octets_where_the_list_says_that_it_is_one() -> None:
    known = lists(PushObject(1, ESW, 2), scalers=(None,))
    found = understood(NAME, octet_string(PERIODIC), CLOCK, octet_string(WORD.data), known=known)
    assert found.word == WORD
    assert understood(NAME, octet_string(PERIODIC), CLOCK, octet_string(WORD.data)).word is None


def test_an_event_notification_says_what_its_attribute_is() -> None:
    def event(name: bytes, value: Data, attribute: int = 2) -> Contents:
        push = EventNotification(None, AttributeDescriptor(1, name, attribute), encode(value))
        return contents_of(push, members_of(push), profile=MAKE, lists=PushLists())

    assert event(ESW, of_value(WORD)) == Contents(word=WORD)
    assert not event(obis("0.0.94.91.26.255"), of_value(WORD)).says_something, "the filter"
    assert not event(ESW, of_value(WORD), attribute=1).says_something


def test_names_are_told_apart_without_their_padding() -> None:
    push = DataNotification(1, b"", encode(structure(octet_string(b"MMM1\0\0"), visible_string("X2 "), of_value(5))))
    assert list(names_in(members_of(push))) == [b"MMM1", b"X2"]
    assert name_bytes(b" \0") is None


@given(body=st.binary(max_size=60), sent_at=st.sampled_from([b"", b"\xff" * 12, bytes(12)]))
def test_any_bytes_are_contents_or_a_decode_error(body: bytes, sent_at: bytes) -> None:
    push = DataNotification(1, sent_at, body)
    try:
        members = members_of(push)
    except DecodeError:
        return
    contents_of(push, members, profile=MAKE, lists=lists(VOLTS, WATTS, scalers=(None, ScalerUnit(0, 27))))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=16),
    st.sampled_from([PERIODIC, ALERT, b"\xff" * 12]),
    st.text(max_size=8),
    st.integers(0, 200).map(lambda bits: BitString.from_int(0, bits)),
)


@given(members=st.lists(LEAVES, max_size=6))
def test_any_members_are_contents(members: list[object]) -> None:
    push = DataNotification(1, b"", b"")
    known = lists(VOLTS, WATTS, scalers=(ScalerUnit(-2, 35), ScalerUnit(9, 27)))
    found = contents_of(push, members, profile=MAKE, lists=known)  # type: ignore[arg-type]
    assert all(0 <= sample.channel < len(MAKE.channels) for sample in found.samples)
