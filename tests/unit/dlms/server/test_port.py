"""Several clients and logical devices behind one link."""

from dlms.apdu.acse import Aarq
from dlms.apdu.codec import encode_acse, encode_apdu
from dlms.apdu.proposal import InitiateRequest
from dlms.apdu.services import (
    AttributeDescriptor,
    DataResult,
    ExceptionResponse,
    GetRequest,
    GetResponse,
    SelectedAttribute,
)
from dlms.server.device import AssociationRules
from dlms.server.port import ASSOCIATIONS_MAX, ServerPort
from tests.unit.dlms.server.shelf import ALL_SERVICES, Shelf

AARQ = encode_acse(Aarq(1, encode_apdu(InitiateRequest(ALL_SERVICES, 512))))
ATTRIBUTE = AttributeDescriptor(1, bytes(6), 2)
GET = encode_apdu(GetRequest(0xC1, SelectedAttribute(ATTRIBUTE)))
REFUSED = encode_apdu(ExceptionResponse(1, 1))


def port() -> ServerPort:
    device = Shelf(dict.fromkeys(range(1, 200), AssociationRules()), {ATTRIBUTE: b"\x00"})
    return ServerPort({1: device}, challenge=lambda: b"S" * 16)


def test_each_client_has_an_association_of_its_own() -> None:
    server = port()
    assert server.handle(AARQ, client=16, server=1) is not None
    assert server.handle(GET, client=32, server=1) == REFUSED
    assert server.handle(GET, client=16, server=1) == encode_apdu(GetResponse(0xC1, DataResult(b"\x00")))


def test_nobody_answers_for_a_logical_device_that_is_not_there() -> None:
    assert port().handle(AARQ, client=16, server=2) is None


def test_closed_link_forgets_its_associations() -> None:
    server = port()
    server.handle(AARQ, client=16, server=1)
    server.close()
    assert server.handle(GET, client=16, server=1) == REFUSED


def test_many_addresses_take_bounded_memory() -> None:
    server = port()
    server.handle(AARQ, client=16, server=1)
    for client in range(100, 100 + ASSOCIATIONS_MAX):
        server.handle(AARQ, client=client, server=1)
    assert server.handle(GET, client=16, server=1) == REFUSED
