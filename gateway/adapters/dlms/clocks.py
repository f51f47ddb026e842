"""A meter's clock beside ours: read as closely as the line admits, and set.

Decides how an answer's time on the way is allowed for; whether the clock is to be set, others decide.
"""

from dataclasses import dataclass

from dlms.apdu.results import DataAccessResult
from dlms.axdr.data import date_time
from dlms.cosem.clock import Clock as ClockObject
from dlms.errors import AccessRefusedError, DecodeError
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning
from wire.runtime.clock import Clock

HALF_SECOND_MS = 500
"""What a clock that shows whole seconds has passed of the next one, on average."""


@dataclass(frozen=True, slots=True)
class ClockSight:
    """Two clocks at one moment, UTC in milliseconds."""

    meter_ms: int
    now_ms: int
    """What ours showed."""
    trip_ms: int
    """How long question and answer took, by our ticks."""

    @property
    def offset_ms(self) -> int:
        """By how much the meter's is ahead."""
        return self.meter_ms - self.now_ms


async def compare_clock(talk: Conversation, learning: Learning, clock: Clock, utc_less_tick_ms: int) -> ClockSight:
    """Read a meter's clock.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses, broke off, or shows no time.
    """
    before_ms = clock.tick_ms()
    shown = await talk.get(ClockObject(talk.meter.profile.objects.clock).time)
    after_ms = clock.tick_ms()
    time = await learning.see_clock(talk, shown)
    meter_ms = time.ms(shown)
    if meter_ms is None:
        raise DecodeError(f"the meter's clock shows {shown}, which is no time")
    if shown.time.hundredths is None:
        meter_ms += HALF_SECOND_MS
    return ClockSight(meter_ms, (before_ms + after_ms) // 2 + utc_less_tick_ms, after_ms - before_ms)


async def set_clock(
    talk: Conversation, learning: Learning, clock: Clock, utc_less_tick_ms: int, *, trip_ms: int
) -> ClockSight:
    """Set a meter's clock to ours, and return what it shows then.

    Args:
        talk: With the meter, in a role that may.
        learning: How it writes time.
        clock: Ours.
        utc_less_tick_ms: Best UTC is its tick plus this.
        trip_ms: How long question and answer take, half of which is added.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses or broke off.
    """
    time = await learning.time(talk)
    attribute = ClockObject(talk.meter.profile.objects.clock).time
    try:
        await talk.set(attribute, time.moment(clock.tick_ms() + utc_less_tick_ms + trip_ms // 2))
    except AccessRefusedError as refusal:
        if refusal.result != DataAccessResult.TYPE_UNMATCHED:
            raise
        # Few meters want the type date-time instead of an octet-string.
        moment = time.moment(clock.tick_ms() + utc_less_tick_ms + trip_ms // 2)
        await talk.set(attribute, date_time(moment.encoded))
    return await compare_clock(talk, learning, clock, utc_less_tick_ms)
