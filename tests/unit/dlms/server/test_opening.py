"""Who is let in, and with which words the others are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.apdu.acse import Aarq
from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import ConfirmedServiceError
from dlms.server.device import AssociationRules
from dlms.server.opening import open_association
from tests.unit.dlms.server.shelf import ALL_SERVICES, GET_ONLY, KEYS, SERVER_TITLE, MakeRig


def proposal(*, conformance: int = ALL_SERVICES, pdu_bytes_max: int = 512, version: int = 6) -> bytes:
    return encode_apdu(InitiateRequest(conformance, pdu_bytes_max, version=version))


def test_public_client_is_let_in_and_told_what_was_granted(make_rig: MakeRig) -> None:
    rig = make_rig(conformance=GET_ONLY, pdu_bytes_max=300)
    aare = rig.peer.propose()
    assert (aare.result, aare.diagnostic, aare.context, aare.responding_title) == (0, 0, 1, b"")
    assert decode_apdu(aare.user_information) == InitiateResponse(GET_ONLY, 300)
    assert rig.peer.association.is_open


def test_unknown_client_is_rejected() -> None:
    opening = open_association(Aarq(1, proposal()), None, b"")
    assert (opening.aare.result, opening.aare.diagnostic, opening.agreement) == (1, 1, None)


def test_right_password_opens_and_wrong_one_fails(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=1, secret=b"12345678")
    assert rig.peer.propose().result == 0
    aare = rig.peer.propose(rig.peer.aarq(authentication=b"12345679"))
    assert (aare.result, aare.diagnostic_source, aare.diagnostic) == (1, 1, 13)
    assert not rig.peer.association.is_open


@pytest.mark.parametrize(("mechanism", "diagnostic"), [(0, 14), (2, 11), (5, 11), (200, 11)])
def test_another_mechanism_than_the_agreed_one_is_named(make_rig: MakeRig, mechanism: int, diagnostic: int) -> None:
    rig = make_rig(mechanism=1, secret=b"12345678")
    aare = rig.peer.propose(rig.peer.aarq(mechanism=mechanism, authentication=b"x" * 16))
    assert (aare.result, aare.diagnostic) == (1, diagnostic)


@pytest.mark.parametrize("context", [2, 3, 4, 0, 99])
def test_contexts_not_served_are_refused_by_name(make_rig: MakeRig, context: int) -> None:
    rig = make_rig()
    aare = rig.peer.propose(rig.peer.aarq(context=context))
    assert (aare.result, aare.diagnostic) == (1, 2)


def test_plain_context_is_refused_where_ciphering_is_demanded(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=5, ciphered=True)
    aare = rig.peer.propose(rig.peer.aarq(context=1, user_information=proposal()))
    assert (aare.result, aare.diagnostic) == (1, 2)


def test_unciphered_proposal_in_ciphered_context_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=5, ciphered=True)
    aare = rig.peer.propose(rig.peer.aarq(user_information=proposal()))
    assert (aare.result, aare.diagnostic) == (1, 13)


@pytest.mark.parametrize("title", [b"", b"short", SERVER_TITLE, b"nine byte"])
def test_calling_title_that_is_none_is_refused(make_rig: MakeRig, title: bytes) -> None:
    rig = make_rig(mechanism=5, ciphered=True)
    aare = rig.peer.propose(rig.peer.aarq(calling_title=title))
    assert (aare.result, aare.diagnostic) == (1, 3)


def test_challenge_sent_back_or_too_short_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=2, secret=b"k" * 16)
    for challenge in (b"S" * 16, b"short", b"l" * 65):
        aare = rig.peer.propose(rig.peer.aarq(authentication=challenge))
        assert (aare.result, aare.diagnostic) == (1, 13)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 5}, 1),
        ({"conformance": int(Conformance.READ | Conformance.WRITE)}, 2),
        ({"pdu_bytes_max": 40}, 3),
    ],
)
def test_proposals_that_cannot_be_met_name_the_initiate_error(
    make_rig: MakeRig, changes: dict[str, int], code: int
) -> None:
    rig = make_rig()
    aare = rig.peer.propose(rig.peer.aarq(user_information=proposal(**changes)))
    assert (aare.result, aare.diagnostic) == (1, 1)
    assert decode_apdu(aare.user_information) == ConfirmedServiceError(1, 6, code)


def test_client_without_a_limit_is_granted_answers_of_any_length(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.peer.associate(pdu_bytes_max=0)
    rules = AssociationRules()
    opening = open_association(Aarq(1, proposal(pdu_bytes_max=0)), rules, b"")
    assert opening.agreement is not None
    assert opening.agreement.reply_bytes_max == 0xFFFF


def test_dedicated_key_of_wrong_length_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(mechanism=5, ciphered=True)
    assert rig.peer.protector is not None
    plain = encode_apdu(InitiateRequest(ALL_SERVICES, 512, dedicated_key=b"short"))
    ciphered = rig.peer.protector.protect(plain, control=0x30, form=rig.peer.form)
    assert rig.peer.propose(rig.peer.aarq(user_information=ciphered)).result == 1


def test_what_stands_in_rules_and_security_shows_in_no_repr(make_rig: MakeRig) -> None:
    rules = make_rig(mechanism=1, secret=b"hunter22", ciphered=True).device.rules[16]
    assert "hunter" not in repr(rules) + repr(rules.security)
    assert repr(KEYS.encryption) not in repr(rules) + repr(rules.security)


@given(information=st.binary(max_size=40), context=st.sampled_from([1, 3]), mechanism=st.integers(0, 7))
def test_any_proposal_gets_an_answer(information: bytes, context: int, mechanism: int) -> None:
    opening = open_association(Aarq(context, information, mechanism, b"x" * 16), AssociationRules(), b"S" * 16)
    assert opening.aare.result in {0, 1}
