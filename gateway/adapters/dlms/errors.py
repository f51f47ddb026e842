"""The words of the DLMS stack in those of the port: what a line's schedule and receipts make of an error."""

from collections.abc import Iterator
from contextlib import contextmanager

from dlms.errors import (
    AccessRefusedError,
    ActionRefusedError,
    AssociationRefusedError,
    ConfirmedServiceRefusedError,
    DlmsError,
    FrameRejectedError,
    LinkRefusedError,
    LinkTimeoutError,
    RefusedError,
    ReplayError,
    SecurityError,
    ServiceRefusedError,
)
from gateway.ports import BusError, GarbledError, MeterRefusedError, MeterUnavailableError, UntrustedError

_REPLAY_REMEDY = 'if this meter forgets its counter, set peer_counters = "per-association" for it'


def to_bus_error(error: DlmsError, meter_id: str) -> BusError:
    """Return an error of the stack as the port's."""
    text = f"meter {meter_id}: {error}"
    match error:
        case LinkTimeoutError():
            return MeterUnavailableError(text)
        case LinkRefusedError():
            return MeterRefusedError(text, code=0)
        case FrameRejectedError():
            return GarbledError(text)
        case ReplayError():
            return UntrustedError(f"{text}; {_REPLAY_REMEDY}")
        case SecurityError():
            return UntrustedError(text)
        case RefusedError():
            return MeterRefusedError(text, code=refusal_code(error))
        case _:
            return GarbledError(text)


def refusal_code(error: RefusedError) -> int:
    """Return the meter's own number for why it refuses."""
    match error:
        case AccessRefusedError(result=code) | ActionRefusedError(result=code):
            return code
        case AssociationRefusedError(diagnostic=code):
            return code
        case ServiceRefusedError(service_error=code) | ConfirmedServiceRefusedError(code=code):
            return code
        case _:
            return 0


@contextmanager
def bus_errors(meter_id: str) -> Iterator[None]:
    """Let nothing of the DLMS stack out but as the port's errors.

    Raises:
        BusError: See its subclasses.
    """
    try:
        yield
    except DlmsError as error:
        raise to_bus_error(error, meter_id) from error
