"""Whether a client is let in: AARQ in, AARE out, and what both then know of each other (Green Book 9.4.4, 9.4.5).

Decides context, mechanism, password, protection of the proposal, conformance and PDU size. The second half of an HLS
authentication follows in the association; who is admitted at all, and on which terms, the device says.
"""

from dataclasses import dataclass, replace
from typing import Final

from dlms.apdu.acse import Aare, Aarq, ApplicationContext, Mechanism
from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import ConfirmedServiceError
from dlms.errors import AuthenticationError, DecodeError, DlmsError, ReplayError, SecurityError
from dlms.security.authentication import HIGH_LEVEL, Credentials, check_challenges, check_password
from dlms.security.protection import CipherForm, Protector
from dlms.security.suite0 import SUITE_MASK
from dlms.server.device import AssociationRules

ACCEPTED: Final = 0
REJECTED: Final = 1
"""For good; this server never rejects for now only."""
USER: Final = 1
"""The ACSE service user judges."""
PROVIDER: Final = 2

NO_REASON: Final = 1
CONTEXT_NOT_SUPPORTED: Final = 2
CALLING_TITLE_NOT_RECOGNIZED: Final = 3
MECHANISM_NOT_RECOGNISED: Final = 11
AUTHENTICATION_FAILURE: Final = 13
AUTHENTICATION_REQUIRED: Final = 14
"""Diagnostics of the ACSE service user (Green Book 9.4.2.2)."""

INITIATE_ERROR: Final = 1
INITIATE: Final = 6
OTHER: Final = 0
VERSION_TOO_LOW: Final = 1
INCOMPATIBLE_CONFORMANCE: Final = 2
PDU_SIZE_TOO_SHORT: Final = 3
"""Confirmed-service-error of an initiate request: its choice, the kind `initiate`, and the codes of that kind."""

DLMS_VERSION: Final = 6
REPLY_BYTES_MIN: Final = 64
"""A client that receives less could not be sent a ciphered answer with anything in it."""
NO_LIMIT_BYTES: Final = 0xFFFF
_MECHANISMS_WITH_TITLES: Final = frozenset({Mechanism.HIGH_GMAC, Mechanism.HIGH_SHA256})
_SOMETHING: Final = Conformance.GET | Conformance.SET | Conformance.ACTION


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Agreement:
    """What was agreed on with a client that is let in, or that has only its HLS answer left to give."""

    rules: AssociationRules
    mechanism: int
    conformance: int
    reply_bytes_max: int
    """Of what the client can receive, ciphered or not."""
    protector: Protector | None
    """Of a ciphered context."""
    control: int
    """Security control byte of the proposal, 0 for a plain context."""
    form: CipherForm
    """How the proposal was ciphered."""
    credentials: Credentials | None
    """Of a mechanism with challenges, from the server's point of view."""
    own_challenge: bytes
    peer_challenge: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """The answer, and the agreement if there is one."""

    aare: Aare
    agreement: Agreement | None


class _RejectedError(Exception):
    """The client is not let in."""

    def __init__(self, diagnostic: int, *, initiate_error: int | None = None) -> None:
        super().__init__()
        self.diagnostic = diagnostic
        self.initiate_error = initiate_error


def open_association(aarq: Aarq, rules: AssociationRules | None, own_challenge: bytes) -> Opening:
    """Decide about an association.

    Args:
        aarq: What the client asks for.
        rules: The device's terms for this client, None if it does not know it.
        own_challenge: Fresh, for the mechanisms that need one.

    Raises:
        ReplayError: The proposal was ciphered with a counter used before.
    """
    if rules is None:
        return _rejection(aarq, NO_REASON, None)
    try:
        return _accept(aarq, rules, own_challenge)
    except _RejectedError as rejected:
        return _rejection(aarq, rejected.diagnostic, rejected.initiate_error)


def _rejection(aarq: Aarq, diagnostic: int, initiate_error: int | None) -> Opening:
    error = initiate_error
    refusal = b"" if error is None else encode_apdu(ConfirmedServiceError(INITIATE_ERROR, INITIATE, error))
    is_known = aarq.context in frozenset(ApplicationContext)
    context = aarq.context if is_known else ApplicationContext.LOGICAL_NAME
    return Opening(Aare(context, REJECTED, USER, diagnostic, refusal), None)


def _accept(aarq: Aarq, rules: AssociationRules, own_challenge: bytes) -> Opening:
    is_ciphered = _check_context(aarq, rules)
    mechanism = _check_mechanism(aarq, rules)
    protector = _protector(aarq, rules) if is_ciphered else None
    plain, control, form = _open_proposal(aarq, protector)
    request = _proposal(plain)
    conformance = _granted(request, rules)
    if protector is not None and request.dedicated_key is not None:
        _use_dedicated(protector, rules, request.dedicated_key)
    credentials = _authenticate(aarq, rules, mechanism, own_challenge, control & SUITE_MASK)
    agreement = Agreement(
        rules=rules,
        mechanism=mechanism,
        conformance=conformance,
        reply_bytes_max=request.pdu_bytes_max or NO_LIMIT_BYTES,
        protector=protector,
        control=control,
        form=form,
        credentials=credentials,
        own_challenge=own_challenge,
        peer_challenge=aarq.authentication,
    )
    return Opening(_aare(aarq, agreement), agreement)


def initiate_response(agreement: Agreement) -> bytes:
    """Return what was granted, ciphered as the proposal was."""
    granted = encode_apdu(InitiateResponse(agreement.conformance, agreement.rules.pdu_bytes_max))
    if agreement.protector is None:
        return granted
    return agreement.protector.protect(granted, control=agreement.control, form=agreement.form)


def _aare(aarq: Aarq, agreement: Agreement) -> Aare:
    security = agreement.rules.security
    titled = agreement.protector is not None or agreement.mechanism in _MECHANISMS_WITH_TITLES
    is_pending = agreement.credentials is not None
    return Aare(
        context=aarq.context,
        result=ACCEPTED,
        diagnostic_source=USER,
        diagnostic=AUTHENTICATION_REQUIRED if is_pending else 0,
        user_information=initiate_response(agreement),
        mechanism=agreement.mechanism if is_pending else None,
        authentication=agreement.own_challenge if is_pending else b"",
        responding_title=security.own_title if security is not None and titled else b"",
    )


def _check_context(aarq: Aarq, rules: AssociationRules) -> bool:
    """Return whether the context is a ciphered one."""
    if aarq.context == ApplicationContext.LOGICAL_NAME and (rules.plain_context or rules.security is None):
        return False
    if aarq.context == ApplicationContext.LOGICAL_NAME_CIPHERED and rules.security is not None:
        return True
    raise _RejectedError(CONTEXT_NOT_SUPPORTED)


def _check_mechanism(aarq: Aarq, rules: AssociationRules) -> int:
    if aarq.mechanism == rules.mechanism:
        return aarq.mechanism
    raise _RejectedError(AUTHENTICATION_REQUIRED if aarq.mechanism == Mechanism.NONE else MECHANISM_NOT_RECOGNISED)


def _protector(aarq: Aarq, rules: AssociationRules) -> Protector:
    security = rules.security
    assert security is not None, "a ciphered context was accepted"
    security.peer_counters.begin()
    try:
        return Protector(
            security.own_title,
            aarq.calling_title,
            security.keys,
            security.counters,
            security.peer_counters,
            required=security.required,
        )
    except SecurityError:
        raise _RejectedError(CALLING_TITLE_NOT_RECOGNIZED) from None


def _open_proposal(aarq: Aarq, protector: Protector | None) -> tuple[bytes, int, CipherForm]:
    """Return the plain proposal, and how it was protected."""
    if protector is None:
        return aarq.user_information, 0, CipherForm.SERVICE_GLOBAL
    try:
        opened = protector.unprotect(aarq.user_information)
    except ReplayError:
        raise
    except DlmsError:
        raise _RejectedError(AUTHENTICATION_FAILURE) from None
    if opened.form.is_dedicated:
        raise _RejectedError(AUTHENTICATION_FAILURE)
    return opened.apdu, opened.control, opened.form


def _proposal(plain: bytes) -> InitiateRequest:
    try:
        request = decode_apdu(plain)
    except DecodeError:
        raise _RejectedError(NO_REASON, initiate_error=OTHER) from None
    if not isinstance(request, InitiateRequest):
        raise _RejectedError(NO_REASON, initiate_error=OTHER)
    return request


def _granted(request: InitiateRequest, rules: AssociationRules) -> int:
    """Return the services granted."""
    if request.version < DLMS_VERSION:
        raise _RejectedError(NO_REASON, initiate_error=VERSION_TOO_LOW)
    granted = request.conformance & rules.conformance
    if not granted & _SOMETHING:
        raise _RejectedError(NO_REASON, initiate_error=INCOMPATIBLE_CONFORMANCE)
    if 0 < request.pdu_bytes_max < REPLY_BYTES_MIN:
        raise _RejectedError(NO_REASON, initiate_error=PDU_SIZE_TOO_SHORT)
    return granted


def _use_dedicated(protector: Protector, rules: AssociationRules, key: bytes) -> None:
    assert rules.security is not None, "there is a protector"
    try:
        protector.use_dedicated(replace(rules.security.keys, dedicated=key))
    except SecurityError:
        raise _RejectedError(NO_REASON, initiate_error=OTHER) from None


def _authenticate(
    aarq: Aarq, rules: AssociationRules, mechanism: int, own_challenge: bytes, suite: int
) -> Credentials | None:
    """Check a password, or prepare for the exchange of challenges."""
    try:
        if mechanism == Mechanism.LOW:
            check_password(aarq.authentication, rules.secret)
        if mechanism not in HIGH_LEVEL:
            return None
        check_challenges(own_challenge, aarq.authentication)
    except AuthenticationError:
        raise _RejectedError(AUTHENTICATION_FAILURE) from None
    security = rules.security
    if mechanism == Mechanism.HIGH_GMAC and (security is None or len(aarq.calling_title) != len(security.own_title)):
        raise _RejectedError(CALLING_TITLE_NOT_RECOGNIZED)
    return Credentials(
        mechanism=Mechanism(mechanism),
        secret=rules.secret,
        keys=None if security is None else security.keys,
        own_title=b"" if security is None else security.own_title,
        peer_title=aarq.calling_title,
        suite=suite,
    )
