"""The named holds on a relay and the one rule over them: it closes only when none stands.

Each hold has its own cause and is lifted in its own name only, so a recharge never energises a site that is held for
another reason. Who may place or lift which hold, versions of commands, and moving the relay are left to the gateway.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum


class Hold(IntEnum):
    """Why a relay must stay open; the numbers are stored and sent."""

    SAFETY = 1
    UTILITY = 2
    """Disconnected by a command of the utility."""
    CREDIT = 3
    POWER_LIMIT = 4
    ENERGY_LIMIT = 5
    TAMPER = 6


class RelayIntent(Enum):
    """What the relay should be, as far as the holds go."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Holds:
    """The holds that stand on one relay."""

    standing: frozenset[Hold] = frozenset()

    @classmethod
    def from_codes(cls, codes: Iterable[int]) -> "Holds":
        """Read holds from their numbers.

        Raises:
            ValueError: A number is no hold; a relay is never closed over a hold that is not understood.
        """
        return cls(frozenset(Hold(code) for code in codes))

    @property
    def codes(self) -> tuple[int, ...]:
        """The numbers of the holds, ascending."""
        return tuple(sorted(self.standing))

    @property
    def intent(self) -> RelayIntent:
        """Closed if no hold stands."""
        return RelayIntent.OPEN if self.standing else RelayIntent.CLOSED

    def __contains__(self, hold: Hold) -> bool:
        return hold in self.standing

    def place(self, hold: Hold) -> "Holds":
        """Return the holds with one more."""
        return Holds(self.standing | {hold})

    def lift(self, hold: Hold) -> "Holds":
        """Return the holds without this one; every other one stays."""
        return Holds(self.standing - {hold})
