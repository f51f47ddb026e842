"""One request and its answer: protected, checked, and cut into general blocks where they are too long.

Decides what an acceptable answer is, whatever it answers: of the peer, as protected as agreed, no refusal of the whole
request. Which answer fits which request, and its invoke id, are checked by the services (`reading`, `writing`,
`acting`), through `check_invoke`.
"""

from collections import deque
from collections.abc import Generator
from typing import Final, NoReturn, TypeVar

from dlms.apdu.blocks import GENERAL_BLOCK_TRANSFER
from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.conformance import Conformance
from dlms.apdu.faults import CONFIRMED_SERVICE_ERROR, EXCEPTION_RESPONSE
from dlms.apdu.results import ServiceError, StateError, result_name
from dlms.apdu.services import (
    Apdu,
    ConfirmedServiceError,
    DataNotification,
    EventNotification,
    ExceptionResponse,
    Notification,
)
from dlms.client import general_blocks
from dlms.client.settings import AssociationSettings
from dlms.errors import ConfirmedServiceRefusedError, ProtocolError, ServiceRefusedError, UnprotectedError
from dlms.security.protection import Protector, is_ciphered, overhead_bytes

T = TypeVar("T")
Exchange = Generator[bytes, bytes, T]
"""A conversation: yields the APDU to send, is sent the APDU that came back, returns what came of it.

An empty APDU asks for the next one from the server without sending anything.
"""

_GENERAL_BLOCK: Final = bytes((GENERAL_BLOCK_TRANSFER,))
NOTHING_TO_SEND: Final = b""
_NO_BLOCKS: Final = general_blocks.Numbers()
_INVOKE_MASK: Final = 0x0F
_CONFIRMED: Final = 0x40
_HIGH_PRIORITY: Final = 0x80
_NOTIFICATIONS_MAX: Final = 16
"""Taken before an answer, and kept until they are fetched."""
_PDU_BYTES_UNLIMITED: Final = 0xFFFF_FFFF


class Channel:
    """What carries the requests of one association."""

    def __init__(self, settings: AssociationSettings, protector: Protector | None) -> None:
        self.settings = settings
        self.protector = protector
        self.conformance = Conformance(0)
        self.notifications: deque[Notification] = deque()
        self.has_asked = False
        """Whether a request went out since this was last cleared: until then nothing can be out of step."""
        self._invoke = 0
        self._pdu_bytes_max = _PDU_BYTES_UNLIMITED
        self.plain_bytes_max = _PDU_BYTES_UNLIMITED
        """Longest unciphered APDU that reaches the server in one piece."""

    def grant(self, conformance: Conformance, pdu_bytes_max: int) -> None:
        """Take what was negotiated."""
        self.conformance = conformance
        self._pdu_bytes_max = pdu_bytes_max or _PDU_BYTES_UNLIMITED
        overhead = 0
        if self.protector is not None:
            overhead = overhead_bytes(self.settings.form, self.settings.control, self._pdu_bytes_max)
        self.plain_bytes_max = max(0, self._pdu_bytes_max - overhead)

    def grants(self, needed: Conformance) -> bool:
        """Say whether all of these bits were granted."""
        return self.conformance & needed == needed

    def next_invoke(self) -> int:
        """Return the invoke-id-and-priority byte of a new request."""
        self._invoke = (self._invoke + 1) & _INVOKE_MASK
        return self._invoke | _CONFIRMED | _HIGH_PRIORITY

    def ask(self, request: Apdu) -> Exchange[Apdu]:
        """Send a request and return the answer.

        Raises:
            ServiceRefusedError: An exception-response came.
            ConfirmedServiceRefusedError: A confirmed-service-error came.
            UnprotectedError, SecurityError, DecodeError, ProtocolError: The answer is not acceptable.
        """
        apdu = encode_apdu(request)
        if self.protector is not None:
            apdu = self.protector.protect(apdu, control=self.settings.control, form=self.settings.form)
        if len(apdu) > self._pdu_bytes_max:
            self._demand_general_blocks(len(apdu))
            self.has_asked = True
            answer, numbers = yield from general_blocks.send(apdu, self._pdu_bytes_max, self.open_answer)
        else:
            self.has_asked = True
            answer, numbers = (yield apdu), _NO_BLOCKS
        for _ in range(_NOTIFICATIONS_MAX):
            if answer[:1] == _GENERAL_BLOCK and self.grants(Conformance.GENERAL_BLOCK_TRANSFER):
                settings = self.settings
                answer = yield from general_blocks.receive(
                    answer, numbers, settings.general_block_window, settings.transfer_bytes_max
                )
            opened = self.open_answer(answer)
            if not isinstance(opened, (DataNotification, EventNotification)):
                return opened
            self.keep(opened)
            answer = yield NOTHING_TO_SEND
        raise ProtocolError("the server sends notification after notification instead of an answer")

    def open_answer(self, answer: bytes) -> Apdu:
        """Return the APDU of an answer that is no refusal.

        Raises:
            As `ask`.
        """
        is_protected = True
        if self.protector is None:
            if is_ciphered(answer):
                raise ProtocolError("a ciphered APDU in an association without ciphering")
        elif is_ciphered(answer):
            answer = self.protector.unprotect(answer).apdu
        else:
            is_protected = False
            if not (self.settings.unprotected_refusals and answer[:1] in _REFUSALS):
                raise UnprotectedError("an APDU came unprotected")
        apdu = decode_apdu(answer)
        if isinstance(apdu, (ExceptionResponse, ConfirmedServiceError)):
            raise_refusal(apdu, "" if is_protected else ", says an unprotected answer")
        return apdu

    def keep(self, notification: Notification) -> None:
        """Keep a notification until it is fetched; the oldest goes where too many wait."""
        if len(self.notifications) == _NOTIFICATIONS_MAX:
            self.notifications.popleft()
        self.notifications.append(notification)

    def _demand_general_blocks(self, apdu_bytes: int) -> None:
        if not self.grants(Conformance.GENERAL_BLOCK_TRANSFER):
            raise ProtocolError(
                f"a request of {apdu_bytes} bytes: the server takes {self._pdu_bytes_max} and granted no block transfer"
            )


_REFUSALS: Final = frozenset({bytes((EXCEPTION_RESPONSE,)), bytes((CONFIRMED_SERVICE_ERROR,))})


def raise_refusal(refusal: ExceptionResponse | ConfirmedServiceError, remark: str = "") -> NoReturn:
    """Raise the error that stands for a refusal of a whole request."""
    if isinstance(refusal, ExceptionResponse):
        state = result_name(refusal.state_error, StateError)
        service = result_name(refusal.service_error, ServiceError)
        raise ServiceRefusedError(
            f"the server answered with an exception: {state}, {service}{remark}",
            state_error=refusal.state_error,
            service_error=refusal.service_error,
            invocation_counter=refusal.invocation_counter,
        )
    raise ConfirmedServiceRefusedError(
        f"the server answered with an error of service {refusal.service}: "
        f"kind {refusal.kind}, code {refusal.code}{remark}",
        service=refusal.service,
        kind=refusal.kind,
        code=refusal.code,
    )


def check_invoke(asked: int, answered: int) -> None:
    """Refuse an answer that belongs to another request; servers do not all return the priority.

    Raises:
        ProtocolError: It does.
    """
    if (asked ^ answered) & _INVOKE_MASK:
        raise ProtocolError(
            f"request {asked & _INVOKE_MASK} was answered with an answer to request {answered & _INVOKE_MASK}"
        )


def unexpected(answer: Apdu, service: str) -> ProtocolError:
    """Return the error for an answer that does not fit the request."""
    return ProtocolError(f"{type(answer).__name__} is no answer to {service} at this point")
