"""The way up: one session at a time, a window of batches in flight, each sent again until the cloud's database has it.

Rules:
- A hello with a fresh nonce opens a session on every connection, and each hour after; only a welcome that echoes one of
  the last few counts, each once.
- Urgent goes before ledger, ledger before what was read in this session, and that before the backlog.
- A batch leaves the disk's list of pending ones only by a signed acknowledgement that names its digest. An unknown
  digest changes nothing; an acknowledgement of an older epoch than the one known is ignored, one of a newer epoch asks
  for a new session.
- A welcome that tells of a restored database brings back what was acknowledged beyond the backup, or in an epoch that
  the database has no part in.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.core.deliveries import Deliveries
from gateway.core.effects import Effect, Effects, Note, SendBatch, SendHello
from gateway.core.moment import Moment
from gateway.core.store import BatchStore
from wire import limits
from wire.address import Address, Direction, Kind
from wire.keys import SigningKey
from wire.messages import Ack, Hello, Welcome, seal_message

if TYPE_CHECKING:
    import random

_EPOCH = "epoch"
HELLOS_REMEMBERED_MAX = 8
"""Where a welcome takes longer than the wait for it, it still finds the hello that it answers."""


class IdSource(Protocol):
    """Where fresh random bytes come from."""

    def __call__(self, count_bytes: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """Timers in real milliseconds."""

    window_max: int = 32
    """Batches in flight, however many more the cloud allows."""
    hello_retry_ms: int = 5_000
    """First wait for a welcome; doubles up to `hello_retry_ms_max`."""
    hello_retry_ms_max: int = 60_000
    session_ms_max: int = 3_600_000
    """After so long a session is renewed: clocks drift, and the cloud may have been set back while nothing went up."""
    resend_ms: int = 10_000
    """First wait for an acknowledgement; doubles up to `resend_ms_max`."""
    resend_ms_max: int = 60_000
    silence_ms_max: int = 90_000
    """With batches in flight and nothing heard for so long, open a new session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """What a hello says of the disk, by which the cloud knows it again."""

    journal_index: int
    journal_digest: bytes
    facts_held: bytes


@dataclass(slots=True)
class _InFlight:
    due_ms: int
    wait_ms: int


class Uplink:
    """Decides what is sent up, and when again."""

    def __init__(
        self,
        store: BatchStore,
        deliveries: Deliveries,
        *,
        settings: UplinkSettings,
        key: SigningKey,
        utility: str,
        software: str,
        boot: bytes,
        store_id: bytes,
        meters: tuple[str, ...],
        rng: "random.Random",
        fresh_bytes: IdSource,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._settings = settings
        self._key = key
        self._address = Address(utility, Direction.UP, Kind.HELLO, key.public.party)
        self._software = software
        self._boot = boot
        self._store_id = store_id
        self._meters = meters
        self._rng = rng
        self._fresh_bytes = fresh_bytes
        stored = store.value(_EPOCH)
        self._epoch = int(stored) if stored else 0
        self._hellos: dict[bytes, int] = {}
        """Nonces that a welcome may echo, with the ticks of their hellos."""
        self._hello_due_ms: int | None = None
        self._hello_wait_ms = settings.hello_retry_ms
        self._heard_at_ms = 0
        self._window = 0
        self._live_from = 0
        self._in_flight: dict[bytes, _InFlight] = {}
        self._pending_may_exist = True

    @property
    def is_open(self) -> bool:
        return self._window > 0

    def on_connected(self, *, disk: DiskState, now: Moment) -> Effects:
        """Open a session."""
        self.on_lost()
        self._deliveries.on_connected()
        return self._say_hello(disk, now)

    def on_lost(self) -> None:
        """Forget the session; the disk remembers what is pending."""
        self._window = 0
        self._in_flight.clear()
        self._hellos.clear()
        self._hello_due_ms = None
        self._hello_wait_ms = self._settings.hello_retry_ms

    @property
    def waits_for_room(self) -> bool:
        """Whether more may wait to be sent than the window lets out, so that each acknowledgement counts at once."""
        return self._pending_may_exist

    def answered_hello_tick_ms(self, welcome: Welcome) -> int | None:
        """Return when the hello that a welcome answers was sent, in ticks; None if it answers none of ours."""
        return self._hellos.get(welcome.nonce)

    def on_welcome(self, welcome: Welcome, *, now: Moment) -> Effects:
        """Begin to send; call it only for a welcome that answers our hello."""
        self._hellos.clear()
        self._hello_due_ms = now.mono_ms + self._jittered(self._settings.session_ms_max)
        self._hello_wait_ms = self._settings.hello_retry_ms
        self._heard_at_ms = now.mono_ms
        self._window = min(welcome.window, self._settings.window_max)
        self._live_from = self._store.next_serial()
        self._deliveries.on_welcome()
        self._pending_may_exist = True
        if welcome.epoch <= self._epoch:
            return ()
        asked_again = self._store.unmark_other_epochs([1, *(restore.epoch for restore in welcome.restores)])
        for restore in welcome.restores:
            asked_again += self._store.unmark_after_restore(epoch=restore.epoch, position=restore.position)
        self._epoch = welcome.epoch
        self._store.set_value(_EPOCH, str(self._epoch).encode())
        return (Note(event="cloud.epoch_raised", facts=(("epoch", self._epoch), ("batches_asked_again", asked_again))),)

    def on_ack(self, ack: Ack, *, now: Moment) -> Effects:
        """Let go of what the cloud's database holds."""
        self._heard_at_ms = now.mono_ms
        if ack.epoch < self._epoch:
            return (Note(event="ack.of_old_epoch", facts=(("epoch", ack.epoch),)),)
        if ack.epoch > self._epoch and self.is_open and not self._hellos:
            self._hello_due_ms = now.mono_ms
        for digest in ack.committed:
            self._in_flight.pop(digest, None)
            is_news = self._store.mark_committed(digest, epoch=ack.epoch, position=ack.position)
            self._deliveries.on_acknowledged(digest, now, is_news=is_news)
        notes: list[Effect] = []
        for item in ack.quarantined:
            self._in_flight.pop(item.digest, None)
            is_news = self._store.mark_quarantined(
                item.digest, reason=item.reason, epoch=ack.epoch, position=ack.position
            )
            self._deliveries.on_acknowledged(item.digest, now, is_news=is_news)
            if is_news:
                facts = (("reason", item.reason), ("digest", item.digest.hex()))
                notes.append(Note(event="batch.quarantined", facts=facts, is_warning=True))
        return tuple(notes)

    def on_sealed(self) -> None:
        """Learn that there may be something new to send."""
        self._pending_may_exist = True

    def pump(self, *, disk: DiskState, now: Moment) -> Effects:
        """Send what the window allows and what is due again."""
        if self._hello_due_ms is not None and now.mono_ms >= self._hello_due_ms:
            return self._say_hello(disk, now)
        if not self.is_open:
            return ()
        if self._in_flight and now.mono_ms - self._heard_at_ms >= self._settings.silence_ms_max:
            self._window = 0
            self._in_flight.clear()
            return (Note(event="cloud.silent"), *self._say_hello(disk, now))
        overdue = any(flight.due_ms <= now.mono_ms for flight in self._in_flight.values())
        room = self._window - len(self._in_flight)
        if not overdue and not (room > 0 and self._pending_may_exist):
            return ()
        return self._send(now)

    def next_deadline_ms(self) -> int | None:
        """Return when `pump` has something to do by itself, real ms."""
        deadlines = [flight.due_ms for flight in self._in_flight.values()]
        if deadlines:
            deadlines.append(self._heard_at_ms + self._settings.silence_ms_max)
        if self._hello_due_ms is not None:
            deadlines.append(self._hello_due_ms)
        return min(deadlines, default=None)

    def _send(self, now: Moment) -> Effects:
        batches = self._store.next_batches(live_from=self._live_from, count_max=self._window + len(self._in_flight))
        self._pending_may_exist = len(batches) == self._window + len(self._in_flight)
        effects: list[Effect] = []
        pending = {batch.digest for batch in batches}
        for digest in [digest for digest in self._in_flight if digest not in pending]:
            # Acknowledged, dropped, or pushed out by more urgent ones; the disk's list decides.
            del self._in_flight[digest]
        for batch in batches:
            flight = self._in_flight.get(batch.digest)
            if flight is None:
                if len(self._in_flight) >= self._window:
                    self._pending_may_exist = True
                    continue
                if not self._in_flight:
                    # Silence counts from the first thing that wanted an answer.
                    self._heard_at_ms = now.mono_ms
                self._in_flight[batch.digest] = self._flight(self._settings.resend_ms, now)
            elif flight.due_ms > now.mono_ms:
                continue
            else:
                longer_ms = min(flight.wait_ms * 2, self._settings.resend_ms_max)
                self._in_flight[batch.digest] = self._flight(longer_ms, now)
            self._deliveries.on_sent(batch, now)
            effects.append(
                SendBatch(lane=batch.priority.lane, digest=batch.digest, sealed=self._store.sealed(batch.digest))
            )
        return tuple(effects)

    def _flight(self, wait_ms: int, now: Moment) -> _InFlight:
        return _InFlight(now.mono_ms + self._jittered(wait_ms), wait_ms)

    def _jittered(self, wait_ms: int) -> int:
        return int(wait_ms * self._rng.uniform(0.75, 1.25))

    def _say_hello(self, disk: DiskState, now: Moment) -> Effects:
        nonce = self._fresh_bytes(16)
        self._hellos[nonce] = now.tick_ms
        if len(self._hellos) > HELLOS_REMEMBERED_MAX:
            del self._hellos[next(iter(self._hellos))]
        self._hello_due_ms = now.mono_ms + self._jittered(self._hello_wait_ms)
        self._hello_wait_ms = min(self._hello_wait_ms * 2, self._settings.hello_retry_ms_max)
        hello = Hello(
            nonce=nonce,
            software=self._software[: limits.SOFTWARE_CHARS_MAX],
            boot=self._boot,
            store=self._store_id,
            tick_ms=now.tick_ms,
            journal_index=disk.journal_index,
            journal_digest=disk.journal_digest,
            facts_held=disk.facts_held,
            epoch=self._epoch,
            meters=list(self._meters),
        )
        return (SendHello(sealed=seal_message(hello, self._address, self._key)),)
