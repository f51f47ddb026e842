"""The event status word: each bit that changes is an event, once, however often the word is pushed, read or lost.

What the bits mean stands in the make's profile file. A bit that lasts gives one event when it rises and one when it
falls. A momentary bit gives one for each push that has it: meters let it fall unseen. A bit that no table names gives
events without a code. What stood last is kept on the disk, in the transaction that takes the events: a word that comes
again, also after a restart, changes nothing.

A push that was overtaken by a newer one says nothing about what stands now; only its momentary bits count.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from dlms.axdr.tags import BitString
from gateway.core.acquisition import StatusSeen
from gateway.core.agenda import DAY_S
from gateway.core.collection import Collector
from gateway.core.dlms_profiles import STATUS_BITS_MAX, DlmsProfile, StatusBit, StatusWord
from gateway.core.effects import Effects, Note, ObserveRelay
from gateway.core.moment import Moment
from gateway.core.progress import Progress, Status
from gateway.core.store import Priority
from gateway.core.timekeeping import Timekeeper
from wire import codec
from wire.facts import MeterEvent
from wire.readings import CAPTURED_S_MAX

RESTORED = 10_000
"""Added to the number of a bit in the event that it fell."""
PUSHES_REMEMBERED_MAX = 32
DIGEST_BYTES = 8
OVERTAKEN_S_MAX = 600
"""For want of a known clock: a push may come so much after a newer one; one that is older tells of a clock set back."""
URGENT_AGE_MAX_S = DAY_S
"""A change that is older when it is heard of is history."""
CHANGES_PER_HOUR_MAX = 600
"""Of one meter: what flutters must not fill the disk, on which events are never dropped."""
HOUR_MS = 3_600_000


class Change(NamedTuple):
    """A bit that rose or fell."""

    bit: int
    rose: bool


def meter_now_s(progress: Progress, time: Timekeeper, meter: str, now: Moment) -> int | None:
    """Return what a meter's clock shows, Unix seconds; None where it was not compared with the clock we have now."""
    clock = progress.clock(meter)
    if clock.seen_s < 0 or clock.by_trusted is not time.is_synchronised:
        return None
    return (time.best_ms(now) + clock.offset_ms) // 1_000


def is_overtaken(at_s: int, newest_s: int, now_s: int | None) -> bool:
    """Tell whether what a meter stamped with `at_s` is older than what came before it.

    Args:
        at_s: By the meter's clock.
        newest_s: What came before; not believed where it is later than now, or much later than `at_s` and now is not
            known: then the clock was set back.
        now_s: What the meter's clock shows, if that is known.
    """
    if at_s >= newest_s:
        return False
    return newest_s - at_s <= OVERTAKEN_S_MAX if now_s is None else newest_s <= now_s + OVERTAKEN_S_MAX


class StatusWords:
    """Follows the status words of meters.

    Args:
        progress: What stood last.
        makes: The make of each meter.
        collector: Where events go.
        time: For UTC.
        has_relay: Tells whether we drive a meter's relay.
        boot: Of this run.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        makes: Mapping[str, DlmsProfile],
        collector: Collector,
        time: Timekeeper,
        has_relay: Callable[[str], bool],
        boot: bytes,
    ) -> None:
        self._progress = progress
        self._makes = makes
        self._collector = collector
        self._time = time
        self._has_relay = has_relay
        self._boot = boot
        self._paces: dict[str, tuple[int, int]] = {}
        """By meter: the hour, and how many changes it had."""

    def on_seen(self, event: StatusSeen, now: Moment) -> Effects:
        """Take a word."""
        table = self._makes[event.meter_id].status_word if event.meter_id in self._makes else None
        if table is None or len(event.word) > STATUS_BITS_MAX:
            return (_note("status.not_understood", event.meter_id, bits=len(event.word), is_warning=True),)
        before = self._progress.status(event.meter_id)
        digest = _digest(event)
        if digest in before.recent:
            return ()
        meter_s = meter_now_s(self._progress, self._time, event.meter_id, now)
        is_late = event.at_s is not None and is_overtaken(event.at_s, before.newest_s, meter_s)
        stands = before.word if is_late else _joined(event.word, before.word)
        known = {item.bit: item for item in table.bits}
        changes = list(_changes(event, stands, before, table, known))
        if not self._admits(event, len(changes)):
            # Nothing is forgotten: the next word that is taken shows what it comes to.
            return self._fluttering(event)
        newest_s = before.newest_s if event.at_s is None or is_late else event.at_s
        recent = [*before.recent, digest][-PUSHES_REMEMBERED_MAX:] if digest else before.recent
        after = Status(word=stands, newest_s=newest_s, recent=recent)
        if after != before:
            self._progress.set_status(event.meter_id, after)
        now_s = self._time.best_ms(now) // 1_000
        at_s = event.at_s if event.at_s is not None else meter_s if meter_s is not None else now_s
        for change in changes:
            fact = self._fact(event, change, table, known.get(change.bit), at_s=at_s)
            self._add(fact, is_urgent=_is_urgent(change, known) and now_s - at_s <= URGENT_AGE_MAX_S)
        return self._effects(event.meter_id, changes, known)

    def on_clock_set(self, meter: str) -> None:
        """Forget how late it was by a meter's clock."""
        before = self._progress.status(meter)
        if before.newest_s >= 0:
            self._progress.set_status(meter, Status(word=before.word, recent=before.recent))

    def _admits(self, event: StatusSeen, count: int) -> bool:
        hour = event.tick_ms // HOUR_MS
        paced_hour, paced = self._paces.get(event.meter_id, (hour, 0))
        paced = count + (paced if paced_hour == hour else 0)
        if paced > CHANGES_PER_HOUR_MAX:
            return False
        self._paces[event.meter_id] = (hour, paced)
        return True

    def _fluttering(self, event: StatusSeen) -> Effects:
        hour = event.tick_ms // HOUR_MS
        if self._paces.get(event.meter_id) == (hour, CHANGES_PER_HOUR_MAX + 1):
            return ()
        self._paces[event.meter_id] = (hour, CHANGES_PER_HOUR_MAX + 1)
        return (_note("status.flutters", event.meter_id, changes_per_hour=CHANGES_PER_HOUR_MAX, is_warning=True),)

    def _fact(
        self, event: StatusSeen, change: Change, table: StatusWord, known: StatusBit | None, *, at_s: int
    ) -> MeterEvent:
        code = None if known is None else known.code if change.rose else known.restored
        return MeterEvent(
            meter=event.meter_id,
            log=table.name,
            captured_s=min(max(at_s, 0), CAPTURED_S_MAX),
            number=change.bit if change.rose else RESTORED + change.bit,
            code=code or "",
            values=[],
            boot=self._boot,
            tick_ms=event.tick_ms,
        )

    def _add(self, fact: MeterEvent, *, is_urgent: bool) -> None:
        if is_urgent:
            self._collector.add_fact(fact, Priority.URGENT)
        else:
            self._collector.add_fact(fact, Priority.LEDGER, patient=True)

    def _effects(self, meter: str, changes: list[Change], known: Mapping[int, StatusBit]) -> Effects:
        if not changes:
            return ()
        rose = ", ".join(_words(change, known) for change in changes if change.rose)
        fell = ", ".join(_words(change, known) for change in changes if not change.rose)
        note = _note("status.changed", meter, rose=rose, fell=fell)
        moves = any(item.relay for change in changes if (item := known.get(change.bit)) is not None)
        return (note, ObserveRelay(meter=meter)) if moves and self._has_relay(meter) else (note,)


def _changes(
    event: StatusSeen, stands: bytes, before: Status, table: StatusWord, known: Mapping[int, StatusBit]
) -> Iterator[Change]:
    """Return what a word tells, from the leftmost bit."""
    momentary = {bit for bit, item in known.items() if item.momentary}
    for bit in table.risen(before.word, stands):
        if bit not in momentary:
            yield Change(bit, rose=False)
    stood = before.word if event.at_s in {None, before.newest_s} else b""
    happened = set(table.risen(_joined(event.word, b""), stood)) & momentary
    lasting = set(table.risen(stands, before.word)) - momentary
    for bit in sorted(happened | lasting):
        yield Change(bit, rose=True)


def _joined(word: BitString, before: bytes) -> bytes:
    """Return a word as bytes; where it is shorter than the one before, that stands on."""
    length = max(len(word.data), len(before))
    beyond = (1 << max(8 * length - len(word), 0)) - 1
    ahead = int.from_bytes(word.data.ljust(length, b"\0"))
    return (ahead | int.from_bytes(before.ljust(length, b"\0")) & beyond).to_bytes(length)


def _digest(event: StatusSeen) -> bytes:
    """Return what names a push; empty for a word that was read."""
    if event.at_s is None:
        return b""
    return hashlib.sha256(codec.encode([event.at_s, len(event.word), event.word.data])).digest()[:DIGEST_BYTES]


def _is_urgent(change: Change, known: Mapping[int, StatusBit]) -> bool:
    item = known.get(change.bit)
    return item is not None and item.urgent and change.rose


def _words(change: Change, known: Mapping[int, StatusBit]) -> str:
    item = known.get(change.bit)
    return f"{change.bit} {item.name if item is not None else 'unknown'}"


def _note(event: str, meter: str, *, is_warning: bool = False, **facts: str | int) -> Note:
    return Note(event=event, facts=(("meter", meter), *facts.items()), is_warning=is_warning)
