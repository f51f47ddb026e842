"""One world: a client, its meters and the line between them, for a while bad and then good.

Rules that hold at every moment:

* A conversation ends, within bounded virtual time, in exactly the right value or in a typed `DlmsError`.
* No request is carried out twice, and none that nobody made.
* No invocation counter is used twice with a key, through crashes and power failures of either side.
* Once the line is good again, every meter can be read, after one more failure at most.
"""

import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from dlms.errors import DlmsError
from tests.simulation.dlms import errands
from tests.simulation.dlms.errands import Errand, Work, run_errand
from tests.simulation.dlms.line import Line, Steps
from tests.simulation.dlms.meters import Station
from tests.simulation.dlms.options import RESPONSE_TIMEOUT_MS, Medium, Options
from tests.simulation.dlms.reader import CrashedError, Reader

CALM_SESSIONS_MAX = 2
CALM_PAUSE_MS = 130_000
"""For what is still on its way, for meters that are off, and for sessions of which the other side knows nothing."""
FAULTS_WITHIN_MS = 20_000
AGAIN_AFTER_MS_MAX = 3_000


@dataclass(slots=True)
class Outcome:
    """What became of a world."""

    options: Options
    violations: list[str] = field(default_factory=list)
    right: int = 0
    """Errands that ended in what they should."""
    errors: Counter[str] = field(default_factory=Counter)
    """Typed errors by their types."""
    seconds: float = 0.0
    """Virtual."""

    def __str__(self) -> str:
        lines = [f"world {self.options.seed}: {self.options}", *(f"  {line}" for line in self.violations)]
        return "\n".join([*lines, f"  replay: python -m tests.simulation.dlms.replay {self.options.seed}"])


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is made of; other classes plant faults."""

    reader: type[Reader] = Reader
    station: type[Station] = Station


PARTS = Parts()


class World:
    """The parts of one world, joined."""

    def __init__(self, options: Options, parts: Parts) -> None:
        self.options = options
        self.agenda = Steps()
        self.line = Line(self.agenda, options)
        self.rng = random.Random(f"world {options.seed}")
        self.outcome = Outcome(options)
        self.stations = [parts.station(number, self.agenda, options) for number in range(options.meters)]
        self.works: list[Work] = []
        for number, station in enumerate(self.stations):
            reader = parts.reader(station, self.agenda, options, partial(self._up, number))
            self.works.append(Work(reader, self.agenda, random.Random(f"work {number} {options.seed}")))
        self._plan_faults()

    # ---- who hears what ----------------------------------------------------------------------------------------------

    def _up(self, at: int, data: bytes) -> None:
        reader = self.works[at].reader
        connection = reader.connection
        if self.options.medium is Medium.BUS:
            self.line.carry(data, "up", self._to_stations)
            return
        station = reader.station

        def arrive(piece: bytes) -> None:
            station.hear(piece, partial(self._down, at, connection), connection)

        self.line.carry(data, ("up", connection), self._while_connected(at, connection, arrive))

    def _to_stations(self, data: bytes) -> None:
        for number, station in enumerate(self.stations):
            station.hear(data, partial(self._from_station, number))

    def _from_station(self, number: int, data: bytes) -> None:
        """Let the client hear a station, and all other stations, too."""

        def arrive(piece: bytes) -> None:
            for other, station in enumerate(self.stations):
                if other != number:
                    station.hear(piece, partial(self._from_station, other))
            for work in self.works:
                work.reader.hear(piece)

        self.line.carry(data, "down", arrive)

    def _down(self, at: int, connection: int, data: bytes) -> None:
        reader = self.works[at].reader
        arrive = self._while_connected(at, connection, lambda piece: reader.hear(piece, connection))
        self.line.carry(data, ("down", connection), arrive)

    def _while_connected(self, at: int, connection: int, arrive: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Drop what comes over a stream that is gone."""
        if self.options.medium is not Medium.STREAM:
            return arrive
        reader = self.works[at].reader

        def arrive_if_connected(piece: bytes) -> None:
            if reader.connection == connection and not reader.is_broken:
                arrive(piece)

        return arrive_if_connected

    # ---- faults ------------------------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        options, rng = self.options, self.rng
        for _ in range(options.reboots):
            self.agenda.at(rng.randrange(FAULTS_WITHIN_MS), self._reboot)
        for _ in range(options.crashes):
            self.agenda.at(rng.randrange(FAULTS_WITHIN_MS), self._crash)
        for _ in range(options.breaks):
            self.agenda.at(rng.randrange(FAULTS_WITHIN_MS), self._break)

    def _reboot(self) -> None:
        if self.line.is_calm:
            return
        station = self.rng.choice(self.stations)
        station.fail(self.rng.randint(1, self.options.off_ms_max))
        if self.options.medium is Medium.STREAM:
            self._break()

    def _crash(self) -> None:
        if not self.line.is_calm:
            for work in self.works:
                work.reader.is_crashing = True

    def _break(self) -> None:
        if not self.line.is_calm:
            for work in self.works:
                work.reader.is_broken = True
                work.reader.station.forget(work.reader.connection)

    # ---- the run -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Let the client do its errands on the bad line, then on a good one."""
        try:
            self._bad_times()
            self._good_times()
            for work in self.works:
                self._check_counts(work)
        except AssertionError as violation:
            self._violated(str(violation).split("\n")[0], violation)
        except Exception as escaped:  # noqa: BLE001 - whatever escapes is what the world was made to find
            self._violated(f"{type(escaped).__name__} escaped: {escaped}", escaped)
        self.outcome.seconds = self.agenda.now_ms / 1_000
        return self.outcome

    def _violated(self, what: str, error: BaseException) -> None:
        places = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        self.outcome.violations.append(f"{what} (at {self.agenda.now_ms} ms, {' < '.join(places[-4:][::-1])})")

    def _bad_times(self) -> None:
        """Do the errands of all meters in turn, one conversation on the line at a time."""
        choices = errands.ALL if self.options.is_exact else errands.IDEMPOTENT
        waiting = [(work, self.rng.choice(choices)) for work in self.works for _ in range(self.options.errands)]
        self.rng.shuffle(waiting)
        for work, errand in waiting:
            for _ in range(self.options.attempts):
                if self._try(work, errand):
                    break
                self.agenda.run_until(self.agenda.now_ms + self.rng.randint(0, AGAIN_AFTER_MS_MAX))
        for work in self.works:
            self._quietly(work.reader.close)

    def _try(self, work: Work, errand: Errand) -> bool:
        """Do an errand in the session that is there or a new one; say whether it succeeded."""
        reader = work.reader
        try:
            run_errand(errand, work, reader.association or reader.open())
        except DlmsError as error:
            self.outcome.errors[type(error).__name__] += 1
            self._quietly(reader.close)
            return False
        except CrashedError:
            self._come_back()
            return False
        self.outcome.right += 1
        return True

    def _quietly(self, act: Callable[[], None]) -> None:
        try:
            act()
        except CrashedError:
            self._come_back()

    def _come_back(self) -> None:
        """Start the client again; that takes it longer than any answer is on its way."""
        for work in self.works:
            work.reader.restart()
        self.agenda.run_until(self.agenda.now_ms + 2 * RESPONSE_TIMEOUT_MS + 2 * self.options.late_ms_max)
        for work in self.works:
            work.reader.is_crashing = False

    def _good_times(self) -> None:
        """Read every meter over a line that is good again."""
        self.line.is_calm = True
        if any(work.reader.is_crashing for work in self.works):
            self._come_back()
        self.agenda.run_until(self.agenda.now_ms + CALM_PAUSE_MS)
        for work in self.works:
            problems: list[DlmsError] = []
            while not self._reads_well(work, problems):
                assert len(problems) < CALM_SESSIONS_MAX, f"a good line, and still {problems}"

    def _reads_well(self, work: Work, problems: list[DlmsError]) -> bool:
        choices = errands.ALL if self.options.is_exact else errands.IDEMPOTENT
        try:
            association = work.reader.open()
            for errand in (errands.read_day, self.rng.choice(choices)):
                run_errand(errand, work, association)
            work.reader.run(association.close())
        except DlmsError as error:
            problems.append(error)
            work.reader.close()
            return False
        self.outcome.right += 2
        return True

    def _check_counts(self, work: Work) -> None:
        """Nothing was done twice, and nothing that was not asked for."""
        done = Counter(work.meter.invoked)
        for method, count in done.items():
            assert count <= work.tried[method] or not self.options.is_exact, f"{method} was carried out {count} times"
            assert work.tried[method], f"{method} was carried out, and nobody had asked for it"
        for method, count in work.succeeded.items():
            assert done[method] >= count, f"{method} was reported {count} times and carried out {done[method]} times"
        notes = Counter(note for note in work.meter.written if isinstance(note, bytes))
        assert set(notes) <= set(work.notes_tried), "a note stands there that nobody wrote"
        most = max(notes.values(), default=0)
        assert most <= 1 or not self.options.is_exact, "a note was written twice"


def run_world(options: Options, parts: Parts = PARTS) -> Outcome:
    """Run the world of some options."""
    return World(options, parts).run()
