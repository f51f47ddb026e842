import pytest

from dlms.apdu.codec import encode_apdu
from dlms.apdu.services import (
    ActionOutcome,
    ActionResponse,
    Apdu,
    ConfirmedServiceError,
    DataNotification,
    DataResult,
    EventNotification,
    ExceptionResponse,
    GetResponse,
)
from dlms.errors import (
    AuthenticationError,
    ConfirmedServiceRefusedError,
    DlmsError,
    ProtocolError,
    RefusedError,
    ReplayError,
    SecurityError,
    ServiceRefusedError,
    UnprotectedError,
)
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from tests.unit.dlms.client.meter import CLOCK, KEYS, Meter, drive, fed, octets, opened

FIRST = 0xC1
ANSWER = encode_apdu(GetResponse(FIRST, DataResult(octets(12))))
EVENT = EventNotification(None, CLOCK, octets(3))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (ExceptionResponse(1, 6, 4711), ServiceRefusedError),
        (ConfirmedServiceError(5, 2, 3), ConfirmedServiceRefusedError),
    ],
)
def test_an_unprotected_refusal_is_an_error_that_says_so_and_breaks_nothing(
    refusal: Apdu, kind: type[RefusedError]
) -> None:
    meter = Meter({CLOCK: octets(12)}, keys=KEYS)
    client = opened(meter)
    with pytest.raises(kind, match="unprotected"):
        fed(client.get_raw(CLOCK), encode_apdu(refusal))
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_an_unprotected_refusal_is_not_taken_where_the_policy_forbids_it() -> None:
    client = opened(Meter(keys=KEYS), unprotected_refusals=False)
    with pytest.raises(UnprotectedError):
        fed(client.get_raw(CLOCK), encode_apdu(ExceptionResponse(1, 2)))
    assert not client.is_open


def test_a_protected_refusal_is_told_as_one() -> None:
    meter = Meter(keys=KEYS, form=CipherForm.GENERAL_GLOBAL)
    client = opened(meter, unprotected_refusals=False)
    with pytest.raises(ServiceRefusedError, match=r"service not allowed, deciphering error$") as refusal:
        fed(client.get_raw(CLOCK), meter.seal(encode_apdu(ExceptionResponse(1, 5))))
    assert (refusal.value.state_error, refusal.value.service_error) == (1, 5)


def test_data_that_comes_unprotected_is_never_data() -> None:
    client = opened(Meter(keys=KEYS))
    with pytest.raises(UnprotectedError):
        fed(client.get_raw(CLOCK), ANSWER)
    assert not client.is_open


def test_data_that_comes_ciphered_where_nothing_is_ciphered_is_refused() -> None:
    ciphered = Meter(keys=KEYS)
    opened(ciphered)
    with pytest.raises(ProtocolError):
        fed(opened(Meter()).get_raw(CLOCK), ciphered.seal(ANSWER))


@pytest.mark.parametrize("control", [0x10, 0x20])
def test_less_protection_than_was_sent_is_refused(control: int) -> None:
    meter = Meter(keys=KEYS)
    client = opened(meter)
    meter.control = control
    with pytest.raises(UnprotectedError):
        fed(client.get_raw(CLOCK), meter.seal(ANSWER))


def test_less_protection_is_taken_where_the_settings_say_so() -> None:
    meter = Meter(keys=KEYS)
    client = opened(meter, required=0x10)
    meter.control = 0x10
    assert fed(client.get_raw(CLOCK), meter.seal(ANSWER)) == octets(12)


def test_an_old_answer_is_not_taken_again() -> None:
    meter = Meter(keys=KEYS)
    client = opened(meter)
    answer = meter.seal(ANSWER)
    assert fed(client.get_raw(CLOCK), answer) == octets(12)
    with pytest.raises(ReplayError):
        fed(client.get_raw(CLOCK), answer)


def test_an_answer_that_was_changed_is_refused() -> None:
    meter = Meter(keys=KEYS)
    client = opened(meter)
    answer = bytearray(meter.seal(ANSWER))
    answer[-20] ^= 1
    with pytest.raises(AuthenticationError):
        fed(client.get_raw(CLOCK), bytes(answer))


def test_an_answer_in_the_wrong_wrapping_is_refused() -> None:
    meter = Meter(keys=KEYS)
    client = opened(meter)
    answer = meter.seal(encode_apdu(ActionResponse(FIRST, ActionOutcome(0))))
    with pytest.raises(SecurityError):
        fed(client.get_raw(CLOCK), b"\xcc" + answer[1:])


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_notification_before_the_answer_is_kept_and_the_answer_waited_for(keys: Keys | None) -> None:
    meter = Meter({CLOCK: octets(12)}, keys=keys)
    client = opened(meter)

    def reply(request: bytes) -> list[bytes]:
        answer = meter.reply(request)
        assert isinstance(answer, bytes)
        return [pushed, answer]

    pushed = meter.seal(encode_apdu(EVENT))
    assert drive(client.get_raw(CLOCK), reply) == octets(12)
    assert list(client.take_notifications()) == [EVENT]
    assert list(client.take_notifications()) == []


def test_notifications_without_end_are_an_error_and_do_not_pile_up() -> None:
    client = opened(Meter())
    notification = encode_apdu(DataNotification(1, b"", b"\x00"))
    with pytest.raises(ProtocolError, match="notification after notification"):
        drive(client.get_raw(CLOCK), lambda _: [notification] * 100)
    for _ in range(100):
        client._channel.keep(DataNotification(1, b"", b"\x00"))
    assert len(list(client.take_notifications())) == 16


@pytest.mark.parametrize("answer", [b"", b"\xff", b"\xd8", b"\xd8\x01", b"\x0e\x01", b"\xcc\x00", b"\xdb\x08"])
def test_scraps_are_typed_errors(answer: bytes) -> None:
    for meter in (Meter(), Meter(keys=KEYS)):
        with pytest.raises(DlmsError):
            fed(opened(meter).get_raw(CLOCK), answer)
