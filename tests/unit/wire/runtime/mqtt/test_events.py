"""Every trouble of connecting has a cause and says what to do."""

import socket
import ssl

import pytest

from wire.runtime.errors import ConfigError
from wire.runtime.mqtt.events import Cause, explain, farewell, refusal


@pytest.mark.parametrize(
    ("exc", "cause"),
    [
        (socket.gaierror(-2, "Name or service not known"), Cause.NAME),
        (UnicodeError("label empty or too long"), Cause.NAME),
        (ConnectionRefusedError(111, "Connection refused"), Cause.UNREACHABLE),
        (OSError(113, "No route to host"), Cause.UNREACHABLE),
        (TimeoutError("timed out"), Cause.TIMEOUT),
        (ssl.SSLCertVerificationError("certificate has expired"), Cause.TLS),
        (ssl.SSLError(1, "wrong version number"), Cause.TLS),
        (ConfigError("ca.crt", "absent", "name it"), Cause.FILES),
    ],
)
def test_an_exception_becomes_a_cause_with_a_remedy(exc: OSError | ValueError | ConfigError, cause: Cause) -> None:
    trouble = explain(exc, host="broker.example", port=8883)
    assert trouble.cause is cause
    assert trouble.detail
    assert trouble.remedy


@pytest.mark.parametrize("code", range(0x80, 0xA3))
def test_every_refusal_and_farewell_has_a_remedy(code: int) -> None:
    assert refusal(code, "text").remedy
    assert farewell(code, "text").remedy
