"""What a process counts of itself while it works; somebody else asks now and then and writes it down."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Timing:
    """How long something took, each time, since somebody last asked."""

    total_count: int = 0
    """How often, since the start."""
    _count: int = 0
    _spent_ms: float = 0.0
    _longest_ms: float = 0.0

    def add(self, spent_ms: float) -> None:
        """Count one."""
        self.total_count += 1
        self._count += 1
        self._spent_ms += spent_ms
        self._longest_ms = max(self._longest_ms, spent_ms)

    def take(self) -> tuple[float | None, float | None]:
        """Return mean and maximum in ms, None where there was nothing, and begin anew."""
        if not self._count:
            return None, None
        taken = self._spent_ms / self._count, self._longest_ms
        self._count, self._spent_ms, self._longest_ms = 0, 0.0, 0.0
        return taken


@dataclass(slots=True)
class Tally:
    """The counts of one process, since its start."""

    messages_count: int = 0
    batches_count: int = 0
    repeats_count: int = 0
    refused_count: int = 0
    lines_count: int = 0
    lines_dropped_count: int = 0
    writes_failed_count: int = 0
    failures_count: int = 0
    """Errors of the program that it withstood."""
    commits: Timing = field(default_factory=Timing)
    writes: Timing = field(default_factory=Timing)
