"""The secrets of simulated meters: made of the meter's name, so that a gateway can be told them without asking.

They guard nothing. A description may name others; whoever runs a real meter makes real ones.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from device_sim.core.is15959.settings import Secrets

_TEXT_BYTES: Final = 16
_PASSWORD_BYTES: Final = 8
_KEY_BYTES: Final = 16


def secrets_of(meter_id: str) -> Secrets:
    """Return the secrets of a meter of that name: passwords are lower-case hexadecimal digits, keys are bytes."""
    return Secrets(
        reader_password=_text(meter_id, "reader-password", _PASSWORD_BYTES),
        settings_secret=_text(meter_id, "settings-secret", _TEXT_BYTES),
        firmware_secret=_text(meter_id, "firmware-secret", _TEXT_BYTES),
        push_secret=_text(meter_id, "push-secret", _TEXT_BYTES),
        encryption=_key(meter_id, "encryption"),
        firmware_encryption=_key(meter_id, "firmware-encryption"),
        push_encryption=_key(meter_id, "push-encryption"),
        authentication=_key(meter_id, "authentication"),
    )


def _key(meter_id: str, name: str) -> bytes:
    return sha256(f"simulated meter {meter_id}: {name}".encode()).digest()[:_KEY_BYTES]


def _text(meter_id: str, name: str, length: int) -> bytes:
    return _key(meter_id, name).hex()[:length].encode()
