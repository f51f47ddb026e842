"""What the cores ask the shell to do once their transaction is committed."""

from dataclasses import dataclass

from wire.topics import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHello:
    """Publish a hello."""

    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBatch:
    """Publish a batch; its acknowledgement comes from the cloud, not from the broker."""

    lane: Lane
    digest: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveRelay:
    """Bring a relay into a state and read it back, unless a newer sequence overtook this one by then."""

    meter: str
    closed: bool
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveRelay:
    """Read a relay that may have moved by itself, without driving it."""

    meter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandRead:
    """Read a meter now, for a command."""

    command: bytes
    meter: str
    channels: tuple[bytes, ...]
    """OBIS codes; none means all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignPolls:
    """Let capture slots begin at whole periods of UTC, now that it is known."""

    offset_ms: int
    """UTC less ticks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Write a line to the log: an event's name and its facts."""

    event: str
    facts: tuple[tuple[str, str | int], ...] = ()
    is_warning: bool = False
    """Somebody should look at it."""


Effect = SendHello | SendBatch | DriveRelay | ObserveRelay | DemandRead | AlignPolls | Note
Effects = tuple[Effect, ...]
