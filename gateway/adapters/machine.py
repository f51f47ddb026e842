"""How process and disk stand, in a gateway's numbers."""

from pathlib import Path

from gateway.core.numbers import MachineNumbers
from wire.runtime.machine import look


def machine_numbers(folder: Path) -> MachineNumbers:
    """Return how this process stands, and the disk that a folder lies on."""
    machine = look(folder)
    return MachineNumbers(
        disk_free_percent=int(machine.disk_free_percent),
        cpu_s=int(machine.cpu_s),
        resident_bytes=machine.resident_bytes,
    )
