"""Opening and releasing an association: AARQ and AARE, the challenges of HLS, RLRQ and RLRE (Green Book 9.4.2-9.4.5).

Decides whether the server that answers is the one we asked for and agreed to what we asked; nothing it says counts as
agreed before that.
"""

import contextlib
from typing import Final

from dlms.apdu.acse import Aare, Aarq, ApplicationContext, Rlre, Rlrq
from dlms.apdu.acse_codec import AARE, RLRE
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.faults import CONFIRMED_SERVICE_ERROR
from dlms.apdu.proposal import InitiateRequest, InitiateResponse
from dlms.apdu.services import ConfirmedServiceError, ExceptionResponse, MethodDescriptor
from dlms.axdr.data import encode, octet_string
from dlms.axdr.values import decode_value
from dlms.client import acting
from dlms.client.channel import Channel, Exchange, raise_refusal
from dlms.client.settings import AssociationSettings, Granted
from dlms.errors import (
    AccessRefusedError,
    ActionRefusedError,
    AssociationRefusedError,
    AuthenticationError,
    DlmsError,
    ProtocolError,
    RefusedError,
    SecurityError,
    UnprotectedError,
)
from dlms.security.authentication import HIGH_LEVEL, Credentials, answer, check, check_challenges
from dlms.security.counters import CounterSource
from dlms.security.protection import is_ciphered
from dlms.security.suite0 import SUITE_MASK

REPLY_TO_HLS: Final = MethodDescriptor(15, bytes((0, 0, 40, 0, 0, 255)), 1)
"""Method 1 of the current association object (Blue Book 4.4.4)."""
_VERSION: Final = 6
_PDU_BYTES_MIN: Final = 12
"""Green Book 9.4.6.1: a server that takes less is in error."""
_AUTHENTICATION_REQUIRED: Final = 14
_USER: Final = 1
_USER_WORDS: Final = {
    1: "no reason given",
    2: "application context name not supported",
    3: "calling AP title not recognized",
    4: "calling AP invocation identifier not recognized",
    5: "calling AE qualifier not recognized",
    6: "calling AE invocation identifier not recognized",
    7: "called AP title not recognized",
    8: "called AP invocation identifier not recognized",
    9: "called AE qualifier not recognized",
    10: "called AE invocation identifier not recognized",
    11: "authentication mechanism name not recognised",
    12: "authentication mechanism name required",
    13: "authentication failure",
    14: "authentication required",
}
"""ACSE service user diagnostics (Green Book 9.4.2.2)."""


def associate(channel: Channel, challenge: bytes, counters: CounterSource | None) -> Exchange[Granted]:
    """Open an association, with both sides authenticated where the mechanism has it.

    Raises:
        AssociationRefusedError: The server rejects it.
        AuthenticationError: The server does not take our answer, or gives a wrong one.
        RefusedError: It answers with an exception.
        DlmsError: What it answers is not acceptable.
    """
    settings = channel.settings
    channel.has_asked = True
    aare = _read_aare((yield _aarq(channel, challenge)))
    _check_accepted(aare, settings)
    title = _server_title(channel, aare)
    initiate = _initiate_response(channel, aare)
    conformance = Conformance(initiate.conformance) & settings.proposed_conformance
    if 0 < initiate.pdu_bytes_max < _PDU_BYTES_MIN:
        raise ProtocolError(f"the server takes APDUs of {initiate.pdu_bytes_max} bytes, less than any request has")
    channel.grant(conformance, initiate.pdu_bytes_max)
    if settings.mechanism in HIGH_LEVEL:
        yield from _prove(channel, challenge, aare, title or b"", counters)
    elif aare.diagnostic == _AUTHENTICATION_REQUIRED:
        raise AuthenticationError("the server demands high level security")
    return Granted(conformance, initiate.pdu_bytes_max, title)


def release(channel: Channel) -> Exchange[None]:
    """Release the association; whatever answers, it is over.

    Servers in the field answer with an RLRE that has no user information, or with an exception. Both will do, and
    nothing in the answer is believed.

    Raises:
        ProtocolError: Something else came.
        DecodeError: It could not be read.
    """
    reply = yield encode_acse(Rlrq(0, _initiate_request(channel) if channel.protector is not None else b""))
    if reply[:1] != bytes((RLRE,)):
        try:
            channel.open_answer(reply)
        except RefusedError:
            return
        raise ProtocolError("a release request was answered with something else than a release response")
    rlre = decode_acse(reply)
    if isinstance(rlre, Rlre) and channel.protector is not None and is_ciphered(rlre.user_information):
        with contextlib.suppress(DlmsError):
            channel.protector.unprotect(rlre.user_information)


def _aarq(channel: Channel, challenge: bytes) -> bytes:
    settings = channel.settings
    is_high = settings.mechanism in HIGH_LEVEL
    ciphered = channel.protector is not None
    return encode_acse(
        Aarq(
            context=ApplicationContext.LOGICAL_NAME_CIPHERED if ciphered else ApplicationContext.LOGICAL_NAME,
            user_information=_initiate_request(channel, with_key=True),
            mechanism=settings.mechanism,
            authentication=challenge if is_high else settings.secret,
            calling_title=settings.system_title,
        )
    )


def _initiate_request(channel: Channel, *, with_key: bool = False) -> bytes:
    """Return the InitiateRequest, ciphered with the global key where the association is ciphered."""
    settings = channel.settings
    dedicated = settings.keys.dedicated if settings.keys is not None and settings.form.is_dedicated else None
    request = encode_apdu(
        InitiateRequest(
            conformance=settings.proposed_conformance,
            pdu_bytes_max=settings.pdu_bytes_max,
            dedicated_key=dedicated if with_key and channel.protector is not None else None,
        )
    )
    if channel.protector is None:
        return request
    return channel.protector.protect(request, control=settings.control, form=settings.initiate_form)


def _read_aare(reply: bytes) -> Aare:
    if reply[:1] == bytes((AARE,)):
        aare = decode_acse(reply)
        if isinstance(aare, Aare):
            return aare
    apdu = decode_apdu(reply)
    if isinstance(apdu, (ConfirmedServiceError, ExceptionResponse)):
        raise_refusal(apdu, ", says an unprotected answer")
    raise ProtocolError("an association request was answered with something else than an association response")


def _check_accepted(aare: Aare, settings: AssociationSettings) -> None:
    if aare.result:
        kind = "for now" if aare.result == 2 else "permanently"
        words = _USER_WORDS.get(aare.diagnostic, "") if aare.diagnostic_source == _USER else ""
        raise AssociationRefusedError(
            f"the server rejects the association {kind}: {words or f'diagnostic {aare.diagnostic}'}",
            result=aare.result,
            diagnostic=aare.diagnostic,
        )
    asked = ApplicationContext.LOGICAL_NAME_CIPHERED if settings.is_ciphered else ApplicationContext.LOGICAL_NAME
    if aare.context != asked:
        raise ProtocolError(f"application context {asked:d} was proposed, {aare.context} accepted")
    if settings.mechanism in HIGH_LEVEL and aare.mechanism not in {None, settings.mechanism}:
        raise ProtocolError(f"authentication mechanism {settings.mechanism:d} was proposed, {aare.mechanism} accepted")


def _server_title(channel: Channel, aare: Aare) -> bytes | None:
    """Return the system title of the server, which it has to give where it counts and is not known."""
    settings = channel.settings
    given, known = aare.responding_title, settings.server_title
    if channel.protector is not None and given:
        channel.protector.learn_peer_title(given)
    elif given and known and given != known:
        raise SecurityError("the server has another system title than was expected")
    return given or known


def _initiate_response(channel: Channel, aare: Aare) -> InitiateResponse:
    information = aare.user_information
    protector = channel.protector
    if protector is not None and is_ciphered(information):
        information = protector.unprotect(information).apdu
        protector.peer_counters.begin()
    elif is_ciphered(information):
        raise ProtocolError("a ciphered response to an association without ciphering")
    elif protector is not None and information[:1] != bytes((CONFIRMED_SERVICE_ERROR,)):
        raise UnprotectedError("the response that opens the association came unprotected")
    apdu = decode_apdu(information)
    if isinstance(apdu, ConfirmedServiceError):
        raise_refusal(apdu)
    if not isinstance(apdu, InitiateResponse):
        raise ProtocolError("an association response without initiate response")
    if apdu.version != _VERSION:
        raise ProtocolError(f"the server speaks version {apdu.version} of DLMS, not {_VERSION}")
    return apdu


def _prove(
    channel: Channel, challenge: bytes, aare: Aare, server_title: bytes, counters: CounterSource | None
) -> Exchange[None]:
    """Answer the server's challenge and check its answer to ours (HLS passes 3 and 4)."""
    settings = channel.settings
    check_challenges(challenge, aare.authentication)
    credentials = Credentials(
        mechanism=settings.mechanism,
        secret=settings.secret,
        keys=settings.keys,
        own_title=settings.system_title,
        peer_title=server_title,
        suite=settings.control & SUITE_MASK,
    )
    reply = answer(credentials, aare.authentication, own_challenge=challenge, counters=counters)
    try:
        returned = yield from acting.invoke(channel, REPLY_TO_HLS, encode(octet_string(reply)))
    except (ActionRefusedError, AccessRefusedError) as refusal:
        raise AuthenticationError(f"the server does not take our answer to its challenge: {refusal}") from refusal
    proof = decode_value(returned) if returned is not None else None
    if not isinstance(proof, bytes):
        raise AuthenticationError("the server does not answer our challenge")
    check(credentials, proof, challenge, peer_challenge=aare.authentication)
