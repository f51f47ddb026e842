"""Names of attributes and methods become references that say what to ask for and what the answer means."""

import pytest

from dlms.apdu.services import AttributeDescriptor, MethodDescriptor
from dlms.axdr import data as axdr
from dlms.axdr.data import Tag
from dlms.cosem.attribute import Attribute
from dlms.cosem.codecs import number
from dlms.cosem.control import DisconnectControl
from dlms.cosem.registers import DataObject, Register
from dlms.cosem.units import ScalerUnit
from dlms.errors import DecodeError

ENERGY = Register("1.0.1.8.0.255")


def test_a_reference_says_what_to_ask_for() -> None:
    assert ENERGY.scaler_unit.descriptor == AttributeDescriptor(3, bytes((1, 0, 1, 8, 0, 255)), 3)
    assert ENERGY.reset.descriptor == MethodDescriptor(3, bytes((1, 0, 1, 8, 0, 255)), 1)
    assert str(ENERGY.value) == "1.0.1.8.0.255 attribute 2 of class 3"
    assert str(ENERGY.reset) == "1.0.1.8.0.255 method 1 of class 3"


def test_a_reference_says_what_the_answer_means() -> None:
    assert ENERGY.scaler_unit.decode(bytes.fromhex("0202 0f03 161e")) == ScalerUnit(3, 30)
    assert ENERGY.value.decode(bytes.fromhex("0600001388")) == 5000


def test_data_is_written_as_it_is() -> None:
    assert ENERGY.value.encode(5) == bytes.fromhex("0600000005")
    assert ENERGY.value.encode(axdr.long_unsigned(5)) == bytes.fromhex("120005")
    assert ENERGY.reset.encode(0) == bytes.fromhex("0f00")
    assert ENERGY.reset.encode(axdr.unsigned(0)) == bytes.fromhex("1100")


def test_an_attribute_can_be_read_in_another_way() -> None:
    period = DataObject("1.0.0.8.4.255").value.using(number(Tag.LONG_UNSIGNED))
    assert period.encode(900) == bytes.fromhex("120384")
    assert period.decode(bytes.fromhex("120384")) == 900


def test_a_method_without_a_result_takes_any_answer() -> None:
    relay = DisconnectControl("0.0.96.3.10.255")
    assert relay.remote_disconnect.decode(None) is None
    assert relay.remote_disconnect.decode(bytes.fromhex("0f00")) is None
    assert relay.remote_disconnect.decode_parameters(bytes.fromhex("0f00")) == 0
    assert relay.remote_disconnect.encode_result(None) == b"\x00"


def test_attributes_and_methods_are_found_by_their_numbers() -> None:
    assert [name for name, _ in Register.attributes()] == ["logical_name", "value", "scaler_unit"]
    assert [name for name, _ in Register.methods()] == ["reset"]
    assert ENERGY.attribute_at(3) == ENERGY.scaler_unit
    assert ENERGY.method_at(1) == ENERGY.reset
    assert ENERGY.attribute_at(9) is None
    assert ENERGY.method_at(9) is None


def test_on_the_class_itself_stands_the_attribute() -> None:
    assert isinstance(Register.value, Attribute)
    assert Register.reset.index == 1


def test_objects_are_equal_by_class_and_name() -> None:
    assert Register(bytes((1, 0, 1, 8, 0, 255))) == ENERGY
    assert hash(Register("1.0.1.8.0.255")) == hash(ENERGY)
    assert DataObject("1.0.1.8.0.255") != ENERGY
    assert repr(ENERGY) == "Register('1.0.1.8.0.255')"


@pytest.mark.parametrize("name", ["1.0.1.8.0", "1.0.1.8.0.256", b"\x01\x00", "energy"])
def test_what_is_no_logical_name_makes_no_object(name: str | bytes) -> None:
    with pytest.raises(DecodeError):
        Register(name)


def test_the_logical_name_is_an_attribute_of_every_object() -> None:
    assert ENERGY.logical_name.index == 1
    assert ENERGY.logical_name.decode(bytes.fromhex("0906 0100010800ff")) == ENERGY.name
