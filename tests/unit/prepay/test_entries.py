"""Entries as they cross the wire, and what makes two of them the same."""

import hashlib

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prepay.entries import INSTALLATIONS_MAX, CarriedInstallation, CarriedPeriod, Entry, Reached, Statement
from prepay.identity import ForeignEntryError, encode, entry_digest, natural_key, precedence, require_account
from tests.unit.prepay.village import (
    ACCOUNT,
    adjustment,
    assignment,
    credit,
    entries,
    opening,
    point,
    release,
    statements,
    tariff,
)

ONE_OF_EACH: list[Entry] = [
    opening(),
    credit("a", 1),
    adjustment("a", -1),
    tariff("a", 1),
    assignment(),
    release(0, 1),
    point(0, 0),
    Statement(
        account=ACCOUNT,
        closed_at_ms=1,
        issued_at_ms=2,
        predecessor=b"",
        covers=bytes(32),
        points_count=1,
        quarantined_count=0,
        settled_wh=0,
        settled_minor=0,
        unpriced_wh=0,
        released_wh=0,
        installations=(
            CarriedInstallation(
                meter_serial="SN-1001", installation=1, charged_wh=7, believed=Reached(1, 7), candidate=Reached(1, 90)
            ),
        ),
        periods=(CarriedPeriod(from_ms=0, tariff=bytes(16), price=5, price_digits=0, energy_wh=7),),
    ),
]


def decode(payload: bytes) -> Entry:
    entry: Entry = msgspec.convert(cbor2.loads(payload), Entry, builtin_types=(bytes,))
    return entry


@given(st.one_of(entries, statements))
def test_an_entry_survives_the_wire(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(entries, entries)
def test_entries_are_equal_exactly_when_their_digests_are(one: Entry, other: Entry) -> None:
    assert (one == other) == (entry_digest(one) == entry_digest(other))


def test_the_encoding_of_a_credit_is_fixed() -> None:
    encoded = encode(credit("a", 500, at_ms=1_700_000_000_000))
    assert encoded.hex() == "850250ca978112ca1bbdcafac231b39a23dc4d67686f7573652d371901f41b0000018bcfe56800"
    assert entry_digest(credit("a", 500, at_ms=1_700_000_000_000)) == hashlib.sha256(encoded).digest()


def test_the_encoding_of_a_statement_is_fixed() -> None:
    assert encode(ONE_OF_EACH[-1]).hex() == (
        "8e0867686f7573652d370102405820000000000000000000000000000000000000000000000000000000000000"
        "0000010000000000818567534e2d3130303101078201078201185a818500500000000000000000000000000000"
        "0000050007"
    )


def test_a_register_point_takes_less_than_50_bytes() -> None:
    assert len(encode(point(1_700_000_000_000, 123_456_789, tick_ms=10**9))) < 50


@pytest.mark.parametrize("entry", ONE_OF_EACH)
def test_a_longer_or_shorter_array_is_refused(entry: Entry) -> None:
    fields = msgspec.to_builtins(entry, builtin_types=(bytes,))
    for altered in ([*fields, 0], fields[:-1]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(altered, Entry, builtin_types=(bytes,))


@pytest.mark.parametrize("entry", ONE_OF_EACH)
def test_every_field_has_bounds(entry: Entry) -> None:
    fields = msgspec.to_builtins(entry, builtin_types=(bytes,))
    too_much = {int: 2**63, str: "x" * 33, bytes: b"x" * 33, list: [None] * 17, tuple: [None] * 17}
    for place in range(1, len(fields)):
        altered = [*fields[:place], too_much[type(fields[place])], *fields[place + 1 :]]
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(altered, Entry, builtin_types=(bytes,))


@pytest.mark.parametrize("name", ["", "a b", "a\n", "näme", "a/b", "x" * 33])
def test_a_name_that_no_topic_could_carry_is_refused(name: str) -> None:
    fields = msgspec.to_builtins(opening(), builtin_types=(bytes,))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert([fields[0], name, *fields[2:]], Entry, builtin_types=(bytes,))


def test_kinds_never_share_a_natural_key() -> None:
    assert len({natural_key(entry) for entry in ONE_OF_EACH}) == len(ONE_OF_EACH)


def test_of_two_values_the_smaller_amount_or_register_counts() -> None:
    assert min(credit("a", 300), credit("a", 70), key=precedence) == credit("a", 70)
    assert min(adjustment("a", 5), adjustment("a", -5), key=precedence) == adjustment("a", -5)
    assert min(point(5, 900), point(5, 1_000), key=precedence) == point(5, 900)


def test_a_statement_of_as_many_circuits_as_a_box_has_fits_a_fact() -> None:
    statement = ONE_OF_EACH[-1]
    assert isinstance(statement, Statement)
    many = tuple(
        CarriedInstallation(
            meter_serial=f"EM-{number:06}",
            installation=1,
            charged_wh=50_000_000,
            believed=Reached(1_800_000_000_000, 50_000_000),
            candidate=None,
        )
        for number in range(INSTALLATIONS_MAX)
    )
    assert len(encode(msgspec.structs.replace(statement, installations=many))) < 900


def test_an_entry_of_another_account_is_refused() -> None:
    require_account(point(0, 0), ACCOUNT)
    with pytest.raises(ForeignEntryError, match="house-8"):
        require_account(opening("house-8"), ACCOUNT)
