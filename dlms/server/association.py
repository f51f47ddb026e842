"""One client's association with a logical device: every APDU in, at most one APDU out, whatever the bytes.

Decides what a request may be in the state the association is in, how well it must be protected, and how refusals of
the protocol are worded. The services have modules of their own; what an object holds, the device knows.
The states are: not associated; pending, while a client of high level security owes its answer; associated.
"""

from collections.abc import Callable
from typing import Final

from dlms.apdu.acse import Aare, Aarq, ApplicationContext, Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.results import ActionResult, ServiceError, StateError
from dlms.apdu.services import (
    ActionOutcome,
    ActionRequest,
    ActionRequestBlock,
    ActionRequestFirstBlock,
    ActionRequestList,
    ActionRequestListFirstBlock,
    ActionRequestNext,
    Apdu,
    DataResult,
    ExceptionResponse,
    GeneralBlockTransfer,
    GetRequest,
    GetRequestList,
    GetRequestNext,
    MethodDescriptor,
    Response,
    SetRequest,
    SetRequestBlock,
    SetRequestFirstBlock,
    SetRequestList,
    SetRequestListFirstBlock,
)
from dlms.axdr.data import encode, octet_string
from dlms.axdr.values import decode_value
from dlms.errors import DecodeError, DlmsError, ReplayError, SecurityError
from dlms.obis import obis
from dlms.security.authentication import answer, check
from dlms.security.counters import COUNTER_LAST
from dlms.security.protection import CipherForm, Protector, is_ciphered, overhead_bytes
from dlms.security.suite0 import PROTECTED
from dlms.server.acting import Acting
from dlms.server.device import Access, LogicalDevice
from dlms.server.general_blocks import GeneralBlocks
from dlms.server.opening import NO_REASON, PROVIDER, REJECTED, Agreement, initiate_response, open_association
from dlms.server.reading import Reading
from dlms.server.terms import Refused, Terms
from dlms.server.writing import Writing

CURRENT_ASSOCIATION: Final = obis("0.0.40.0.0.255")
"""The association in which one reads it (Blue Book 4.4.4)."""
_ASSOCIATION_LN: Final = 15
_REPLY_TO_HLS: Final = 1
_AARQ: Final = 0x60
_RLRQ: Final = 0x62
_GENERAL_BLOCK: Final = 224
_CIPHERING_BYTES_MAX: Final = overhead_bytes(CipherForm.GENERAL_GLOBAL, PROTECTED, 0xFFFF)
"""By how much a ciphered request may exceed the PDU size: many clients count the unciphered request only."""
_RESPONSES: Final = frozenset(
    {0x61, 0x63, 8, 14, 15, 40, 46, 72, 78, 194, 196, 197, 199, 202, 204, 205, 207, 210, 212, 213, 215, 216}
)
"""Tags of what only a server says; to answer it would make two servers talk for ever."""


class ServerAssociation:
    """The association of one client over one link."""

    def __init__(self, device: LogicalDevice, client_sap: int, *, challenge: Callable[[], bytes]) -> None:
        """Wait for a client.

        Args:
            device: The logical device addressed.
            client_sap: The client's address, which says who it claims to be.
            challenge: Returns fresh random bytes, 16 are usual, at every call.
        """
        self._device = device
        self._client_sap = client_sap
        self._challenge = challenge
        self._agreement: Agreement | None = None
        self._is_pending = False
        self._reading = Reading()
        self._writing = Writing()
        self._acting = Acting()
        self._general = GeneralBlocks()

    @property
    def is_open(self) -> bool:
        """Whether the client is associated, its identity proved."""
        return self._agreement is not None and not self._is_pending

    @property
    def protector(self) -> Protector | None:
        """What protects the association, for notifications; None in a plain one."""
        return None if self._agreement is None else self._agreement.protector

    def close(self) -> None:
        """Forget the association: the link is gone."""
        self._agreement = None
        self._is_pending = False
        self._forget_transfers()

    def handle(self, apdu: bytes) -> bytes | None:
        """Answer whatever came; None where nothing can be answered."""
        if not apdu or apdu[0] in _RESPONSES:
            return None
        if apdu[0] == _AARQ:
            return self._open(apdu)
        if apdu[0] == _RLRQ:
            return self._release(apdu)
        agreement = self._agreement
        if agreement is None:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        if len(apdu) > agreement.rules.pdu_bytes_max + (_CIPHERING_BYTES_MAX if is_ciphered(apdu) else 0):
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
        if apdu[0] == _GENERAL_BLOCK and agreement.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            return self._serve_block(agreement, apdu)
        response = self._serve(agreement, apdu, in_general_blocks=False)
        if response is None or len(response) <= agreement.reply_bytes_max:
            return response
        if not agreement.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
        self._general.forget()
        return encode_apdu(self._general.answer(response, block_bytes_max=agreement.reply_bytes_max))

    # ---- opening and release -----------------------------------------------------------------------------------------

    def _open(self, apdu: bytes) -> bytes:
        """Answer an AARQ; a client that asks anew has lost the association before, and gets a new one."""
        self.close()
        try:
            aarq = decode_acse(apdu)
        except DecodeError:
            return encode_acse(Aare(ApplicationContext.LOGICAL_NAME, REJECTED, PROVIDER, NO_REASON))
        assert isinstance(aarq, Aarq), "the tag says so"
        rules = self._device.association_rules(self._client_sap)
        try:
            opening = open_association(aarq, rules, self._challenge())
            reply = encode_acse(opening.aare)
        except ReplayError:
            assert rules is not None, "a client not known is refused before its counter"
            assert rules.security is not None, "only a protected proposal has a counter"
            return _counter_exception(rules.security.peer_counters.highest)
        except DlmsError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
        self._agreement = opening.agreement
        self._is_pending = opening.agreement is not None and opening.agreement.credentials is not None
        return reply

    def _release(self, apdu: bytes) -> bytes:
        """Answer an RLRQ; one without protection is good enough, for whoever can send it can also cut the link."""
        agreement = self._agreement
        try:
            rlrq = decode_acse(apdu)
            assert isinstance(rlrq, Rlrq), "the tag says so"
            protector = None if agreement is None else agreement.protector
            if protector is not None and is_ciphered(rlrq.user_information):
                protector.unprotect(rlrq.user_information)
            granted = initiate_response(agreement) if agreement is not None and agreement.protector is not None else b""
        except ReplayError:
            return self._replayed()
        except DlmsError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
        self.close()
        return encode_acse(Rlre(user_information=granted))

    # ---- requests ----------------------------------------------------------------------------------------------------

    def _serve_block(self, agreement: Agreement, apdu: bytes) -> bytes | None:
        try:
            block = decode_apdu(apdu)
        except DecodeError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
        assert isinstance(block, GeneralBlockTransfer), "the tag says so"
        reply = self._general.receive(
            block,
            lambda whole: self._serve(agreement, whole, in_general_blocks=True),
            block_bytes_max=agreement.reply_bytes_max,
            transfer_bytes_max=agreement.rules.transfer_bytes_max,
        )
        return None if reply is None else encode_apdu(reply)

    def _serve(self, agreement: Agreement, apdu: bytes, *, in_general_blocks: bool) -> bytes | None:
        """Open a request, answer it, and close the answer as the request was."""
        if not is_ciphered(apdu):
            if agreement.protector is not None:
                return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
            terms = self._terms(agreement, 0, agreement.reply_bytes_max, in_general_blocks=in_general_blocks)
            return encode_apdu(self._answer(apdu, terms, agreement))
        protector = agreement.protector
        if protector is None:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
        try:
            opened = protector.unprotect(apdu)
        except ReplayError:
            return self._replayed()
        except DlmsError:
            return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
        limit = agreement.reply_bytes_max
        limit -= overhead_bytes(opened.form, opened.control, limit)
        terms = self._terms(agreement, opened.control, limit, in_general_blocks=in_general_blocks)
        response = self._answer(opened.apdu, terms, agreement)
        return _protected(protector, response, opened.control, opened.form)

    def _terms(self, agreement: Agreement, control: int, reply_bytes_max: int, *, in_general_blocks: bool) -> Terms:
        return Terms(
            device=self._device,
            access=Access(self._client_sap, agreement.mechanism, control),
            conformance=agreement.conformance,
            reply_bytes_max=reply_bytes_max,
            transfer_bytes_max=agreement.rules.transfer_bytes_max,
            in_general_blocks=in_general_blocks,
        )

    def _answer(self, apdu: bytes, terms: Terms, agreement: Agreement) -> Response:
        try:
            request = decode_apdu(apdu)
        except DecodeError:
            return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
        if isinstance(request, ActionRequest) and _is_reply_to_hls(request.method):
            return self._acting.answer(request.invoke, self._finish_authentication(request, agreement), terms)
        if self._is_pending:
            return ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        try:
            return self._dispatch(request, terms)
        except Refused as refused:
            return ExceptionResponse(refused.state_error, refused.service_error)

    def _dispatch(self, request: Apdu, terms: Terms) -> Response:
        match request:
            case GetRequest() | GetRequestNext() | GetRequestList():
                return self._reading.handle(request, terms)
            case (
                SetRequest()
                | SetRequestFirstBlock()
                | SetRequestBlock()
                | SetRequestList()
                | SetRequestListFirstBlock()
            ):
                return self._writing.handle(request, terms)
            case (
                ActionRequest()
                | ActionRequestNext()
                | ActionRequestList()
                | ActionRequestFirstBlock()
                | ActionRequestListFirstBlock()
                | ActionRequestBlock()
            ):
                return self._acting.handle(request, terms)
            case _:
                raise Refused(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)

    def _finish_authentication(self, request: ActionRequest, agreement: Agreement) -> ActionOutcome:
        """Check the client's answer to our challenge, and answer its own (HLS passes 3 and 4)."""
        credentials, security = agreement.credentials, agreement.rules.security
        if credentials is None or not self._is_pending:
            return ActionOutcome(ActionResult.OTHER_REASON)
        try:
            given = _octets(request.parameters)
            check(credentials, given, agreement.own_challenge, peer_challenge=agreement.peer_challenge)
            ours = answer(
                credentials,
                agreement.peer_challenge,
                own_challenge=agreement.own_challenge,
                counters=None if security is None else security.counters,
            )
        except (SecurityError, DecodeError):
            self.close()
            return ActionOutcome(ActionResult.READ_WRITE_DENIED)
        self._is_pending = False
        return ActionOutcome(ActionResult.SUCCESS, DataResult(encode(octet_string(ours))))

    def _replayed(self) -> bytes:
        """Refuse a counter that was used before, and say which is the least that is not (Green Book 9.5)."""
        protector = self.protector
        assert protector is not None, "only a protected APDU can be a repeated one"
        return _counter_exception(protector.peer_counters.highest)

    def _forget_transfers(self) -> None:
        self._reading, self._writing, self._acting = Reading(), Writing(), Acting()
        self._general.forget()


def _is_reply_to_hls(method: MethodDescriptor) -> bool:
    return (method.class_id, method.name, method.method) == (_ASSOCIATION_LN, CURRENT_ASSOCIATION, _REPLY_TO_HLS)


def _octets(parameters: bytes | None) -> bytes:
    value = decode_value(parameters or b"")
    if not isinstance(value, bytes):
        raise DecodeError("an answer to a challenge that is no octet string")
    return value


def _protected(protector: Protector, response: Response, control: int, form: CipherForm) -> bytes:
    """Cipher an answer as its request was; exception-response has no service-specific form and goes out plain."""
    plain = encode_apdu(response)
    if isinstance(response, ExceptionResponse) and not form.is_general:
        return plain
    try:
        return protector.protect(plain, control=control, form=form)
    except SecurityError:
        return _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)


def _exception(state_error: StateError, service_error: ServiceError) -> bytes:
    return encode_apdu(ExceptionResponse(state_error, service_error))


def _counter_exception(highest: int) -> bytes:
    least = min(highest + 1, COUNTER_LAST)
    return encode_apdu(ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, least))
