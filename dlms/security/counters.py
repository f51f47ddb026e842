"""Invocation counters: ours, which must never be used twice with a key, and the peer's, which must rise.

Decides in which order numbers are handed out, reserved and believed. Where they are kept is the caller's business: it
gives `ReservedCounter` a function that stores, and reads `PeerCounters.highest` when an association is over
(Green Book 9.2.3.3.7.3: the same initialization vector with the same key breaks AES-GCM).
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from dlms.errors import CountersExhaustedError, ReplayError

COUNTER_LAST: Final = 0xFFFF_FFFF
"""Never used: a meter that reaches it has to be given a new key."""
RESERVED_AT_ONCE: Final = 1000


class CounterSource(Protocol):
    """Where the counters of what we send come from."""

    def take(self) -> int:
        """Return a number that was never returned before for this key.

        Raises:
            CountersExhaustedError: There is none left.
        """
        ...


class ReservedCounter:
    """Numbers handed out only after a bound above them has been stored.

    A process that dies loses the rest of what it reserved and goes on from the bound, never from below it.
    """

    def __init__(self, next_value: int, reserve: Callable[[int], None], block: int = RESERVED_AT_ONCE) -> None:
        """Take the stored bound.

        Args:
            next_value: The bound stored last, or the first number of a new key.
            reserve: Stores a new bound and returns when it is safe; numbers below it may be used from then on.
            block: How many numbers a bound reserves.
        """
        if not 0 <= next_value <= COUNTER_LAST or block < 1:
            raise ValueError("a counter begins between 0 and 2**32 - 1 and reserves at least one number")
        self._next = next_value
        self._bound = next_value
        self._reserve = reserve
        self._block = block

    @property
    def next_value(self) -> int:
        """The number that comes next."""
        return self._next

    def take(self) -> int:
        value = self._next
        if value >= self._bound:
            self._extend(value)
        self._next = value + 1
        return value

    def raise_to(self, least: int) -> None:
        """Leave out all numbers below `least`, as a meter that has seen them demands; never goes back."""
        if least > self._next:
            self._next = min(least, COUNTER_LAST)

    def _extend(self, value: int) -> None:
        if value >= COUNTER_LAST:
            raise CountersExhaustedError("the invocation counter is used up; change the key")
        bound = min(value + self._block, COUNTER_LAST)
        self._reserve(bound)
        self._bound = bound


class PeerCounterPolicy(Enum):
    """What is demanded of the peer's counters."""

    STRICT = "strict"
    """Each above all before it, in this association and those before."""
    PER_ASSOCIATION = "per-association"
    """Each above those before it since the association was opened; for servers that forget (Gurux's in C)."""
    UNCHECKED = "unchecked"
    """Nothing: what was sent once can be played again."""


GLOBAL: Final = "global"
BROADCAST: Final = "broadcast"
DEDICATED: Final = "dedicated"
"""Names of the keys whose counters are told apart."""


class PeerCounters:
    """The highest counter believed so far, for the global key, the broadcast key and the dedicated key apart.

    The caller of `accept` has opened the APDU before: a counter nobody authenticated must not lock out the peer.
    """

    __slots__ = ("_highest", "_policy")

    def __init__(self, policy: PeerCounterPolicy, highest: int = -1, highest_broadcast: int = -1) -> None:
        """Take the highest counters seen before with the global and the broadcast key, -1 for none."""
        self._policy = policy
        self._highest = {GLOBAL: highest, BROADCAST: highest_broadcast, DEDICATED: -1}

    @property
    def policy(self) -> PeerCounterPolicy:
        return self._policy

    @property
    def highest(self) -> int:
        """Highest counter seen with the global key, -1 for none; to be kept under STRICT."""
        return self._highest[GLOBAL]

    @property
    def highest_broadcast(self) -> int:
        """Highest counter seen with the broadcast key, -1 for none; to be kept under STRICT."""
        return self._highest[BROADCAST]

    def begin(self) -> None:
        """Forget what does not outlast an association; call when one begins, and once it is agreed.

        Once it is agreed too, for there are servers that number the AARE apart from what follows it.
        """
        if self._policy is not PeerCounterPolicy.STRICT:
            self._highest = {GLOBAL: -1, BROADCAST: -1, DEDICATED: -1}

    def begin_dedicated(self) -> None:
        """Forget the counters of the last dedicated key; call when a new one is agreed, under every policy."""
        self._highest[DEDICATED] = -1

    def accept(self, counter: int, key: str = GLOBAL) -> None:
        """Believe a counter of an APDU that was opened.

        Raises:
            ReplayError: It is not above what was seen before.
        """
        highest = self._highest[key]
        if counter > highest:
            self._highest[key] = counter
        elif self._policy is not PeerCounterPolicy.UNCHECKED:
            raise ReplayError(f"invocation counter {counter} is not above {highest}: repeated, or the peer forgot")
