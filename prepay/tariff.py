"""Which price holds when.

The tariff in force at an instant is, of those whose date has come: an account's own before one of its class; then the
latest date; then the later in the chain of predecessors; then the larger id. As time passes only later ones take over,
so each tariff is in force for one span without gaps, and that span is the period over which energy is added up before
it is rounded. A predecessor that is named but not there means the set is incomplete; it is reported, and the known
prices go on.

A step between two register points that a change falls into belongs wholly to the new tariff: the register is split at
the latest point not after the change. A gateway that reads the register at the change makes the split exact.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import NamedTuple

from prepay.entries import Tariff
from prepay.register import Fault


class Span(NamedTuple):
    """A tariff and the instant it takes over."""

    from_ms: int
    tariff: Tariff


class Schedule(NamedTuple):
    """All that the tariffs of a set say about one account."""

    spans: tuple[Span, ...]
    """By time; the first one's start may leave earlier energy without a price."""
    faults: tuple[tuple[Tariff, Fault], ...]
    missing: tuple[bytes, ...]
    """Ids of predecessors that are named but not in the set, sorted."""


def schedule(tariffs: Collection[Tariff], *, account: str, tariff_class: str) -> Schedule:
    """Work out the spans and faults of some tariffs with different ids.

    Args:
        tariffs: In any order.
        account: Tariffs of this scope go first.
        tariff_class: Tariffs of this scope hold otherwise; empty while the account's opening has not arrived.
    """
    own = [tariff for tariff in tariffs if tariff.scope in {account, tariff_class}]
    by_id = {tariff.id: tariff for tariff in own}
    ranked = sorted((t.effective_from_ms, t.scope == account, _depth(t, by_id), t.id) for t in own)
    spans: list[Span] = []
    best: tuple[bool, int, int, bytes] | None = None
    for from_ms, is_own, depth, tariff_id in ranked:
        rank = (is_own, from_ms, depth, tariff_id)
        if best is None or rank > best:
            best = rank
            if spans and spans[-1].from_ms == from_ms:
                spans.pop()
            spans.append(Span(from_ms, by_id[tariff_id]))
    missing = {tariff.predecessor for tariff in own if tariff.predecessor} - by_id.keys()
    return Schedule(tuple(spans), _faults(tariffs, own), tuple(sorted(missing)))


def span_index(starts_ms: Sequence[int], end_ms: int) -> int:
    """Return the index of the span that a step ending at an instant belongs to, or -1 if none had begun.

    Args:
        starts_ms: The spans' starts, ascending.
        end_ms: When the step's later register point was taken.
    """
    return bisect_left(starts_ms, end_ms) - 1


def _depth(tariff: Tariff, by_id: dict[bytes, Tariff]) -> int:
    """Count the known predecessors of a tariff, each once."""
    seen = {tariff.id}
    while (before := by_id.get(tariff.predecessor)) is not None and before.id not in seen:
        seen.add(before.id)
        tariff = before
    return len(seen) - 1


def _faults(tariffs: Collection[Tariff], own: Collection[Tariff]) -> tuple[tuple[Tariff, Fault], ...]:
    """Name the tariffs of other scopes and those that share a predecessor."""
    successors: dict[tuple[str, bytes], int] = {}
    for tariff in own:
        place = (tariff.scope, tariff.predecessor)
        successors[place] = successors.get(place, 0) + 1
    own_ids = {tariff.id for tariff in own}
    foreign = [(tariff, Fault.FOREIGN_TARIFF) for tariff in tariffs if tariff.id not in own_ids]
    forks = [(tariff, Fault.TARIFF_FORK) for tariff in own if successors[tariff.scope, tariff.predecessor] > 1]
    return tuple(foreign + forks)
