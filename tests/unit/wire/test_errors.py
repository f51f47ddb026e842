import pytest

from wire.errors import (
    LimitExceededError,
    MalformedError,
    Reason,
    StaleError,
    UnsupportedVersionError,
    UntrustedError,
    WireError,
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MalformedError("x"), Reason.MALFORMED),
        (LimitExceededError("x"), Reason.LIMIT_EXCEEDED),
        (UnsupportedVersionError(7), Reason.UNSUPPORTED_VERSION),
        (UntrustedError(Reason.BAD_SIGNATURE), Reason.BAD_SIGNATURE),
        (StaleError(Reason.REPLAYED), Reason.REPLAYED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_carries_its_reason_and_is_a_wire_error(error: WireError, reason: Reason) -> None:
    assert isinstance(error, WireError)
    assert error.reason is reason
    assert str(error).startswith(reason)


def test_a_huge_version_makes_a_short_error() -> None:
    assert len(str(UnsupportedVersionError(10**300))) < 100


def test_reasons_can_stand_in_an_acknowledgement() -> None:
    assert all(reason.replace("-", "").isalpha() and reason.islower() and len(reason) <= 32 for reason in Reason)
