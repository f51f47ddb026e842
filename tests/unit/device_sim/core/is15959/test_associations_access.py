"""Who sees and may change what."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.core.is15959.associations import Client
from dlms.apdu.acse import Mechanism
from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.axdr.data import double_long, long64
from dlms.axdr.values import decode_value
from dlms.cosem.association_ln import AssociationLn, ObjectListElement
from dlms.cosem.classes import CLASSES
from dlms.cosem.codecs import DATE_TIME, DOUBLE_LONG, UNSIGNED
from dlms.cosem.registers import DataObject
from dlms.cosem.security_setup import SecuritySetup
from dlms.errors import AccessRefusedError, DecodeError, DlmsError
from dlms.obis import obis
from dlms.server.device import Access
from tests.unit.device_sim.core.is15959.bench import DAILY, HOUR_MS, OTHER_LOG, TRANSACTION_LOG, Bench, local
from tests.unit.device_sim.core.is15959.household import household_bench

CURRENT = AssociationLn("0.0.40.0.0.255")
CLIENTS = list(Client)


def objects(bench: Bench, client: int) -> tuple[ObjectListElement, ...]:
    return bench.read(CURRENT.object_list, client=client)


@pytest.mark.parametrize("client", CLIENTS)
def test_object_list_tells_the_truth_about_reading(bench: Bench, client: Client) -> None:
    bench.wait(HOUR_MS)
    access = Access(client, 0, 0)
    for element in objects(bench, client):
        for attribute in element.access.attributes:
            wanted = AttributeDescriptor(element.class_id, element.name, attribute.attribute)
            if attribute.mode in {1, 3}:
                decode_value(bench.meter.read(wanted, None, access))
            else:
                with pytest.raises(AccessRefusedError):
                    bench.meter.read(wanted, None, access)


@pytest.mark.parametrize("client", CLIENTS)
def test_values_are_of_the_types_of_their_classes(bench: Bench, client: Client) -> None:
    for element in objects(bench, client):
        thing = CLASSES[element.class_id](element.name)
        for attribute in element.access.attributes:
            ref = thing.attribute_at(attribute.attribute)
            assert ref is not None
            if attribute.mode in {1, 3}:
                bench.read(ref, client=client)


def test_public_client_sees_only_who_the_meter_is_and_its_counters(bench: Bench) -> None:
    names = {element.name for element in objects(bench, Client.PUBLIC)}
    assert obis("0.0.43.1.3.255") in names
    assert obis("0.0.1.0.0.255") in names
    assert obis("1.0.1.8.0.255") not in names
    assert bench.refused(lambda: bench.read(DAILY.buffer, client=Client.PUBLIC)) == 4


@pytest.mark.parametrize("client", [Client.PUBLIC, Client.READER, Client.PUSH])
def test_only_utility_settings_and_firmware_may_write(bench: Bench, client: Client) -> None:
    for element in objects(bench, client):
        assert all(attribute.mode in {0, 1} for attribute in element.access.attributes)
        assert not any(method.mode for method in element.access.methods)


def test_firmware_client_writes_nothing_but_its_own(bench: Bench) -> None:
    may = {
        element.class_id
        for element in objects(bench, Client.FIRMWARE)
        if any(attribute.mode == 3 for attribute in element.access.attributes)
    }
    assert may == {18, 22}


def test_refusals_name_their_reason(bench: Bench) -> None:
    access = Access(Client.READER, 0, 0)

    def read(class_id: int, name: str, attribute: int) -> int:
        wanted = AttributeDescriptor(class_id, obis(name), attribute)
        return bench.refused(lambda: bench.meter.read(wanted, None, access))

    assert read(3, "9.9.9.9.9.9", 2) == 4
    assert read(1, "1.0.1.8.0.255", 2) == 9
    assert read(3, "1.0.1.8.0.255", 9) == 3
    clock = AttributeDescriptor(8, obis("0.0.1.0.0.255"), 2)
    assert bench.refused(lambda: bench.meter.write(clock, None, bytes(1), access)) == 3
    assert bench.refused(lambda: bench.meter.write(clock, Selection(1, b"\x00"), bytes(1), access)) == 13
    for wanted, result in (
        (MethodDescriptor(70, obis("9.9.9.9.9.9"), 1), 4),
        (MethodDescriptor(71, obis("0.0.96.3.10.255"), 1), 9),
        (MethodDescriptor(70, obis("0.0.96.3.10.255"), 1), 3),
    ):
        assert bench.refused(partial(bench.meter.invoke, wanted, None, access)) == result


def test_unknown_clients_have_no_rules(bench: Bench) -> None:
    assert bench.meter.association_rules(17) is None


@pytest.mark.parametrize("mechanism", [Mechanism.HIGH, Mechanism.HIGH_GMAC])
def test_mechanisms_are_those_of_the_settings(new_bench: Callable[..., Bench], mechanism: Mechanism) -> None:
    bench = new_bench(mechanism=mechanism)
    expected = {16: Mechanism.NONE, 32: Mechanism.LOW, 48: mechanism, 64: mechanism, 80: mechanism}
    for client, wanted in expected.items():
        rules = bench.meter.association_rules(client)
        assert rules is not None
        assert rules.mechanism == wanted
        name = bench.read(CURRENT.authentication_mechanism_name, client=client)
        assert isinstance(name, bytes)
        assert name[-1] == wanted


def test_reader_password_is_changed_and_never_shown(bench: Bench) -> None:
    secret = AssociationLn("0.0.40.0.2.255").secret
    bench.write(secret, b"new password")
    rules = bench.meter.association_rules(Client.READER)
    assert rules is not None
    assert rules.secret == b"new password"
    assert bench.refused(lambda: bench.read(secret)) == 3
    assert bench.refused(lambda: bench.write(secret, b"")) == 12
    assert bench.codes(TRANSACTION_LOG) == [161]


def test_hls_secrets_are_changed_by_their_method(bench: Bench) -> None:
    for number, client in ((3, Client.SETTINGS), (5, Client.FIRMWARE)):
        bench.invoke(AssociationLn(f"0.0.40.0.{number}.255").change_hls_secret, b"n" * 16)
        rules = bench.meter.association_rules(client)
        assert rules is not None
        assert rules.secret == b"n" * 16
    assert bench.codes(TRANSACTION_LOG) == [162, 163]
    change = AssociationLn("0.0.40.0.3.255").change_hls_secret
    assert bench.refused(lambda: bench.invoke(change, b"short")) == 12


def test_no_secret_shows_in_any_repr(bench: Bench) -> None:
    secrets = bench.meter.settings.secrets
    shown = repr(bench.meter.settings) + repr(secrets) + repr(bench.meter.admission) + repr(bench.meter)
    for secret in (secrets.reader_password, secrets.settings_secret, secrets.encryption, secrets.authentication):
        assert repr(secret)[2:-1] not in shown


def test_invocation_counter_is_the_last_one_believed(bench: Bench) -> None:
    assert bench.number("0.0.43.1.3.255") == 0
    bench.meter.admission.peer_counters[Client.SETTINGS].accept(41)
    assert bench.number("0.0.43.1.3.255") == 41
    assert bench.number("0.0.43.1.5.255") == 0
    title = bench.read(SecuritySetup("0.0.43.0.3.255").server_system_title)
    assert title == b"WPS" + (1).to_bytes(5, "big")


def test_account_mirrors_keep_what_they_are_told(bench: Bench) -> None:
    balance = DataObject("0.0.94.96.24.255").value.using(DOUBLE_LONG)
    bench.write(balance, -12_345)
    assert bench.read(balance) == -12_345
    moment = DataObject("0.0.94.96.25.255").value.using(DATE_TIME)
    bench.write(moment, local(bench.now_ms))
    assert bench.read(moment) == local(bench.now_ms)
    with pytest.raises(DecodeError):
        bench.write(balance, long64(1 << 40))
    with pytest.raises(DecodeError):
        bench.write(moment, double_long(5))
    assert bench.read(balance) == -12_345


def test_modes_are_logged(bench: Bench) -> None:
    payment = DataObject("0.0.94.96.20.255").value.using(UNSIGNED)
    metering = DataObject("0.0.94.96.19.255").value.using(UNSIGNED)
    bench.write(payment, 1)
    bench.write(metering, 1)
    bench.write(payment, 0)
    assert bench.codes(OTHER_LOG) == [212, 214, 211]
    assert bench.codes(TRANSACTION_LOG) == [167]
    assert bench.refused(lambda: bench.write(payment, 2)) == 250


WRITES = st.sampled_from(
    [b"", b"\x00", b"\x11\x05", b"\x06\xff\xff\xff\xff", b"\x09\x0c" + b"\xff" * 12, b"\x01\x00", b"\x02\x00"]
)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_bytes_written_or_invoked_are_taken_or_refused(data: st.DataObject) -> None:
    bench = household_bench()
    access = Access(data.draw(st.sampled_from([Client.SETTINGS, Client.FIRMWARE])), 0, 0)
    for element in objects(bench, access.client_sap):
        value = data.draw(WRITES | st.binary(max_size=12))
        for attribute in element.access.attributes:
            wanted = AttributeDescriptor(element.class_id, element.name, attribute.attribute)
            try:
                bench.meter.write(wanted, None, value, access)
            except DlmsError:
                continue
        for method in element.access.methods:
            called = MethodDescriptor(element.class_id, element.name, method.method)
            try:
                bench.meter.invoke(called, value, access)
            except DlmsError:
                continue
    bench.wait(2 * HOUR_MS)
    for element in objects(bench, Client.SETTINGS):
        for attribute in element.access.attributes:
            if attribute.mode in {1, 3}:
                wanted = AttributeDescriptor(element.class_id, element.name, attribute.attribute)
                decode_value(bench.meter.read(wanted, None, Access(Client.SETTINGS, 0, 0)))
