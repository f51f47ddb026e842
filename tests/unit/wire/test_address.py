import cbor2
import pytest

from wire.address import Address, Direction, Kind, is_name, require_name
from wire.errors import MalformedError, Reason


def test_address_binds_all_its_parts() -> None:
    address = Address("hillside", Direction.UP, Kind.HELLO, "gw-1")
    assert cbor2.loads(address.to_bytes()) == ["wattpost", "hillside", "up", "hello", "gw-1"]


def test_addresses_whose_parts_join_alike_differ() -> None:
    one = Address("hill", Direction.UP, Kind.HELLO, "side-gw")
    other = Address("hillside", Direction.UP, Kind.HELLO, "-gw")
    assert one.to_bytes() != other.to_bytes()


@pytest.mark.parametrize("text", ["a", "A-9", "-", "x" * 32])
def test_good_name_is_returned(text: str) -> None:
    assert require_name(text) == text
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "x" * 33, "a_b", "a b", "a/b", "+", "#", "m-1\n", "\u00e4", "\u0663", "a\x00"])
def test_bad_name_is_refused_as_a_bad_topic(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(MalformedError) as refused:
        require_name(text)
    assert refused.value.reason is Reason.BAD_TOPIC
