"""Notifications, plain and ciphered."""

import pytest

from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import AttributeDescriptor, DataNotification, EventNotification
from dlms.errors import SecurityError
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.protection import CipherForm, Protector
from dlms.server.notify import Notifier
from tests.unit.dlms.server.shelf import CLIENT_TITLE, KEYS, SERVER_TITLE

ALERT = AttributeDescriptor(1, bytes((0, 0, 94, 91, 18, 255)), 2)


def protector(own: bytes, peer: bytes) -> Protector:
    counters = ReservedCounter(1, lambda _: None)
    return Protector(own, peer, KEYS, counters, PeerCounters(PeerCounterPolicy.STRICT))


def test_pushes_are_numbered_and_the_number_wraps() -> None:
    notifier = Notifier(next_invoke=0xFF_FFFF)
    first, second = notifier.data_notification(b"\x11\x05", bytes(12)), notifier.data_notification(b"\x00")
    assert decode_apdu(first) == DataNotification(0xFF_FFFF, bytes(12), b"\x11\x05")
    assert decode_apdu(second) == DataNotification(0, b"", b"\x00")


@pytest.mark.parametrize("form", [CipherForm.SERVICE_GLOBAL, CipherForm.GENERAL_GLOBAL])
def test_ciphered_push_names_its_sender(form: CipherForm) -> None:
    notifier = Notifier(protector(SERVER_TITLE, CLIENT_TITLE), form=form)
    sent = notifier.data_notification(b"\x11\x05")
    assert sent[:10] == bytes((219, 8)) + SERVER_TITLE
    opened = protector(CLIENT_TITLE, SERVER_TITLE).unprotect(sent)
    assert decode_apdu(opened.apdu) == DataNotification(1, b"", b"\x11\x05")


def test_event_has_a_service_specific_form_of_its_own() -> None:
    notifier = Notifier(protector(SERVER_TITLE, CLIENT_TITLE), form=CipherForm.SERVICE_GLOBAL)
    sent = notifier.event_notification(ALERT, b"\x11\x05", bytes(12))
    assert sent[0] == 202
    opened = protector(CLIENT_TITLE, SERVER_TITLE).unprotect(sent)
    assert decode_apdu(opened.apdu) == EventNotification(bytes(12), ALERT, b"\x11\x05")


def test_plain_event_needs_no_keys() -> None:
    assert decode_apdu(Notifier().event_notification(ALERT, b"\x00")) == EventNotification(None, ALERT, b"\x00")


def test_dedicated_form_without_such_a_key_is_an_error() -> None:
    notifier = Notifier(protector(SERVER_TITLE, CLIENT_TITLE), form=CipherForm.SERVICE_DEDICATED)
    with pytest.raises(SecurityError):
        notifier.data_notification(b"\x00")
