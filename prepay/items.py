"""What an account keeps of an entry: of register points and amounts, which are many, no more than it judges by."""

from typing import NamedTuple, TypeAlias

from prepay.balance import Quarantined
from prepay.entries import Adjustment, Credit, Entry, RegisterPoint
from prepay.identity import moment_ms, precedence
from prepay.register import Fault, Mark, point_mark


class Dated(NamedTuple):
    """An amount and when it starts to count."""

    at_ms: int
    digest: bytes
    amount_minor: int


class Term(NamedTuple):
    """An entry that is neither point nor amount."""

    entry: Entry
    digest: bytes


Item: TypeAlias = Mark | Dated | Term


def item_of(entry: Entry, digest: bytes) -> Item:
    """Return what is kept of an entry."""
    match entry:
        case Credit() | Adjustment():
            return Dated(entry.issued_at_ms, digest, entry.amount_minor)
        case RegisterPoint():
            return point_mark(entry, digest)
        case _:
            return Term(entry, digest)


def item_precedence(item: Item) -> tuple[int, bytes]:
    """Return what `prepay.identity.precedence` says of the entry."""
    match item:
        case Mark():
            return item.energy_wh, item.digest
        case Dated():
            return item.amount_minor, item.digest
        case Term():
            return precedence(item.entry)


def conflict(loser: Item, winner: bytes) -> Quarantined:
    """Return the quarantine of a value that another one beats."""
    return Quarantined(_moment_ms(loser), loser.digest, Fault.CONFLICT, 0, winner)


def _moment_ms(item: Item) -> int:
    match item:
        case Mark():
            return item.taken_at_ms
        case Dated():
            return item.at_ms
        case Term():
            return moment_ms(item.entry)
