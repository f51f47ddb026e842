"""States, protection and refusals of an association."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.apdu.acse import Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import (
    ActionRequest,
    ActionRequestNext,
    ActionResponseBlock,
    AttributeDescriptor,
    DataResult,
    ExceptionResponse,
    GetRequest,
    GetRequestNext,
    GetResponse,
    GetResponseBlock,
    MethodDescriptor,
    SelectedAttribute,
    Selection,
    SetRequest,
    SetResponse,
)
from dlms.axdr.data import encode, octet_string
from dlms.axdr.values import decode_value
from dlms.obis import obis
from dlms.security.authentication import answer, check
from dlms.security.counters import PeerCounterPolicy
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from dlms.server.association import CURRENT_ASSOCIATION, ServerAssociation
from dlms.server.device import AssociationRules
from tests.unit.dlms.server.shelf import (
    ALL_SERVICES,
    CLIENT_CHALLENGE,
    GET_ONLY,
    KEYS,
    SERVER_TITLE,
    MakeRig,
    Rig,
    Shelf,
)

NUMBER = b"\x11\x05"
NAME = SelectedAttribute(AttributeDescriptor(1, obis("0.0.42.0.0.255"), 2))
NOT_POSSIBLE = ExceptionResponse(1, 1)
FOUND = GetResponse(0xC1, DataResult(NUMBER))


def get(rig: Rig) -> object:
    return rig.peer.ask(GetRequest(0xC1, rig.put(NUMBER)))


def test_requests_before_an_association_are_not_possible(make_rig: MakeRig) -> None:
    assert get(make_rig()) == NOT_POSSIBLE


@pytest.mark.parametrize("mechanism", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("ciphered", [False, True])
def test_high_level_security_opens_after_both_answers(make_rig: MakeRig, mechanism: int, *, ciphered: bool) -> None:
    rig = make_rig(mechanism=mechanism, secret=b"0123456789abcdef", ciphered=ciphered)
    aare = rig.peer.propose()
    assert (aare.result, aare.diagnostic, aare.mechanism, aare.authentication) == (0, 14, mechanism, b"S" * 16)
    assert aare.responding_title == (SERVER_TITLE if ciphered or mechanism in {5, 6} else b"")
    assert not rig.peer.association.is_open
    assert get(rig) == NOT_POSSIBLE
    rig.peer.associate()
    assert get(rig) == FOUND
    assert rig.device.asked[-1][1].mechanism == mechanism


@pytest.mark.parametrize("mechanism", [2, 5])
def test_wrong_answer_to_the_challenge_ends_the_association(make_rig: MakeRig, mechanism: int) -> None:
    rig = make_rig(mechanism=mechanism, secret=b"0123456789abcdef")
    rig.peer.propose()
    assert rig.peer.prove(b"another challenge").outcome.result == 3
    assert not rig.peer.association.is_open
    assert get(rig) == NOT_POSSIBLE


@pytest.mark.parametrize("parameters", [None, b"", b"\x11\x05", b"\x09\x00", b"\x09\x11" + bytes(17), b"\x09\xff"])
def test_nonsense_for_an_answer_ends_the_association(make_rig: MakeRig, parameters: bytes | None) -> None:
    rig = make_rig(mechanism=5)
    rig.peer.propose()
    plain = encode_apdu(ActionRequest(0xC1, MethodDescriptor(15, CURRENT_ASSOCIATION, 1), b"\x00"))
    head, flag = plain[:-2], b"\x00" if parameters is None else b"\x01" + parameters
    assert rig.peer.association.handle(head + flag) is not None
    assert not rig.peer.association.is_open


def test_answer_to_a_challenge_that_is_not_pending_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=5)
    rig.peer.associate()
    assert rig.peer.prove(b"S" * 16).outcome.result == 250
    assert rig.peer.association.is_open


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30])
@pytest.mark.parametrize("form", [CipherForm.SERVICE_GLOBAL, CipherForm.GENERAL_GLOBAL])
def test_answers_are_protected_as_their_requests(make_rig: MakeRig, control: int, form: CipherForm) -> None:
    rig = make_rig(ciphered=True, control=control, form=form)
    rig.peer.associate()
    assert rig.peer.protector is not None
    request = encode_apdu(GetRequest(0xC1, rig.put(NUMBER)))
    reply = rig.peer.association.handle(rig.peer.protector.protect(request, control=control, form=form))
    assert reply is not None
    opened = rig.peer.protector.unprotect(reply)
    assert (opened.control, opened.form) == (control, form)
    assert decode_apdu(opened.apdu) == FOUND
    assert rig.device.asked[-1][1].control == control


@pytest.mark.parametrize("form", [CipherForm.SERVICE_DEDICATED, CipherForm.GENERAL_DEDICATED])
def test_dedicated_key_of_the_proposal_protects_what_follows(make_rig: MakeRig, form: CipherForm) -> None:
    rig = make_rig(ciphered=True)
    protector = rig.peer.protector
    assert protector is not None
    dedicated = b"dedicated key 16"
    plain = encode_apdu(InitiateRequest(ALL_SERVICES, 512, dedicated_key=dedicated))
    ciphered = protector.protect(plain, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    aare = rig.peer.propose(rig.peer.aarq(user_information=ciphered))
    assert isinstance(decode_apdu(protector.unprotect(aare.user_information).apdu), InitiateResponse)
    protector.use_dedicated(Keys(KEYS.encryption, KEYS.authentication, dedicated=dedicated))
    rig.peer.form = form
    assert get(rig) == FOUND


def test_unciphered_request_in_ciphered_context_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate()
    reply = rig.peer.association.handle(encode_apdu(GetRequest(0xC1, rig.put(NUMBER))))
    assert reply is not None
    assert decode_apdu(reply) == NOT_POSSIBLE
    assert rig.device.asked == []


def test_less_protection_than_demanded_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate()
    rig.peer.control = 0x10
    assert get(rig) == ExceptionResponse(1, 5)


def test_ciphered_request_in_plain_context_is_refused(make_rig: MakeRig) -> None:
    rig, other = make_rig(), make_rig(ciphered=True)
    rig.peer.associate()
    assert other.peer.protector is not None
    request = encode_apdu(GetRequest(0xC1, NAME))
    ciphered = other.peer.protector.protect(request, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    assert rig.peer.association.handle(ciphered) == encode_apdu(ExceptionResponse(1, 5))


def test_repeated_request_is_refused_with_the_least_counter(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate()
    assert rig.peer.protector is not None
    request = encode_apdu(SetRequest(0xC1, rig.put(NUMBER), NUMBER))
    ciphered = rig.peer.protector.protect(request, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    assert rig.peer.association.handle(ciphered) is not None
    written = len(rig.device.asked)
    assert rig.peer.association.handle(ciphered) == encode_apdu(ExceptionResponse(1, 6, rig.peer_counters.highest + 1))
    assert len(rig.device.asked) == written


def test_repeated_opening_is_refused_with_the_least_counter(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    aarq = encode_acse(rig.peer.aarq())
    assert rig.peer.association.handle(aarq) is not None
    assert rig.peer.association.handle(aarq) == encode_apdu(ExceptionResponse(1, 6, rig.peer_counters.highest + 1))
    assert not rig.peer.association.is_open


def test_counters_of_the_client_go_on_from_association_to_association(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    for _ in range(3):
        rig.peer.associate()
        assert get(rig) == FOUND
    assert rig.peer_counters.highest == 6


def test_policy_by_association_lets_a_client_begin_anew(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True, policy=PeerCounterPolicy.PER_ASSOCIATION)
    aarq = encode_acse(rig.peer.aarq())
    for _ in range(2):
        assert rig.peer.association.handle(aarq) is not None
        assert rig.peer.association.is_open


def test_request_longer_than_the_server_receives_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(pdu_bytes_max=64)
    rig.peer.associate()
    request = SetRequest(0xC1, rig.put(NUMBER), b"\x09\x40" + bytes(64))
    assert rig.peer.ask(request) == ExceptionResponse(1, 4)


def test_ciphering_does_not_count_against_the_size_of_a_request(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True, form=CipherForm.GENERAL_GLOBAL, pdu_bytes_max=128)
    rig.peer.associate()
    target = rig.put(b"\x09\x00")
    head = len(encode_apdu(SetRequest(0xC1, target, b"\x09\x00")))
    whole = SetRequest(0xC1, target, b"\x09" + bytes((128 - head,)) + bytes(128 - head))
    assert len(encode_apdu(whole)) == 128
    assert rig.peer.ask(whole) == SetResponse(0xC1, 0)
    longer = SetRequest(0xC1, target, b"\x09\x81\xa0" + bytes(160))
    assert rig.peer.ask(longer) == ExceptionResponse(1, 4)


def test_answer_of_high_level_security_too_long_for_the_client_goes_out_in_blocks(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=6, secret=b"0123456789abcdef", ciphered=True, form=CipherForm.GENERAL_GLOBAL)
    peer = rig.peer
    challenge = peer.propose(pdu_bytes_max=64).authentication
    ours = encode(octet_string(answer(peer.credentials(), challenge, own_challenge=CLIENT_CHALLENGE)))
    first = peer.ask(ActionRequest(0xC1, MethodDescriptor(15, CURRENT_ASSOCIATION, 1), ours))
    assert isinstance(first, ActionResponseBlock)
    parts = [first.part]
    while not first.is_last:
        first = peer.ask(ActionRequestNext(0xC1, first.block))
        assert isinstance(first, ActionResponseBlock)
        parts.append(first.part)
    assert rig.peer.association.is_open
    returned = decode_value(b"".join(parts)[3:])
    assert isinstance(returned, bytes)
    check(peer.credentials(), returned, CLIENT_CHALLENGE, peer_challenge=challenge)


def test_services_not_granted_are_refused(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY)
    rig.peer.associate()
    assert rig.peer.ask(SetRequest(0xC1, rig.put(NUMBER), NUMBER)) == ExceptionResponse(1, 2)
    assert rig.peer.ask(ActionRequest(0xC1, MethodDescriptor(70, bytes(6), 1), None)) == ExceptionResponse(1, 2)


def test_selective_access_not_granted_is_out_of_scope(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY | Conformance.SET)
    rig.peer.associate()
    selected = SelectedAttribute(rig.put(NUMBER).descriptor, Selection(2, b"\x00"))
    assert rig.peer.ask(GetRequest(0xC1, selected)) == GetResponse(0xC1, DataResult(None, 13))
    assert rig.peer.ask(SetRequest(0xC1, selected, NUMBER)) == SetResponse(0xC1, 13)


def test_release_ends_the_association_and_is_confirmed_with_what_was_granted(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate()
    protector = rig.peer.protector
    assert protector is not None
    proposal = encode_apdu(InitiateRequest(ALL_SERVICES, 512))
    ciphered = protector.protect(proposal, control=0x30, form=CipherForm.SERVICE_GLOBAL)
    reply = rig.peer.association.handle(encode_acse(Rlrq(0, ciphered)))
    assert reply is not None
    rlre = decode_acse(reply)
    assert isinstance(rlre, Rlre)
    assert isinstance(decode_apdu(protector.unprotect(rlre.user_information).apdu), InitiateResponse)
    assert get(rig) == NOT_POSSIBLE


def test_plain_release_of_a_plain_association_is_confirmed(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.association.handle(encode_acse(Rlrq(0))) == encode_acse(Rlre(0))
    assert rig.peer.association.handle(encode_acse(Rlrq(0))) == encode_acse(Rlre(0))
    assert not rig.peer.association.is_open


def test_release_with_a_wrong_tag_leaves_the_association_open(make_rig: MakeRig) -> None:
    rig = make_rig(ciphered=True)
    rig.peer.associate()
    assert rig.peer.protector is not None
    ciphered = rig.peer.protector.protect(encode_apdu(InitiateRequest(1, 0)), control=0x30, form=rig.peer.form)
    spoilt = ciphered[:-1] + bytes((ciphered[-1] ^ 1,))
    assert rig.peer.association.handle(encode_acse(Rlrq(0, spoilt))) == encode_apdu(ExceptionResponse(1, 5))
    assert get(rig) == FOUND


def test_client_that_asks_anew_gets_a_new_association_without_old_transfers(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=64)
    attribute = rig.put(b"\x09\x81\x80" + bytes(128))
    assert isinstance(rig.peer.ask(GetRequest(0xC1, attribute)), GetResponseBlock)
    rig.peer.associate(pdu_bytes_max=64)
    reply = rig.peer.ask(GetRequestNext(0xC1, 1))
    assert reply == GetResponseBlock(0xC1, True, 1, DataResult(None, 16))


def test_link_that_breaks_ends_the_association(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    rig.peer.association.close()
    assert get(rig) == NOT_POSSIBLE


@pytest.mark.parametrize("tag", [0x61, 0x63, 8, 14, 15, 40, 194, 196, 197, 199, 204, 207, 212, 216])
def test_what_only_servers_say_is_not_answered(make_rig: MakeRig, tag: int) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.association.handle(bytes((tag, 1, 2, 3))) is None


def test_nothing_is_not_answered_and_unknown_services_are_named_so(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate()
    assert rig.peer.association.handle(b"") is None
    assert rig.peer.ask(InitiateRequest(ALL_SERVICES, 0)) == ExceptionResponse(2, 2)
    assert rig.peer.association.handle(b"\xc0\x01") == encode_apdu(ExceptionResponse(1, 3))
    assert rig.peer.association.handle(b"\x60\x03\x01") is not None


@given(apdus=st.lists(st.binary(max_size=60), max_size=5), open_before=st.booleans())
def test_any_bytes_get_an_answer_or_none(apdus: list[bytes], *, open_before: bool) -> None:
    association = ServerAssociation(Shelf({16: AssociationRules()}), 16, challenge=lambda: b"S" * 16)
    if open_before:
        association.handle(bytes.fromhex("601da109060760857405080101be10040e01000000065f1f0400fffffffff0"))
        assert association.is_open
    for apdu in apdus:
        reply = association.handle(apdu)
        assert reply is None or reply


@given(
    st.sampled_from([0xC0, 0xC1, 0xC3, 0xE0]),
    st.integers(1, 6),
    st.binary(max_size=50),
)
def test_any_request_of_a_known_service_gets_an_answer(tag: int, choice: int, rest: bytes) -> None:
    association = ServerAssociation(Shelf({16: AssociationRules()}), 16, challenge=lambda: b"S" * 16)
    association.handle(bytes.fromhex("601da109060760857405080101be10040e01000000065f1f0400fffffffff0"))
    association.handle(bytes((tag, choice, 0xC1)) + rest)
    assert association.is_open
