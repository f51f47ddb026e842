"""The client meets the server of this package, over bytes: every mechanism, every form, small and large APDUs."""

import dataclasses
import itertools
from dataclasses import dataclass, field

import pytest

from dlms.apdu.acse import Mechanism
from dlms.apdu.conformance import Conformance
from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.client.association import ClientAssociation
from dlms.client.settings import DEFAULT_CONFORMANCE, AssociationSettings
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import LONG_UNSIGNED
from dlms.errors import AccessRefusedError, AssociationRefusedError, AuthenticationError
from dlms.obis import obis
from dlms.security.counters import PeerCounterPolicy, PeerCounters
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from dlms.server.association import ServerAssociation
from dlms.server.device import Access, AssociationRules, ServerSecurity
from tests.unit.dlms.client.meter import (
    CHALLENGE,
    CLIENT_TITLE,
    CLOCK,
    KEYS,
    METER_CHALLENGE,
    METER_TITLE,
    SECRET,
    counter,
    drive,
    octets,
)

REGISTERS = [AttributeRef(3, obis(f"1.0.{index}.8.0.255"), 2, LONG_UNSIGNED) for index in range(1, 31)]
MISSING = AttributeRef(3, obis("1.0.99.8.0.255"), 2, LONG_UNSIGNED)
TRANSFER = MethodDescriptor(18, obis("0.0.44.0.0.255"), 2)


@dataclass
class Device:
    rules: AssociationRules
    values: dict[AttributeDescriptor, bytes] = field(default_factory=dict)
    asked: list[tuple[MethodDescriptor | Selection | None, Access]] = field(default_factory=list)

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        return self.rules if client_sap == 16 else None

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        self.asked.append((selection, access))
        if attribute not in self.values:
            raise AccessRefusedError("not there", result=4)
        return self.values[attribute]

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        self.asked.append((selection, access))
        self.values[attribute] = value

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        self.asked.append((method, access))
        return parameters


def device_of(mechanism: Mechanism, control: int, pdu_bytes_max: int) -> Device:
    security = ServerSecurity(
        own_title=METER_TITLE,
        keys=Keys(KEYS.encryption, KEYS.authentication),
        counters=counter(),
        peer_counters=PeerCounters(PeerCounterPolicy.STRICT),
        required=control,
    )
    secret = b"" if mechanism is Mechanism.NONE else SECRET
    rules = AssociationRules(mechanism=mechanism, secret=secret, security=security, pdu_bytes_max=pdu_bytes_max)
    return Device(rules)


def server_of(device: Device) -> ServerAssociation:
    return ServerAssociation(device, 16, challenge=lambda: METER_CHALLENGE)


def client_of(settings: AssociationSettings) -> ClientAssociation:
    return ClientAssociation(settings, challenge=CHALLENGE, counters=counter())


SETTINGS = [
    AssociationSettings(
        mechanism=mechanism,
        secret=b"" if mechanism is Mechanism.NONE else SECRET,
        keys=KEYS,
        control=control,
        form=form,
        system_title=CLIENT_TITLE,
    )
    for mechanism, control, form in itertools.product(
        [mechanism for mechanism in Mechanism if mechanism is not Mechanism.HIGH_ECDSA],
        (0x10, 0x20, 0x30, 0x31),
        CipherForm,
    )
] + [
    AssociationSettings(mechanism=mechanism, secret=SECRET if mechanism else b"")
    for mechanism in (Mechanism.NONE, Mechanism.LOW, Mechanism.HIGH, Mechanism.HIGH_MD5, Mechanism.HIGH_SHA1)
]


def named(settings: AssociationSettings) -> str:
    form = settings.form.value if settings.is_ciphered else "plain"
    return f"{settings.mechanism.name}-{form}-{settings.control:#x}"


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
@pytest.mark.parametrize("general", [Conformance(0), Conformance.GENERAL_BLOCK_TRANSFER], ids=["services", "general"])
def test_everything_arrives_both_ways_whatever_the_apdus_hold(
    settings: AssociationSettings, general: Conformance
) -> None:
    for client_bytes, server_bytes in ((0xFFFF, 0xFFFF), (128, 100), (200, 512), (64, 1024)):
        control = settings.control if settings.is_ciphered else 0
        device = device_of(settings.mechanism, control or 0x30, server_bytes)
        server = server_of(device)

        def reply(request: bytes, server: ServerAssociation = server) -> bytes:
            answer = server.handle(request)
            assert answer is not None
            return answer

        client = client_of(
            dataclasses.replace(settings, pdu_bytes_max=client_bytes, conformance=DEFAULT_CONFORMANCE | general)
        )
        drive(client.open(), reply)
        drive(client.set_raw(CLOCK, octets(900)), reply)
        assert drive(client.get_raw(CLOCK), reply) == octets(900)
        numbers = [(register, index) for index, register in enumerate(REGISTERS)]
        assert drive(client.set_many(numbers), reply) == [None] * len(REGISTERS)
        read = drive(client.get_many([*REGISTERS, MISSING]), reply)
        assert read[:-1] == list(range(len(REGISTERS)))
        assert isinstance(read[-1], AccessRefusedError)
        assert drive(client.invoke_raw(TRANSFER, octets(700)), reply) == octets(700)
        drive(client.close(), reply)
        assert not server.is_open
        assert {access for _, access in device.asked} == {Access(16, settings.mechanism, control)}


def test_a_wrong_secret_or_password_opens_nothing() -> None:
    for mechanism, error in ((Mechanism.LOW, AssociationRefusedError), (Mechanism.HIGH, AuthenticationError)):
        server = server_of(device_of(mechanism, 0x30, 1024))

        def reply(request: bytes, server: ServerAssociation = server) -> bytes:
            return server.handle(request) or b""

        client = client_of(AssociationSettings(mechanism=mechanism, secret=b"another"))
        with pytest.raises(error, match=r"authentication|answer"):
            drive(client.open(), reply)
        assert not server.is_open
