"""Invocation counters on the disk: ours reserved ahead of use, those of meters as far as they were believed.

Ours belong to a key and a system title, not to a meter: where meters share a key, no number may go to two of them. A
number below the bound on the disk may have been used, one above it never was: a process that is killed goes on from
the bound. What a meter says our counter should be is not proved by anything, so it may lift ours only so far.
"""

import asyncio
import hashlib

from dlms.client.settings import AssociationSettings
from dlms.errors import CountersExhaustedError, SecurityError
from dlms.security.counters import COUNTER_LAST, RESERVED_AT_ONCE, PeerCounterPolicy, PeerCounters
from dlms.security.system_title import SYSTEM_TITLE_BYTES
from gateway.ports import Shelf

STEP_MAX = 64
"""More numbers than one step of a conversation takes, on all lines at once."""
LEAP_MAX = 1 << 24
"""How far a meter's word may lift a counter that we know: a forged one must not use it up."""
UNKNOWN_MAX = COUNTER_LAST - LEAP_MAX
"""And one that we do not know."""
_BYTES = 4


class SentCounter:
    """The numbers of what is sent with the keys of one role at one meter; a `CounterSource`."""

    def __init__(self, name: str, shelf: Shelf, *, bound: int | None) -> None:
        """Take up where the disk left off; make one with `load`."""
        self._name = name
        self._shelf = shelf
        self._next = self._bound = bound or 0
        self._reserving = asyncio.Lock()
        self.is_doubtful = bound is None
        """The meter has to be asked before this is used."""

    @classmethod
    async def load(cls, name: str, shelf: Shelf) -> "SentCounter":
        """Return the counter of a name; doubtful if nothing is kept of it."""
        kept = await shelf.kept(name)
        return cls(name, shelf, bound=int.from_bytes(kept) if kept is not None else None)

    @property
    def next_value(self) -> int:
        """The number that comes next."""
        return self._next

    def take(self) -> int:
        assert self._next < self._bound, "numbers are reserved before each step"
        value = self._next
        self._next += 1
        return value

    def raise_to(self, least: int) -> bool:
        """Leave out what the meter has seen; False if nothing changed.

        Raises:
            SecurityError: It is further than a meter's bare word can lift it.
        """
        is_known = self._bound > 0
        if least > (self._next + LEAP_MAX if is_known else UNKNOWN_MAX):
            raise SecurityError(f"the meter claims to have seen counter {least}, ours stands at {self._next}")
        if least <= self._next:
            return False
        self._next = least
        return True

    async def reserve(self) -> None:
        """See to it that one step of a conversation finds numbers that are safe to use.

        Raises:
            CountersExhaustedError: There are none left.
        """
        if self._bound - self._next >= STEP_MAX:
            return
        async with self._reserving:
            if self._bound - self._next >= STEP_MAX:
                return
            bound = min(self._next + RESERVED_AT_ONCE, COUNTER_LAST)
            if bound - self._next < STEP_MAX:
                raise CountersExhaustedError("the invocation counter is used up; change the key")
            await self._shelf.keep(self._name, bound.to_bytes(_BYTES))
            self._bound = bound


class HeardCounters:
    """What a meter has sent with the keys of one role: its system title and the highest counter believed."""

    def __init__(self, name: str, shelf: Shelf, policy: PeerCounterPolicy, kept: bytes | None) -> None:
        """Take up where the disk left off; make one with `load`."""
        self._name = name
        self._shelf = shelf
        self._policy = policy
        self.title: bytes | None = None
        highest = -1
        if kept is not None and len(kept) == SYSTEM_TITLE_BYTES + _BYTES:
            self.title, highest = kept[:SYSTEM_TITLE_BYTES], int.from_bytes(kept[SYSTEM_TITLE_BYTES:])
        self.counters = PeerCounters(policy, highest)
        self._kept = kept

    @classmethod
    async def load(cls, name: str, shelf: Shelf, policy: PeerCounterPolicy) -> "HeardCounters":
        """Return what is kept under a name."""
        return cls(name, shelf, policy, await shelf.kept(name))

    def unknown(self) -> PeerCounters:
        """Return counters that know nothing, to find out whether another meter stands there."""
        return PeerCounters(self._policy)

    def adopt(self, title: bytes | None, counters: PeerCounters) -> None:
        """Believe what an association was opened with."""
        self.title, self.counters = title, counters

    async def keep(self) -> None:
        """Put on the disk what has to outlast this run."""
        if self._policy is not PeerCounterPolicy.STRICT or self.title is None or self.counters.highest < 0:
            return
        value = self.title + self.counters.highest.to_bytes(_BYTES)
        if value != self._kept:
            await self._shelf.keep(self._name, value)
            self._kept = value


class CounterBook:
    """All counters of this gateway, each once, whatever line asks for it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._sent: dict[str, SentCounter] = {}
        self._heard: dict[str, HeardCounters] = {}

    async def sent(self, settings: AssociationSettings) -> SentCounter:
        """Return the counter of what is sent with the keys of an association."""
        name = f"dlms/sent/{_fingerprint(settings)}"
        if name not in self._sent:
            loaded = await SentCounter.load(name, self._shelf)
            # Another line may have been quicker.
            self._sent.setdefault(name, loaded)
        return self._sent[name]

    async def heard(self, meter_id: str, settings: AssociationSettings, policy: PeerCounterPolicy) -> HeardCounters:
        """Return the counters of what a meter sends with the keys of an association."""
        name = f"dlms/heard/{meter_id}/{_fingerprint(settings)}"
        if name not in self._heard:
            loaded = await HeardCounters.load(name, self._shelf, policy)
            self._heard.setdefault(name, loaded)
        return self._heard[name]


def _fingerprint(settings: AssociationSettings) -> str:
    """Return what names a key and our system title without telling the key."""
    assert settings.keys is not None, "only what has keys has counters"
    parts = b"wattpost counter:" + settings.system_title + settings.keys.encryption
    return hashlib.sha256(parts).hexdigest()[:16]
