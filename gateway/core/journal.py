"""The command journal: a letter with one life.

Rules:
- Everything is decided in a transaction and acted on after its commit, so what is acted on stands in the journal.
- A command waits until time is trusted; its deadline is judged just before it acts.
- Relay and limit commands of a meter overtake one another by version: an older one is never run after a newer one.
  What is over before it ran has no effect, overtaking included.
- Setting a state is repeated until it is proved by reading back or the deadline is over; then it is undone.
- A receipt, once final, is the same for ever; a command that comes again is answered with it.
- The journal is a hash chain. A box restored from a backup, or a clone, shows another head than the cloud knows.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.core.collection import Collector
from gateway.core.effects import DemandRead, Effects
from gateway.core.moment import Moment
from gateway.core.relays import Relays
from gateway.core.store import JournalStore, StoredCommand, SupplyStore
from prepay.holds import Hold
from wire import codec, limits
from wire.facts import ReadValue, Receipt, Stage
from wire.messages import Command, Disconnect, Effect, Floor, Limit, Ping, Read, Reconnect, effect_group

_OVERTAKING = ("relay", "limit")
READ_ATTEMPTS_MAX = 3
READ_RETRY_MS = 2_000
FORGET_AFTER_MS = 30 * 86_400_000
"""A command whose deadline is over for so long is forgotten, and one that comes after that is not answered."""
_FORGOTTEN = "commands-forgotten-until-ms"


@dataclass(slots=True)
class _Open:
    """A command on its way, in memory; the journal holds the same."""

    command: Command
    started: bool
    held_before: bool | None = None
    """Whether the utility's hold stood before, to put it back if the deadline passes without proof."""
    attempts: int = 0
    due_ms: int = 0
    reading: bool = False


class Journal:
    """Runs commands at most once, and says what became of them."""

    def __init__(
        self,
        store: JournalStore,
        supply: SupplyStore,
        *,
        collector: Collector,
        relays: Relays,
        meters: Sequence[str],
        boot: bytes,
        trusted_ms: Callable[[Moment], int | None],
    ) -> None:
        self._store = store
        self._supply = supply
        self._collector = collector
        self._relays = relays
        self._meters = frozenset(meters)
        self._boot = boot
        self._trusted_ms = trusted_ms
        self._head = store.journal_head()
        forgotten = store.value(_FORGOTTEN)
        self._forgotten_until_ms = int(forgotten) if forgotten else 0
        self._repeated: set[bytes] = set()
        self._open: dict[bytes, _Open] = {}
        self._append(["boot", boot])
        for stored in store.open_commands():
            command: Command = codec.decode_as(stored.encoded, Command)
            self._open[command.id] = _Open(command, stored.status == "started", stored.held_before)

    @property
    def head(self) -> tuple[int, bytes]:
        """How many entries the journal has, and the digest of the chain."""
        return self._head

    def on_session(self) -> None:
        """A new session: receipts may be asked for again."""
        self._repeated.clear()

    def on_floors(self, floors: Sequence[Floor], now: Moment) -> None:
        """Take the cloud's word for what must not run any more: a disk set back has forgotten."""
        for floor in floors:
            if floor.effect not in _OVERTAKING or floor.version <= self._store.floor(floor.meter, floor.effect):
                continue
            self._store.raise_floor(floor.meter, floor.effect, floor.version)
            for open_ in self._rivals(floor.meter, floor.effect):
                if open_.command.version <= floor.version:
                    self._undo(open_)
                    self._finish(open_, Stage.SUPERSEDED, "the cloud knows of a newer command", now)

    def on_command(self, command: Command, *, now: Moment) -> Effects:
        """Take a command whose signature was checked."""
        known = self._store.command(command.id)
        if known is not None:
            self._repeat_receipt(known, now)
            return ()
        if command.not_after_ms < self._forgotten_until_ms:
            return ()  # whether it ran nobody here knows any more
        self._append(["accepted", command.id])
        open_ = _Open(command, started=False)
        problem = self._problem(command)
        if problem:
            self._finish(open_, Stage.REFUSED, problem, now)
            return ()
        self._open[command.id] = open_
        self._collector.add_receipt(self._receipt(command, Stage.ACCEPTED, "", now), now)
        effects = self.pump(now)
        if command.id in self._open and not open_.started:
            self._put(open_, "waiting")
        return effects

    def _problem(self, command: Command) -> str:
        """Return why a command can never run here, or nothing."""
        if command.meter and command.meter not in self._meters:
            return "this gateway has no such meter"
        if effect_group(command.effect) in _OVERTAKING and not self._relays.has_relay(command.meter):
            return "this meter has no relay"
        if isinstance(command.effect, Read) and not command.meter:
            return "a read names a meter"
        return ""

    def pump(self, now: Moment) -> Effects:
        """Start what waited for the time, read again what is due, end what is overdue."""
        trusted_ms = self._trusted_ms(now)
        if trusted_ms is None or not self._open:
            return ()
        effects: list[DemandRead] = []
        for open_ in sorted(self._open.values(), key=lambda item: item.command.version):
            if open_.command.id not in self._open:
                continue  # overtaken by one handled before it in this round
            problem = self._problem(open_.command)
            if problem:
                # Accepted under another configuration: the meter has gone since.
                self._finish(open_, Stage.FAILED, problem, now)
                continue
            if trusted_ms > open_.command.not_after_ms:
                self._expire(open_, now)
            elif not open_.started:
                self._start(open_, now)
            if open_.command.id in self._open and _reads(open_.command.effect) and open_.started:
                effects += self._read(open_, now)
        return tuple(effects)

    def next_deadline_ms(self, now: Moment) -> int | None:
        """Return when `pump` has something to do by itself, real ms; deadlines are looked at each second."""
        return now.mono_ms + 1_000 if self._open else None

    def on_relay_driven(self, meter: str, now: Moment) -> None:
        """See whether a relay, read back after the newest decision about it, proves a command."""
        closed = self._relays.known_closed(meter)
        for open_ in [item for item in self._open.values() if item.command.meter == meter and item.started]:
            match open_.command.effect:
                case Disconnect():
                    if closed is False:
                        self._finish(open_, Stage.EXECUTED, "", now, relay_closed=False)
                case Reconnect():
                    holds = self._relays.holds(meter)
                    if closed is True:
                        self._finish(open_, Stage.EXECUTED, "", now, relay_closed=True)
                    elif closed is False and holds.standing:
                        names = ", ".join(hold.name.lower().replace("_", "-") for hold in sorted(holds.standing))
                        self._finish(open_, Stage.EXECUTED, f"still held: {names}", now, relay_closed=False)
                case _:
                    pass

    def on_read(self, command: bytes, values: Sequence[ReadValue] | None, detail: str, now: Moment) -> None:
        """Take what a demand read brought, or None with the reason why it failed."""
        open_ = self._open.get(command)
        if open_ is None:
            return
        open_.reading = False
        if values is not None:
            self._finish(open_, Stage.EXECUTED, "", now, values=values)
        elif open_.attempts >= READ_ATTEMPTS_MAX:
            self._finish(open_, Stage.FAILED, detail, now)
        else:
            open_.due_ms = now.mono_ms + READ_RETRY_MS

    def prune(self, now: Moment) -> int:
        """Forget commands that could not run any more even if they came again; return how many."""
        trusted_ms = self._trusted_ms(now)
        if trusted_ms is None:
            return 0
        until_ms = trusted_ms - FORGET_AFTER_MS
        count = self._store.forget_commands(before_ms=until_ms)
        if count:
            self._forgotten_until_ms = until_ms
            self._store.set_value(_FORGOTTEN, str(until_ms).encode())
        return count

    def _start(self, open_: _Open, now: Moment) -> None:
        command = open_.command
        group = effect_group(command.effect)
        if group in _OVERTAKING:
            if command.version <= self._store.floor(command.meter, group):
                self._finish(open_, Stage.SUPERSEDED, "a newer command was accepted before", now)
                return
            self._store.raise_floor(command.meter, group, command.version)
            self._supersede_older(open_, group, now)
        open_.started = True
        self._append(["started", command.id])
        match command.effect:
            case Disconnect():
                self._remember_hold(open_)
                self._relays.place(command.meter, Hold.UTILITY)
                self._relays.verify(command.meter)
            case Reconnect():
                self._remember_hold(open_)
                self._relays.lift(command.meter, Hold.UTILITY)
                self._relays.verify(command.meter)
            case Limit(power_w=power_w):
                self._supply.set_power_limit(command.meter, power_w)
                if power_w is None:
                    self._relays.lift(command.meter, Hold.POWER_LIMIT)
                self._finish(open_, Stage.EXECUTED, "", now)
                return
            case Ping() if not command.meter:
                self._finish(open_, Stage.EXECUTED, "", now)
                return
            case Read() | Ping():
                pass
        self._put(open_, "started")

    def _rivals(self, meter: str, group: str) -> list[_Open]:
        return [
            item
            for item in self._open.values()
            if item.command.meter == meter and effect_group(item.command.effect) == group
        ]

    def _supersede_older(self, newer: _Open, group: str, now: Moment) -> None:
        for other in self._rivals(newer.command.meter, group):
            if other.command.version < newer.command.version:
                if other.held_before is not None:
                    # What was there before either of them, since the older one was never proved.
                    newer.held_before = other.held_before
                self._finish(other, Stage.SUPERSEDED, "a newer command was accepted", now)

    def _remember_hold(self, open_: _Open) -> None:
        if open_.held_before is None:
            open_.held_before = Hold.UTILITY in self._relays.holds(open_.command.meter)

    def _expire(self, open_: _Open, now: Moment) -> None:
        if not open_.started:
            self._finish(open_, Stage.EXPIRED, "the deadline was over before it could run", now)
            return
        undone = self._undo(open_)
        detail = "no proof before the deadline; undone" if undone else "no answer before the deadline"
        self._finish(open_, Stage.FAILED, detail, now)

    def _undo(self, open_: _Open) -> bool:
        """Put the utility's hold back as it was before a command that was not proved; False if it moved none."""
        if open_.held_before is None or not self._relays.has_relay(open_.command.meter):
            return False
        if open_.held_before:
            self._relays.place(open_.command.meter, Hold.UTILITY)
        else:
            self._relays.lift(open_.command.meter, Hold.UTILITY)
        return True

    def _read(self, open_: _Open, now: Moment) -> list[DemandRead]:
        if open_.reading or open_.due_ms > now.mono_ms:
            return []
        open_.reading = True
        open_.attempts += 1
        effect = open_.command.effect
        channels = tuple(effect.channels) if isinstance(effect, Read) else ()
        return [DemandRead(command=open_.command.id, meter=open_.command.meter, channels=channels)]

    def _finish(
        self,
        open_: _Open,
        stage: Stage,
        detail: str,
        now: Moment,
        *,
        relay_closed: bool | None = None,
        values: Sequence[ReadValue] = (),
    ) -> None:
        command = open_.command
        self._append(["final", command.id, stage.value])
        receipt = self._receipt(command, stage, detail, now, relay_closed=relay_closed, values=values)
        self._put(open_, "final", codec.encode(receipt))
        self._open.pop(command.id, None)
        self._collector.add_receipt(receipt, now)

    def _receipt(
        self,
        command: Command,
        stage: Stage,
        detail: str,
        now: Moment,
        *,
        relay_closed: bool | None = None,
        values: Sequence[ReadValue] = (),
    ) -> Receipt:
        index, digest = self._head
        return Receipt(
            command=command.id,
            meter=command.meter,
            stage=stage,
            boot=self._boot,
            tick_ms=now.tick_ms,
            detail=detail[: limits.DETAIL_CHARS_MAX],
            relay_closed=relay_closed,
            values=list(values),
            journal_index=index,
            journal_digest=digest,
        )

    def _repeat_receipt(self, known: StoredCommand, now: Moment) -> None:
        # Once a session is enough: the batch that carries it is repeated by the uplink.
        if known.receipt and known.id not in self._repeated:
            self._repeated.add(known.id)
            self._collector.add_receipt(codec.decode_as(known.receipt, Receipt), now)

    def _put(self, open_: _Open, status: str, receipt: bytes = b"") -> None:
        stored = StoredCommand(open_.command.id, status, codec.encode(open_.command), receipt, open_.held_before)
        self._store.put_command(stored, not_after_ms=open_.command.not_after_ms)

    def _append(self, entry: list[object]) -> None:
        index, digest = self._head
        encoded = codec.encode(entry)
        self._head = (index + 1, hashlib.sha256(digest + encoded).digest())
        self._store.append_journal(encoded, self._head[1])


def _reads(effect: Effect) -> bool:
    return isinstance(effect, Read | Ping)
