"""The secrets of simulated meters in files, as a gateway is told them: one line of text each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from device_sim.core.is15959.settings import Secrets


def write_secret_files(folder: Path, meter_id: str, secrets: Secrets) -> None:
    """Write what a gateway may need of a meter: `METER.reader`, `.utility`, `.firmware` and the keys as hexadecimal.

    The keys are `.guek` (encryption by utility settings), `.gak` (authentication, of all), `.firmware-guek` and
    `.push-guek`.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "reader": secrets.reader_password.decode(),
        "utility": secrets.settings_secret.decode(),
        "firmware": secrets.firmware_secret.decode(),
        "guek": secrets.encryption.hex(),
        "gak": secrets.authentication.hex(),
        "firmware-guek": secrets.firmware_encryption.hex(),
        "push-guek": secrets.push_encryption.hex(),
    }
    for name, text in texts.items():
        (folder / f"{meter_id}.{name}").write_text(text + "\n")
