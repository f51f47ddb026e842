"""What makes an entry the same entry, and which of two counts when they contradict each other.

An entry is its value: its digest is the SHA-256 of its deterministic encoding (CBOR arrays of shortest integers, byte
and text strings; no maps, no floats). Two values under one natural key are both kept; the one that sorts first by
`precedence` counts: the smaller amount, register or charge, which never invents money or consumption, then the smaller
digest, which is arbitrary and the same everywhere.
"""

import hashlib
from typing import TypeAlias

import cbor2
import msgspec

from prepay.entries import Adjustment, Assignment, Credit, Entry, Opening, RegisterPoint, Release, Statement, Tariff

NaturalKey: TypeAlias = tuple[str | int | bytes, ...]


class ForeignEntryError(ValueError):
    """Raised when an entry names another account than the one it was given to."""


def encode(entry: Entry) -> bytes:
    """Return the one encoding of an entry."""
    return cbor2.dumps(msgspec.to_builtins(entry, builtin_types=(bytes,)))


def entry_digest(entry: Entry) -> bytes:
    """Return the SHA-256 of an entry's encoding."""
    return hashlib.sha256(encode(entry)).digest()


def natural_key(entry: Entry) -> NaturalKey:
    """Return what may have one value only; the first member tells the kinds apart."""
    match entry:
        case Opening():
            return (1, entry.account)
        case Credit():
            return (2, entry.id)
        case Adjustment():
            return (3, entry.id)
        case Tariff():
            return (4, entry.id)
        case Assignment():
            return (5, entry.meter_serial, entry.installation)
        case Release():
            return (6, entry.meter_serial, entry.installation)
        case RegisterPoint():
            return (7, entry.meter_serial, entry.installation, entry.boot_id, entry.tick_ms)
        case Statement():
            return (8, entry.account, entry.closed_at_ms)


def precedence(entry: Entry) -> tuple[int, bytes]:
    """Return the order among values of one natural key; the first counts."""
    match entry:
        case Credit() | Adjustment():
            quantity = entry.amount_minor
        case RegisterPoint():
            quantity = entry.energy_wh
        case Statement():
            quantity = entry.settled_wh + sum(period.energy_wh for period in entry.periods)
        case _:
            quantity = 0
    return quantity, entry_digest(entry)


def moment_ms(entry: Entry) -> int:
    """Return the instant from which an entry has its effect."""
    match entry:
        case Opening():
            return entry.opened_at_ms
        case Credit() | Adjustment():
            return entry.issued_at_ms
        case Tariff():
            return entry.effective_from_ms
        case Assignment():
            return entry.from_ms
        case Release():
            return entry.until_ms
        case RegisterPoint():
            return entry.taken_at_ms
        case Statement():
            return entry.closed_at_ms


def require_account(entry: Entry, account: str) -> None:
    """Refuse an entry of another account; tariffs and register points name none.

    Raises:
        ForeignEntryError: The entry names another account.
    """
    match entry:
        case Tariff() | RegisterPoint():
            return
        case _:
            if entry.account != account:
                raise ForeignEntryError(f"an entry of account {entry.account!r} was given to {account!r}")
