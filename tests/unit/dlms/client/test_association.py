import contextlib

import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.codec import encode_apdu
from dlms.apdu.services import (
    DataNotification,
    DataResult,
    EventNotification,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetResponse,
    Notification,
)
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import LONG_UNSIGNED
from dlms.errors import DlmsError, LinkTimeoutError, ProtocolError, ServiceRefusedError, UnprotectedError
from dlms.security.protection import CipherForm
from tests.unit.dlms.client.meter import CLOCK, KEYS, Meter, client_of, drive, fed, octets, opened

PERIOD = AttributeRef(CLOCK.class_id, CLOCK.name, 3, LONG_UNSIGNED)
EVENT = EventNotification(bytes(12), CLOCK, octets(3))
PUSH = DataNotification(7, b"", bytes.fromhex("020109021234"))


def test_nothing_is_asked_before_the_association_is_open() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = client_of(meter)
    for exchange in (client.get_raw(CLOCK), client.close()):
        with pytest.raises(ProtocolError, match="not open"):
            next(exchange)
    drive(client.open(), meter.reply)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_an_association_is_opened_once() -> None:
    meter = Meter()
    client = opened(meter)
    with pytest.raises(ProtocolError):
        next(client.open())
    drive(client.close(), meter.reply)
    with pytest.raises(ProtocolError, match="closed"):
        next(client.open())


def test_two_conversations_do_not_mix() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = opened(meter)
    first = client.get_raw(CLOCK)
    request = next(first)
    with pytest.raises(ProtocolError, match="another conversation"):
        next(client.get_raw(CLOCK))
    with pytest.raises(StopIteration) as end:
        first.send(meter.reply(request))  # type: ignore[arg-type]
    assert end.value.value == octets(12)
    assert client.is_open


def test_an_abandoned_conversation_breaks_the_association_off() -> None:
    client = opened(Meter())
    exchange = client.get_raw(CLOCK)
    next(exchange)
    exchange.close()
    with pytest.raises(ProtocolError, match="broken off"):
        next(client.get_raw(CLOCK))
    with pytest.raises(ProtocolError, match="broken off"):
        next(client.close())


def test_a_link_that_fails_breaks_the_association_off() -> None:
    client = opened(Meter())
    exchange = client.get_raw(CLOCK)
    next(exchange)
    with pytest.raises(LinkTimeoutError):
        exchange.throw(LinkTimeoutError("no answer"))
    assert not client.is_open


def test_an_abandoned_opening_leaves_no_association() -> None:
    client = client_of(Meter())
    exchange = client.open()
    next(exchange)
    exchange.close()
    assert not client.is_open
    with pytest.raises(ProtocolError):
        next(client.open())


def test_a_conversation_that_never_began_breaks_nothing() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = opened(meter)
    client.get_raw(CLOCK).close()
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_a_value_that_does_not_fit_breaks_nothing() -> None:
    client = opened(Meter())
    with pytest.raises(ValueError, match="LONG_UNSIGNED"):
        next(client.set(PERIOD, 70_000))
    assert client.is_open


def test_a_refusal_of_the_whole_request_breaks_nothing() -> None:
    meter = Meter({CLOCK: octets(12)})
    client = opened(meter)
    with pytest.raises(ServiceRefusedError):
        fed(client.get_raw(CLOCK), encode_apdu(ExceptionResponse(1, 1)))
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


@pytest.mark.parametrize("notification", [EVENT, PUSH])
def test_a_notification_is_read_at_any_time(notification: Notification) -> None:
    client = opened(Meter())
    assert client.on_unsolicited(encode_apdu(notification)) == notification
    ciphered = Meter(keys=KEYS, form=CipherForm.GENERAL_GLOBAL)
    client = opened(ciphered)
    assert client.on_unsolicited(ciphered.seal(encode_apdu(notification))) == notification
    with pytest.raises(UnprotectedError):
        client.on_unsolicited(encode_apdu(notification))


def test_a_notification_in_general_blocks_is_whole_with_the_last() -> None:
    client = opened(Meter())
    whole = encode_apdu(PUSH)
    for _ in range(2):
        assert client.on_unsolicited(encode_apdu(GeneralBlockTransfer(False, True, 0, 1, 0, whole[:4]))) is None
    assert client.on_unsolicited(encode_apdu(GeneralBlockTransfer(True, False, 0, 2, 0, whole[4:]))) == PUSH
    with pytest.raises(ProtocolError):
        client.on_unsolicited(encode_apdu(GeneralBlockTransfer(True, False, 0, 2, 0, whole[4:])))


def test_a_late_answer_is_no_notification() -> None:
    assert opened(Meter()).on_unsolicited(encode_apdu(GetResponse(0xC1, DataResult(b"\x00")))) is None


@hypothesis.given(apdu=st.binary(max_size=40))
def test_any_bytes_are_a_notification_nothing_or_a_typed_error(apdu: bytes) -> None:
    client = opened(Meter())
    with contextlib.suppress(DlmsError):
        assert client.on_unsolicited(apdu) is None or apdu[0] in {15, 194, 224}
    assert client.is_open
