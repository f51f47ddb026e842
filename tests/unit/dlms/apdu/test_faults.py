import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.results import ServiceError, StateError
from dlms.apdu.services import Apdu, ConfirmedServiceError, ExceptionResponse
from dlms.errors import DecodeError

EXAMPLES: dict[str, Apdu] = {
    "0E 01 06 01": ConfirmedServiceError(service=1, kind=6, code=1),
    "D8 01 01": ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE),
    "D8 02 02": ExceptionResponse(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED),
    "D8 01 06 0000012C": ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, 300),
    "D8 01 06": ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR),
}


@pytest.mark.parametrize("encoded", EXAMPLES)
def test_refusals_hold_both_ways(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == EXAMPLES[encoded]
    assert encode_apdu(EXAMPLES[encoded]) == bytes.fromhex(encoded)


@pytest.mark.parametrize(
    "encoded", ["0E", "0E 01 06", "0E 01 06 01 00", "D8", "D8 01", "D8 01 06 00", "D8 01 06 0000012C 00"]
)
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
