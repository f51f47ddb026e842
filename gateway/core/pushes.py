"""What meters push: the status word becomes events, present values a reading, the sender's counter stays on the disk.

The adapter has found out whose push it is and that its protection holds. Values are taken only if they are newer than
those taken before and not old: what is stored and played again later is no reading of now. Credit follows registers
that were asked for, never pushed ones.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from gateway.core.acquisition import ClockSeen, Pushed, RecordEvent, StatusSeen
from gateway.core.collection import Collector
from gateway.core.dlms_profiles import DlmsProfile
from gateway.core.effects import Effects, Note
from gateway.core.moment import Moment
from gateway.core.progress import Heard, Progress
from gateway.core.status_word import StatusWords, is_overtaken, meter_now_s
from gateway.core.timekeeping import Timekeeper
from wire.readings import Row

VALUES_AGE_S_MAX = 900
"""Values that are older when they come are left to the meter's profiles."""


class Sender(NamedTuple):
    """What is known of who sends for a meter."""

    title: bytes
    """System title that its keys proved; empty for none yet."""
    key: bytes
    """Names the key that proved it."""
    counter: int
    """Highest invocation counter under that title and key, -1 for none."""
    serial: str
    """Serial number, as visits brought it."""


class Pushes:
    """Takes pushes of known meters.

    Args:
        progress: What was taken.
        makes: The make of each meter.
        collector: Where readings and events go.
        time: For UTC.
        has_relay: Tells whether we drive a meter's relay.
        boot: Of this run.
    """

    def __init__(
        self,
        progress: Progress,
        makes: Mapping[str, DlmsProfile],
        collector: Collector,
        time: Timekeeper,
        *,
        has_relay: Callable[[str], bool],
        boot: bytes,
    ) -> None:
        self._progress = progress
        self._makes = makes
        self._collector = collector
        self._time = time
        self._status = StatusWords(
            progress, makes=makes, collector=collector, time=time, has_relay=has_relay, boot=boot
        )

    def senders(self, meters: Iterable[str]) -> dict[str, Sender]:
        """Return by what the pushes of meters are told from others'."""
        return {meter: self._sender(meter) for meter in meters}

    def _sender(self, meter: str) -> Sender:
        heard = self._progress.heard(meter)
        return Sender(heard.title, heard.key, heard.counter, self._progress.instrument(meter).serial)

    def on_pushed(self, event: Pushed, now: Moment) -> Effects:
        """Take a push."""
        if event.title:
            self._believe(event)
        notes = self._take_values(event, now) if event.samples else ()
        if event.word is None:
            return notes
        seen = StatusSeen(meter_id=event.meter_id, tick_ms=event.tick_ms, word=event.word, at_s=event.at_s)
        return (*notes, *self.on_status(seen, now))

    def on_status(self, event: StatusSeen, now: Moment) -> Effects:
        """Take a status word, pushed or read."""
        return self._status.on_seen(event, now)

    def on_record(self, event: RecordEvent) -> None:
        """Forget how late it was by a meter's clock if that was set."""
        if not isinstance(event, ClockSeen) or not event.was_set:
            return
        self._status.on_clock_set(event.meter_id)
        heard = self._progress.heard(event.meter_id)
        if heard.values_s >= 0:
            self._progress.set_heard(event.meter_id, msgspec.structs.replace(heard, values_s=-1))

    def _believe(self, event: Pushed) -> None:
        heard = self._progress.heard(event.meter_id)
        is_known = (event.title, event.key) == (heard.title, heard.key)
        if not is_known or event.counter > heard.counter:
            known = Heard(title=event.title, key=event.key, counter=event.counter, values_s=heard.values_s)
            self._progress.set_heard(event.meter_id, known)

    def _take_values(self, event: Pushed, now: Moment) -> Effects:
        heard = self._progress.heard(event.meter_id)
        age_s = 0
        if event.at_s is not None:
            now_s = meter_now_s(self._progress, self._time, event.meter_id, now)
            if event.at_s == heard.values_s or is_overtaken(event.at_s, heard.values_s, now_s):
                return ()
            age_s = max(now_s - event.at_s, 0) if now_s is not None else 0
        tick_ms = event.tick_ms - 1_000 * age_s
        if age_s > VALUES_AGE_S_MAX or tick_ms < 0:
            return (_note("push.too_old", event.meter_id, age_s=age_s),)
        if event.at_s is not None:
            self._progress.set_heard(event.meter_id, msgspec.structs.replace(heard, values_s=event.at_s))
        row = _row(event, tick_ms, width=len(self._makes[event.meter_id].channels))
        if not self._collector.add_rows(self._makes[event.meter_id].wire_channels(), [row]):
            return (_note("rows.not_taken", event.meter_id, rows=1),)
        return ()


def _row(event: Pushed, tick_ms: int, *, width: int) -> Row:
    values: list[int | None] = [None] * width
    for sample in event.samples:
        values[sample.channel] = sample.value
    qualities = [
        (sample.channel, sample.quality)
        for sample in event.samples
        if sample.quality is not None and sample.value is not None
    ]
    return Row(event.meter_id, tick_ms, values, qualities)


def _note(event: str, meter: str, **facts: str | int) -> Note:
    return Note(event=event, facts=(("meter", meter), *facts.items()))
