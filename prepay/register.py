"""Which register points are believed, and what energy lies between them.

Points of one installation are read in the order of their time. A point is believed when a rule explains it:

- forward: the register rose by no more than the rated power allows in that time;
- roll-over: it fell, and counted past its known modulus it rose by no more than that.

A point that no rule explains from the last believed point is quarantined and becomes the candidate. The next point is
believed if it follows from the last believed point (the candidate was a wrong reading) or from the candidate (the
register really moved: a meter replaced or reset); if both explain it, the smaller energy counts. So a step that cannot
be is never charged, whatever comes later, and one wrong value or a new register costs no more than its own step. What
a point was charged depends on earlier points only. After a statement an installation goes on from the register that the
statement carries.
"""

from enum import IntEnum
from typing import NamedTuple

from prepay.entries import Assignment, CarriedInstallation, RegisterPoint, Release

TIME_TOLERANCE_MS = 60_000
"""How far two reading times may be off together: sampling, transport on the bus, a clock being set."""
_WATT_MS_PER_WH = 3_600_000


class Fault(IntEnum):
    """Why an entry is in quarantine."""

    CONFLICT = 1
    """Another value under the same natural key counts."""
    UNASSIGNED = 2
    """A register point of an installation that is not assigned to the account (yet)."""
    OUTSIDE = 3
    """A register point from before its assignment, or from after its release."""
    BACKWARDS = 4
    """The register fell and no roll-over explains it."""
    IMPLAUSIBLE = 5
    """The register rose by more than the rated power allows."""
    FOREIGN_TARIFF = 6
    """A tariff of another scope."""
    TARIFF_FORK = 7
    """Two tariffs of one scope name the same predecessor."""


class Mark(NamedTuple):
    """A register at an instant; marks sort by time, then register."""

    taken_at_ms: int
    energy_wh: int
    key: bytes
    """Boot id and tick; empty for the opening and the closing of an installation, and what a statement carries."""
    digest: bytes
    """Of the entry it comes from; empty for an opening and what a statement carries."""


class Line(NamedTuple):
    """How far an installation's register has been followed."""

    believed: Mark
    candidate: Mark | None


class Verdict(NamedTuple):
    """What became of one mark."""

    energy_wh: int
    """Charged for the step that ends here."""
    fault: Fault | None
    step_wh: int
    """For a fault of the register: how far it moved from the last believed point."""
    believed: Mark
    candidate: Mark | None

    @property
    def line(self) -> Line:
        """How far the installation has been followed with this mark."""
        return Line(self.believed, self.candidate)


_NOWHERE = Mark(0, 0, b"", b"")


def point_key(point: RegisterPoint) -> bytes:
    """Return what tells the points of an installation apart."""
    return point.boot_id + point.tick_ms.to_bytes(8, "big")


def point_mark(point: RegisterPoint, digest: bytes) -> Mark:
    """Return the mark of a register point."""
    return Mark(point.taken_at_ms, point.energy_wh, point_key(point), digest)


def closing_mark(release: Release, digest: bytes) -> Mark:
    """Return the mark with which an installation ends."""
    return Mark(release.until_ms, release.closing_wh, b"", digest)


def line_start(assignment: Assignment | None, carried: CarriedInstallation | None = None) -> Line:
    """Return the line before the first mark of an installation, or the first after a statement."""
    if carried is not None:
        candidate = Mark(*carried.candidate, b"", b"") if carried.candidate is not None else None
        return Line(Mark(*carried.believed, b"", b""), candidate)
    if assignment is None:
        return Line(_NOWHERE, None)
    return Line(Mark(assignment.from_ms, assignment.opening_wh, b"", b""), None)


def follow(assignment: Assignment | None, release: Release | None, line: Line, mark: Mark) -> Verdict:
    """Judge the next mark of an installation."""
    if assignment is None:
        return Verdict(0, Fault.UNASSIGNED, 0, *line)
    released = release is not None and mark.key != b"" and mark.taken_at_ms >= release.until_ms
    if released or mark.taken_at_ms < assignment.from_ms:
        return Verdict(0, Fault.OUTSIDE, 0, *line)
    energies = [step_wh(assignment, line.believed, mark)]
    if line.candidate is not None:
        energies.append(step_wh(assignment, line.candidate, mark))
    explained = [energy for energy in energies if energy is not None]
    if explained:
        return Verdict(min(explained), None, 0, mark, None)
    moved_wh = mark.energy_wh - line.believed.energy_wh
    fault = Fault.BACKWARDS if moved_wh < 0 else Fault.IMPLAUSIBLE
    return Verdict(0, fault, moved_wh, line.believed, mark)


def step_wh(assignment: Assignment, start: Mark, end: Mark) -> int | None:
    """Return the energy between two marks, or None if no rule explains the step."""
    duration_ms = end.taken_at_ms - start.taken_at_ms + TIME_TOLERANCE_MS
    allowed_wh = assignment.rated_power_w * duration_ms // _WATT_MS_PER_WH + assignment.register_step_wh
    moved_wh = end.energy_wh - start.energy_wh
    if moved_wh < 0 and assignment.register_modulus_wh > 0:
        moved_wh += assignment.register_modulus_wh
    return moved_wh if 0 <= moved_wh <= allowed_wh else None
