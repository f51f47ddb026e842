"""Who is told what really happens to a meter, whether anybody reads it or not: rows, events, switching, energies read.

A meter knows nothing of what is made of it; a comparison of both ends begins here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from device_sim.core.is15959.profiles import Table


@dataclass(frozen=True, slots=True)
class Captured:
    """A row went into a stored profile or an event log."""

    at_ms: int
    """Site time."""
    name: bytes
    """Logical name of the profile."""
    stamp_local_ms: int
    """The local time that the row stands for, by the meter's own clock."""
    table: Table
    row: bytes
    """As it is kept."""


class Witness(Protocol):
    """Sees one meter."""

    def captured(self, captured: Captured) -> None:
        """See a row of a profile of values."""

    def occurred(self, code: int, sequence: int, captured: Captured) -> None:
        """See an event, with its log's new sequence number and the entry it makes."""

    def switched(self, *, is_closed: bool, at_ms: int) -> None:
        """See the contacts of the load switch move."""

    def energy_read(self, energy_wh: int, *, at_ms: int) -> None:
        """See a client read the import energy, by itself or among the present values."""


class Nobody:
    """Sees nothing."""

    def captured(self, captured: Captured) -> None:
        """Look away."""

    def occurred(self, code: int, sequence: int, captured: Captured) -> None:
        """Look away."""

    def switched(self, *, is_closed: bool, at_ms: int) -> None:
        """Look away."""

    def energy_read(self, energy_wh: int, *, at_ms: int) -> None:
        """Look away."""


NOBODY = Nobody()
