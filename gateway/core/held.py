"""The cloud's facts on this disk: which of them a newer one has made superfluous, and the digest of the others.

A policy takes the place of those of lower versions for the same account and meter, a statement of those of earlier
closes of the same account. What has been superseded is dropped, is not taken again, and is no part of the digest in
the hello; the cloud leaves it out by the same rule (`cloud.headend.adapters.down_facts`, `docs/protocol.md`).
"""

from dataclasses import dataclass, field

from gateway.core.store import SupplyStore
from prepay.entries import Entry, Statement
from wire import codec
from wire.errors import MalformedError
from wire.facts import PrepaidPolicy, decode_down_fact, fact_id

DIGEST_BYTES = 16


@dataclass(slots=True)
class _Place:
    """Where one fact takes the place of another: the highest rank held, and the facts of that rank."""

    rank: int = -1
    facts: list[bytes] = field(default_factory=list)


class HeldFacts:
    """Takes the cloud's facts to the disk, each once."""

    def __init__(self, store: SupplyStore) -> None:
        self._store = store
        self._places: dict[tuple[str, ...], _Place] = {}
        self._digest = 0
        for encoded in store.down_facts():
            name = fact_id(encoded)
            self._digest ^= int.from_bytes(name)
            self._put(name, encoded)

    @property
    def digest(self) -> bytes:
        """The exclusive or of the names of all facts held."""
        return self._digest.to_bytes(DIGEST_BYTES)

    def take(self, encoded: bytes) -> bool:
        """Put a fact on the disk and tell whether it is news: neither held nor superseded."""
        name = fact_id(encoded)
        if self._is_superseded(encoded) or not self._store.add_down_fact(name, encoded):
            return False
        self._digest ^= int.from_bytes(name)
        self._put(name, encoded)
        return True

    def _is_superseded(self, encoded: bytes) -> bool:
        ranked = _ranked(encoded)
        if ranked is None:
            return False
        slot, rank = ranked
        return slot in self._places and rank < self._places[slot].rank

    def _put(self, name: bytes, encoded: bytes) -> None:
        """Let a fact on the disk take its place."""
        ranked = _ranked(encoded)
        if ranked is None:
            return
        slot, rank = ranked
        place = self._places.setdefault(slot, _Place())
        if rank > place.rank:
            for superseded in place.facts:
                self._drop(superseded)
            place.rank, place.facts = rank, [name]
        elif rank == place.rank:
            place.facts.append(name)
        else:
            self._drop(name)

    def _drop(self, name: bytes) -> None:
        self._store.drop_down_fact(name)
        self._digest ^= int.from_bytes(name)


def _ranked(encoded: bytes) -> tuple[tuple[str, ...], int] | None:
    """Return which facts a fact may supersede, and its rank among them; None if it stands by itself."""
    try:
        fact = decode_down_fact(encoded)
        if isinstance(fact, PrepaidPolicy):
            return ("policy", fact.account, fact.meter), fact.version
        entry: Entry = codec.decode_as(fact.entry, Entry)
    except MalformedError:
        return None  # refused when it came, and held all the same
    return (("statement", fact.account), entry.closed_at_ms) if isinstance(entry, Statement) else None
