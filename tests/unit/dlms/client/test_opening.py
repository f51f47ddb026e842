import dataclasses
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.acse import Aare, Aarq, Mechanism, Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import (
    ActionOutcome,
    ActionResponse,
    Apdu,
    ConfirmedServiceError,
    DataResult,
    ExceptionResponse,
)
from dlms.client.association import ClientAssociation
from dlms.client.settings import DEFAULT_CONFORMANCE
from dlms.errors import (
    AssociationRefusedError,
    AuthenticationError,
    ConfirmedServiceRefusedError,
    DlmsError,
    ProtocolError,
    RefusedError,
    SecurityError,
    ServiceRefusedError,
    UnprotectedError,
)
from dlms.security.counters import PeerCounterPolicy, PeerCounters
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from tests.unit.dlms.client.meter import (
    ALL,
    CHALLENGE,
    CLIENT_TITLE,
    CLOCK,
    KEYS,
    METER_CHALLENGE,
    METER_TITLE,
    SECRET,
    Meter,
    client_of,
    counter,
    drive,
    fed,
    octets,
    opened,
    settings_of,
)

PLAIN_KEYS = Keys(KEYS.encryption, KEYS.authentication)
HIGH = [Mechanism.HIGH, Mechanism.HIGH_MD5, Mechanism.HIGH_SHA1, Mechanism.HIGH_GMAC, Mechanism.HIGH_SHA256]


def aare_of(meter: Meter, **changes: object) -> Meter:
    """Return the meter, lying in its AARE."""
    meter.acse_changes = lambda aare: dataclasses.replace(aare, **changes)  # type: ignore[arg-type]
    return meter


def test_the_public_client_is_that_of_the_green_book() -> None:
    client = client_of(Meter(), conformance=Conformance(0x007E1F), pdu_bytes_max=0x04B0)
    request = next(client.open())
    assert request.hex().upper() == "601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0"


def test_a_password_goes_with_its_mechanism() -> None:
    client = client_of(Meter(mechanism=Mechanism.LOW), secret=b"12345678", conformance=Conformance(0x007E1F))
    apdu = decode_acse(next(client.open()))
    assert isinstance(apdu, Aarq)
    assert (apdu.context, apdu.mechanism, apdu.authentication) == (1, Mechanism.LOW, b"12345678")


@pytest.mark.parametrize("form", CipherForm)
@pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.LOW, *HIGH])
def test_every_mechanism_opens_reads_and_closes_in_every_form(mechanism: Mechanism, form: CipherForm) -> None:
    meter = Meter({CLOCK: octets(12)}, mechanism=mechanism, keys=KEYS, form=form)
    client = opened(meter)
    assert client.is_open
    assert client.granted is not None
    assert client.granted.server_title == METER_TITLE
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)
    drive(client.close(), meter.reply)
    assert meter.released
    assert not client.is_open


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30])
def test_every_level_of_protection_opens_reads_and_closes(control: int) -> None:
    meter = Meter({CLOCK: octets(12)}, mechanism=Mechanism.HIGH_GMAC, keys=PLAIN_KEYS, control=control)
    client = opened(meter)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)
    drive(client.close(), meter.reply)


@pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.LOW, *HIGH])
def test_every_mechanism_opens_without_ciphering(mechanism: Mechanism) -> None:
    meter = Meter({CLOCK: octets(12)}, mechanism=mechanism)
    client = opened(meter)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)
    drive(client.close(), meter.reply)
    assert meter.released


def test_a_dedicated_key_is_sent_ciphered_and_only_once() -> None:
    meter = Meter({CLOCK: octets(12)}, keys=KEYS, form=CipherForm.SERVICE_DEDICATED)
    client = client_of(meter)
    sent: list[bytes] = []

    def reply(request: bytes) -> bytes | list[bytes]:
        sent.append(request)
        return meter.reply(request)

    drive(client.open(), reply)
    drive(client.get_raw(CLOCK), reply)
    drive(client.close(), reply)
    assert sent[1][0] == 208
    assert all(KEYS.dedicated not in request for request in sent if KEYS.dedicated)
    assert meter.protector is not None
    released = decode_acse(sent[2])
    assert isinstance(released, Rlrq)
    assert released.user_information[0] == 33
    initiate = decode_apdu(meter.protector.unprotect(released.user_information).apdu)
    assert isinstance(initiate, InitiateRequest)
    assert initiate.dedicated_key is None


def test_what_is_granted_is_not_more_than_was_proposed() -> None:
    meter = Meter(conformance=Conformance(0xFFFFFF), pdu_bytes_max=400)
    aare = aare_of(meter, user_information=encode_apdu(InitiateResponse(0xFFFFFF, 400)))
    client = client_of(aare)
    granted = drive(client.open(), meter.reply)
    assert granted.conformance == DEFAULT_CONFORMANCE
    assert granted.pdu_bytes_max == 400


@pytest.mark.parametrize(
    ("result", "diagnostic", "words"),
    [
        (1, 13, "permanently: authentication failure"),
        (1, 2, "permanently: application context name not supported"),
        (2, 1, "for now: no reason given"),
        (1, 99, "permanently: diagnostic 99"),
    ],
)
def test_a_rejection_is_told_in_words(result: int, diagnostic: int, words: str) -> None:
    meter = aare_of(Meter(keys=KEYS), result=result, diagnostic=diagnostic, user_information=b"", responding_title=b"")
    client = client_of(meter)
    with pytest.raises(AssociationRefusedError, match=words) as refusal:
        drive(client.open(), meter.reply)
    assert (refusal.value.result, refusal.value.diagnostic) == (result, diagnostic)
    assert not client.is_open


@pytest.mark.parametrize("keys", [None, PLAIN_KEYS])
def test_an_error_instead_of_an_initiate_response_is_told(keys: Keys | None) -> None:
    error = encode_apdu(ConfirmedServiceError(1, 6, 2))
    meter = aare_of(Meter(keys=keys), user_information=error)
    with pytest.raises(ConfirmedServiceRefusedError, match="code 2"):
        drive(client_of(meter).open(), meter.reply)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [(ExceptionResponse(1, 2), ServiceRefusedError), (ConfirmedServiceError(1, 6, 1), ConfirmedServiceRefusedError)],
)
def test_a_refusal_instead_of_an_aare_is_told(refusal: Apdu, kind: type[RefusedError]) -> None:
    for meter in (Meter(), Meter(keys=KEYS)):
        with pytest.raises(kind):
            fed(client_of(meter).open(), encode_apdu(refusal))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"context": 1}, ProtocolError),
        ({"mechanism": Mechanism.HIGH_MD5}, ProtocolError),
        ({"user_information": b""}, UnprotectedError),
        ({"user_information": encode_apdu(InitiateResponse(int(ALL), 500))}, UnprotectedError),
        ({"responding_title": CLIENT_TITLE}, SecurityError),
        ({"responding_title": b"MTR"}, SecurityError),
        ({"responding_title": b""}, SecurityError),
        ({"responding_title": METER_TITLE[::-1]}, AuthenticationError),
        ({"authentication": b""}, AuthenticationError),
        ({"authentication": CHALLENGE}, AuthenticationError),
        ({"authentication": bytes(65)}, AuthenticationError),
    ],
)
def test_an_aare_that_does_not_fit_a_ciphered_association_opens_none(
    changes: dict[str, object], error: type[DlmsError]
) -> None:
    meter = aare_of(Meter(mechanism=Mechanism.HIGH_GMAC, keys=KEYS), **changes)
    client = client_of(meter)
    with pytest.raises(error):
        drive(client.open(), meter.reply)
    assert not client.is_open
    with pytest.raises(ProtocolError, match="broken off"):
        next(client.get_raw(CLOCK))


@pytest.mark.parametrize(
    ("information", "error"),
    [
        (b"", DlmsError),
        (encode_apdu(InitiateResponse(int(ALL), 500, version=5)), ProtocolError),
        (encode_apdu(InitiateResponse(int(ALL), 11)), ProtocolError),
        (encode_apdu(InitiateRequest(int(ALL), 500)), ProtocolError),
        (b"\x28\x05\x30\x00\x00\x00\x01", ProtocolError),
    ],
)
def test_an_initiate_response_that_cannot_be_is_refused(information: bytes, error: type[DlmsError]) -> None:
    meter = aare_of(Meter(), user_information=information)
    with pytest.raises(error):
        drive(client_of(meter).open(), meter.reply)


def test_a_server_that_demands_more_than_was_given_is_not_open() -> None:
    meter = aare_of(Meter(), diagnostic=14)
    with pytest.raises(AuthenticationError, match="demands"):
        drive(client_of(meter).open(), meter.reply)


@pytest.mark.parametrize("mechanism", HIGH)
def test_a_server_that_does_not_know_the_secret_is_found_out(mechanism: Mechanism) -> None:
    meter = Meter(mechanism=mechanism)
    client = client_of(meter)
    for proof in (DataResult(octets(16)), DataResult(b"\x00"), DataResult(b"\x09\x00"), None):
        client = client_of(meter)
        exchange = client.open()
        exchange.send(meter.reply(next(exchange)))  # type: ignore[arg-type]
        with pytest.raises(AuthenticationError):
            exchange.send(encode_apdu(ActionResponse(0xC1, ActionOutcome(0, proof))))
        assert not client.is_open


def test_a_server_that_does_not_take_our_answer_is_told() -> None:
    meter = Meter(mechanism=Mechanism.HIGH_SHA1)
    client = client_of(meter)
    exchange = client.open()
    exchange.send(meter.reply(next(exchange)))  # type: ignore[arg-type]
    with pytest.raises(AuthenticationError, match="does not take our answer"):
        exchange.send(encode_apdu(ActionResponse(0xC1, ActionOutcome(3))))


def test_an_exception_in_the_middle_of_authentication_keeps_its_words() -> None:
    meter = Meter(mechanism=Mechanism.HIGH_GMAC, keys=KEYS)
    exchange = client_of(meter).open()
    exchange.send(meter.reply(next(exchange)))  # type: ignore[arg-type]
    with pytest.raises(ServiceRefusedError) as refusal:
        exchange.send(encode_apdu(ExceptionResponse(1, 6, 77)))
    assert refusal.value.invocation_counter == 77


def test_another_server_than_expected_is_refused() -> None:
    for meter in (Meter(keys=KEYS), Meter(mechanism=Mechanism.HIGH_GMAC)):
        with pytest.raises(SecurityError, match="another system title"):
            drive(client_of(meter, server_title=b"MTR56789").open(), meter.reply)


def test_a_title_known_before_serves_where_the_server_gives_none() -> None:
    meter = aare_of(Meter({CLOCK: octets(12)}, mechanism=Mechanism.HIGH_GMAC, keys=KEYS), responding_title=b"")
    client = opened(meter, server_title=METER_TITLE)
    assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


def test_a_replayed_session_opens_nothing() -> None:
    meter = Meter(mechanism=Mechanism.NONE, keys=KEYS)
    peers = PeerCounters(PeerCounterPolicy.STRICT)
    recorded: list[bytes] = []

    def reply(request: bytes) -> bytes:
        answer = meter.reply(request)
        assert isinstance(answer, bytes)
        recorded.append(answer)
        return answer

    settings = settings_of(meter)
    drive(ClientAssociation(settings, counters=counter(), peer_counters=peers).open(), reply)
    with pytest.raises(SecurityError, match="counter"):
        fed(ClientAssociation(settings, counters=counter(), peer_counters=peers).open(), *recorded)


def test_a_server_that_forgets_its_counters_is_served_by_policy_only() -> None:
    meter = Meter({CLOCK: octets(12)}, keys=KEYS)
    settings = settings_of(meter)
    for policy in (PeerCounterPolicy.PER_ASSOCIATION, PeerCounterPolicy.UNCHECKED):
        meter.counters = counter(50)
        client = ClientAssociation(settings, counters=counter(), peer_counters=PeerCounters(policy, 100))
        drive(client.open(), meter.reply)
        assert meter.protector is not None
        meter.protector._counters = counter(3)
        assert drive(client.get_raw(CLOCK), meter.reply) == octets(12)


@pytest.mark.parametrize(
    "answer",
    [
        encode_acse(Rlre(0)),
        encode_acse(Rlre(None)),
        encode_acse(Rlre(1, b"\x28\x03\x30\x00\x00")),
        encode_acse(Rlre(0, encode_apdu(InitiateResponse(int(ALL), 500)))),
        encode_apdu(ExceptionResponse(1, 1)),
        encode_apdu(ConfirmedServiceError(1, 6, 0)),
    ],
)
def test_an_association_is_over_whatever_confirms_it(answer: bytes) -> None:
    client = opened(Meter(keys=KEYS))
    fed(client.close(), answer)
    assert not client.is_open


@pytest.mark.parametrize("answer", [b"", b"\x63", b"\x00" * 5, encode_acse(Rlrq(0)), b"\xc4\x01\xc1\x00\x00"])
def test_an_association_is_over_even_if_nonsense_confirms_it(answer: bytes) -> None:
    client = opened(Meter())
    with pytest.raises(DlmsError):
        fed(client.close(), answer)
    with pytest.raises(ProtocolError, match="closed"):
        next(client.get_raw(CLOCK))


@hypothesis.given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(b"\x61".__add__),
        st.builds(
            lambda **fields: encode_acse(Aare(**fields)),
            context=st.integers(1, 4),
            result=st.integers(0, 2),
            diagnostic_source=st.integers(1, 2),
            diagnostic=st.integers(0, 20),
            user_information=st.binary(max_size=40),
            mechanism=st.none() | st.integers(0, 7),
            authentication=st.binary(max_size=70),
            responding_title=st.binary(max_size=10),
        ),
    )
)
@pytest.mark.parametrize("mechanism", [Mechanism.NONE, Mechanism.HIGH_GMAC])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_any_answer_to_an_association_request_is_a_typed_error(
    mechanism: Mechanism, keys: Keys | None, answer: bytes
) -> None:
    client = client_of(Meter(mechanism=mechanism, keys=keys))
    exchange = client.open()
    next(exchange)
    with pytest.raises(DlmsError) as refusal:
        exchange.send(answer)
    assert not re.search("EncryptionKey|AuthenticationK|a secret of", str(refusal.value))
    assert not client.is_open


def test_challenges_and_counters_are_demanded_before_anything_is_sent() -> None:
    with pytest.raises(AuthenticationError):
        ClientAssociation(settings_of(Meter(mechanism=Mechanism.HIGH_MD5)), challenge=b"short")
    with pytest.raises(SecurityError, match="counters"):
        ClientAssociation(settings_of(Meter(keys=KEYS)))


def test_the_secret_is_used_and_not_sent() -> None:
    meter = Meter(mechanism=Mechanism.HIGH_SHA256)
    sent: list[bytes] = []

    def reply(request: bytes) -> bytes | list[bytes]:
        sent.append(request)
        return meter.reply(request)

    drive(client_of(meter).open(), reply)
    assert len(sent) == 2
    assert SECRET not in b"".join(sent)
    assert METER_CHALLENGE not in b"".join(sent)
