"""The time an event is handled at, as the shell read it from its clock: three readings, since they fail differently."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant, read once and used for all that follows from an event."""

    mono_ms: int
    """Real milliseconds that never go back: timers and time-outs."""
    tick_ms: int
    """Site milliseconds since boot that never go back: stamps."""
    wall_ms: int
    """What the machine's clock says, Unix ms; may be wrong."""
