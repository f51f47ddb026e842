import contextlib
import dataclasses

import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.errors import (
    AuthenticationError,
    CountersExhaustedError,
    DecodeError,
    DlmsError,
    ReplayError,
    SecurityError,
    UnprotectedError,
)
from dlms.security.counters import COUNTER_LAST, PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import (
    CipherForm,
    Protector,
    has_service_tag,
    is_ciphered,
    overhead_bytes,
    sender_title,
)

TITLE = bytes.fromhex("4D4D4D0000BC614E")
OTHER_TITLE = bytes.fromhex("4D4D4D0000000001")
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)), broadcast=b"b" * 16, dedicated=b"d" * 16)
GET_CLOCK = bytes.fromhex("C0010000080000010000FF0200")
CONTROLS = [0x10, 0x20, 0x30]


def sender(counter: int = 0x01234567, keys: Keys = KEYS, title: bytes = TITLE) -> Protector:
    peers = PeerCounters(PeerCounterPolicy.STRICT)
    return Protector(title, None, keys, ReservedCounter(counter, lambda _: None), peers)


def receiver(
    policy: PeerCounterPolicy = PeerCounterPolicy.STRICT, keys: Keys = KEYS, required: int = 0x10, highest: int = -1
) -> Protector:
    counters = ReservedCounter(1, lambda _: None)
    return Protector(OTHER_TITLE, TITLE, keys, counters, PeerCounters(policy, highest), required=required)


@pytest.mark.parametrize(
    ("control", "ciphered"),
    [
        (0x10, "C81E1001234567C0010000080000010000FF020006725D910F9221D263877516"),
        (0x20, "C8122001234567411312FF935A47566827C467BC"),
        (0x30, "C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"),
    ],
    ids=["authenticated", "encrypted", "both"],
)
def test_the_clock_request_is_that_of_the_green_book(control: int, ciphered: str) -> None:
    protected = sender().protect(GET_CLOCK, control=control, form=CipherForm.SERVICE_GLOBAL)
    assert protected.hex().upper() == ciphered
    opened = receiver(required=control).unprotect(protected)
    assert (opened.apdu, opened.control, opened.counter, opened.title) == (GET_CLOCK, control, 0x01234567, TITLE)
    assert opened.form is CipherForm.SERVICE_GLOBAL


def test_the_initiate_request_and_response_are_those_of_the_green_book() -> None:
    request = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
    protected = sender().protect(request, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    assert protected.hex().upper() == (
        "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
    )
    response = bytes.fromhex("0800065F1F0400007C1F04000007")
    protected = sender(0x01234567).protect(response, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    assert protected.hex().upper() == "281F3001234567891214A0845E475714383F65BC19745CA235906525E4F3E1C893"
    assert receiver().unprotect(protected).apdu == response


def test_general_ciphering_names_the_sender_before_the_same_body() -> None:
    protected = sender().protect(GET_CLOCK, control=0x30, form=CipherForm.GENERAL_GLOBAL)
    assert protected.hex().upper() == (
        "DB084D4D4D0000BC614E1E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"
    )
    assert sender_title(protected) == TITLE
    assert receiver().unprotect(protected).form is CipherForm.GENERAL_GLOBAL


def test_a_general_form_that_names_nobody_is_of_the_known_peer() -> None:
    protected = sender().protect(GET_CLOCK, control=0x30, form=CipherForm.GENERAL_GLOBAL)
    nameless = protected[:1] + b"\x00" + protected[10:]
    assert sender_title(nameless) is None
    assert receiver().unprotect(nameless).title == TITLE


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("form", CipherForm)
@hypothesis.given(tag=st.sampled_from([1, 8, 14, 192, 193, 194, 195, 196, 197, 199]), rest=st.binary(max_size=400))
def test_whatever_is_protected_opens_again_and_is_as_long_as_foretold(
    form: CipherForm, control: int, tag: int, rest: bytes
) -> None:
    apdu = bytes((tag,)) + rest
    protected = sender().protect(apdu, control=control, form=form)
    assert is_ciphered(protected)
    assert has_service_tag(apdu, form)
    assert len(protected) == len(apdu) + overhead_bytes(form, control, len(apdu))
    opened = receiver(required=control).unprotect(protected)
    assert (opened.apdu, opened.form, opened.control) == (apdu, form, control)


@pytest.mark.parametrize(
    ("plain", "glo", "ded"),
    [
        (1, 33, 65),
        (8, 40, 72),
        (14, 46, 78),
        (192, 200, 208),
        (193, 201, 209),
        (194, 202, 210),
        (195, 203, 211),
        (196, 204, 212),
        (197, 205, 213),
        (199, 207, 215),
    ],
)
def test_every_service_has_its_two_tags(plain: int, glo: int, ded: int) -> None:
    apdu = bytes((plain, 0))
    assert sender().protect(apdu, control=0x30, form=CipherForm.SERVICE_GLOBAL)[0] == glo
    assert sender().protect(apdu, control=0x30, form=CipherForm.SERVICE_DEDICATED)[0] == ded


def test_what_has_no_service_tag_takes_a_general_form() -> None:
    notification = bytes.fromhex("0F000000010000")
    assert not has_service_tag(notification, CipherForm.SERVICE_GLOBAL)
    with pytest.raises(SecurityError):
        sender().protect(notification, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    protected = sender().protect(notification, control=0x30, form=CipherForm.GENERAL_GLOBAL)
    assert receiver().unprotect(protected).apdu == notification


def test_the_service_inside_is_the_one_its_tag_promises() -> None:
    protected = sender().protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(SecurityError, match="promises"):
        receiver().unprotect(b"\xc9" + protected[1:])


@pytest.mark.parametrize(("required", "control"), [(0x30, 0x10), (0x30, 0x20), (0x10, 0x20), (0x20, 0x10)])
def test_less_protection_than_agreed_is_refused(required: int, control: int) -> None:
    protected = sender().protect(GET_CLOCK, control=control, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(UnprotectedError):
        receiver(required=required).unprotect(protected)


def test_a_control_byte_that_protects_nothing_is_refused_both_ways() -> None:
    with pytest.raises(UnprotectedError):
        sender().protect(GET_CLOCK, control=0, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(UnprotectedError):
        receiver(required=0).unprotect(bytes.fromhex("C812") + b"\x00" + bytes(4) + GET_CLOCK)


@pytest.mark.parametrize("apdu", [b"", GET_CLOCK, b"\xdd\x00", b"\xd8\x01\x01"])
def test_what_is_not_ciphered_is_unprotected(apdu: bytes) -> None:
    assert not is_ciphered(apdu)
    assert sender_title(apdu) is None
    with pytest.raises(UnprotectedError):
        receiver().unprotect(apdu)


@pytest.mark.parametrize("control", [0xB0, 0x32])
def test_compressed_apdus_and_other_suites_are_refused(control: int) -> None:
    protected = bytearray(sender().protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL))
    protected[2] = control
    with pytest.raises(SecurityError, match="not supported"):
        receiver().unprotect(bytes(protected))
    with pytest.raises(SecurityError, match="not supported"):
        sender().protect(GET_CLOCK, control=control, form=CipherForm.SERVICE_GLOBAL)


def test_the_broadcast_key_is_used_where_the_control_byte_says_so() -> None:
    protected = sender().protect(GET_CLOCK, control=0x70, form=CipherForm.SERVICE_GLOBAL)
    side = receiver()
    assert side.unprotect(protected).control == 0x70
    assert (side.peer_counters.highest, side.peer_counters.highest_broadcast) == (-1, 0x01234567)
    with pytest.raises(SecurityError, match="no broadcast key"):
        receiver(keys=Keys(KEYS.encryption, KEYS.authentication)).unprotect(protected)
    with pytest.raises(SecurityError, match="dedicated"):
        sender().protect(GET_CLOCK, control=0x70, form=CipherForm.SERVICE_DEDICATED)


def test_a_dedicated_key_is_needed_and_counts_by_itself() -> None:
    plain_keys = Keys(KEYS.encryption, KEYS.authentication)
    protected = sender(5).protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_DEDICATED)
    with pytest.raises(SecurityError, match="no dedicated key"):
        receiver(keys=plain_keys).unprotect(protected)
    side = receiver(keys=plain_keys, highest=100)
    side.use_dedicated(KEYS)
    assert side.unprotect(protected).counter == 5
    with pytest.raises(ReplayError):
        side.unprotect(protected)
    with pytest.raises(SecurityError, match="no dedicated key"):
        side.use_dedicated(plain_keys)


def test_what_was_received_once_is_not_received_again() -> None:
    protected = sender().protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    side = receiver()
    side.unprotect(protected)
    with pytest.raises(ReplayError):
        side.unprotect(protected)


def test_a_forged_counter_does_not_lock_out_the_peer() -> None:
    side, peer = receiver(), sender(5)
    forged = bytearray(peer.protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL))
    forged[3:7] = b"\xff\xff\xff\xfe"
    with pytest.raises(AuthenticationError):
        side.unprotect(bytes(forged))
    assert side.unprotect(peer.protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)).counter == 6


def test_another_sender_or_key_is_refused() -> None:
    stranger = sender(title=bytes(8)).protect(GET_CLOCK, control=0x30, form=CipherForm.GENERAL_GLOBAL)
    with pytest.raises(SecurityError, match="another sender"):
        receiver().unprotect(stranger)
    other_keys = dataclasses.replace(KEYS, authentication=bytes(16))
    protected = sender(keys=other_keys).protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(AuthenticationError):
        receiver().unprotect(protected)


def test_a_side_does_not_open_what_it_sent_itself() -> None:
    side = receiver()
    own = side.protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(AuthenticationError):
        side.unprotect(own)


def test_the_title_of_the_peer_is_learned_once() -> None:
    side = sender()
    protected = receiver().protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    with pytest.raises(SecurityError, match="not known"):
        side.unprotect(protected)
    for title in (TITLE, bytes(7)):
        with pytest.raises(SecurityError):
            side.learn_peer_title(title)
    side.learn_peer_title(OTHER_TITLE)
    side.learn_peer_title(OTHER_TITLE)
    with pytest.raises(SecurityError, match="another system title"):
        side.learn_peer_title(bytes(8))
    assert side.unprotect(protected).apdu == GET_CLOCK


def test_an_exhausted_counter_ends_sending() -> None:
    with pytest.raises(CountersExhaustedError):
        sender(COUNTER_LAST).protect(GET_CLOCK, control=0x30, form=CipherForm.SERVICE_GLOBAL)


@pytest.mark.parametrize("form", CipherForm)
def test_every_cut_and_every_tail_is_found(form: CipherForm) -> None:
    protected = sender().protect(GET_CLOCK, control=0x30, form=form)
    for length in range(1, len(protected)):
        with pytest.raises(DecodeError):
            receiver().unprotect(protected[:length])
    with pytest.raises(DecodeError):
        receiver().unprotect(protected + b"\x00")


@hypothesis.given(tag=st.sampled_from([33, 40, 65, 72, 200, 204, 207, 208, 212, 219, 220]), rest=st.binary(max_size=60))
def test_any_bytes_are_refused_with_a_typed_error(tag: int, rest: bytes) -> None:
    with pytest.raises(DlmsError):
        receiver(required=0x10).unprotect(bytes((tag,)) + rest)


@hypothesis.given(apdu=st.binary(max_size=60))
def test_even_without_authentication_any_bytes_open_or_are_refused(apdu: bytes) -> None:
    with contextlib.suppress(DlmsError):
        assert receiver(required=0).unprotect(apdu).control & 0x10 == 0


@hypothesis.given(tag=st.sampled_from([200, 204, 219]), rest=st.binary(max_size=60))
def test_no_error_says_a_key(tag: int, rest: bytes) -> None:
    secret = b"FindMeIfYouCan!!"
    keys = Keys(secret, secret, secret, secret)
    with pytest.raises(DlmsError) as refusal:
        receiver(keys=keys).unprotect(bytes((tag,)) + rest)
    shown = f"{refusal.value!r} {refusal.value} {refusal.value.__cause__!r}"
    assert "FindMe" not in shown
    assert secret.hex() not in shown


def test_no_object_that_holds_keys_shows_them() -> None:
    secret = b"FindMeIfYouCan!!"
    side = receiver(keys=Keys(secret, secret, secret, secret))
    assert "FindMe" not in f"{side!r} {side} {side._suites!r}"
