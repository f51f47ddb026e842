"""A machine that runs a gateway: its disk, its clocks, and the power that can go anywhere."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from gateway.core.moment import Moment
from gateway.core.station import Station
from tests.simulation.agenda import ORIGIN_MS, Agenda
from tests.simulation.disk import Disk, Image
from tests.simulation.options import HOUR_MS, Options
from tests.simulation.site import Site
from tests.simulation.truth import RecordingStore, Truth, random_cut

YEAR_MS = 365 * 24 * HOUR_MS


class Cut(Enum):
    """Where in the next transaction the power goes."""

    BEFORE = 0
    WITHIN = 1
    COMMITTING = 2
    COMMITTED = 3
    PERFORMING = 4


class Machine(ABC):
    """Hardware; what runs on it is `Box`."""

    store_class = RecordingStore
    disk_class = Disk

    def __init__(self, agenda: Agenda, site: Site, options: Options, *, name: str, folder: Path) -> None:
        self.name = name
        self.site = site
        self.truth = Truth()
        self.disk = self.disk_class(folder, name)
        self.station: Station | None = None
        self.cuts: dict[int, tuple[Cut, int]] = {}
        """Planned ends: by number of the transaction, where in it, and before which write or effect."""
        self._agenda = agenda
        self._options = options
        self._rng = random.Random(f"box {options.seed} {name}")
        self._store: RecordingStore | None = None
        self._run = 0
        """Counts the starts; what an earlier run had under way is nobody's."""
        self._booted_at_ms = 0
        self._wall_offset_ms = 0
        self._cut: Cut | None = None

    @property
    def store(self) -> RecordingStore:
        assert self._store is not None, "the machine runs"
        return self._store

    @property
    def is_on(self) -> bool:
        return self._store is not None

    def moment(self) -> Moment:
        """Return what its clocks show."""
        up_ms = self._agenda.now_ms - self._booted_at_ms
        return Moment(up_ms, up_ms, ORIGIN_MS + self._agenda.now_ms + self._wall_offset_ms)

    def start(self) -> None:
        """Switch on."""
        if self.is_on:
            return
        self._run += 1
        self._booted_at_ms = self._agenda.now_ms
        self._wall_offset_ms = self._drawn_offset_ms()
        self._store = self.store_class(self.disk.path, self.truth)
        self._boot()

    def crash_soon(self) -> None:
        """Lose power in one of the next transactions, wherever it hurts."""
        self._cut = self._rng.choice(list(Cut))
        if self.is_on and self._cut is Cut.WITHIN:
            self.store.cut_at_step = random_cut(self._rng)

    def set_back(self, image: Image, truth: Truth) -> None:
        """Come up with an earlier copy of the disk."""
        self._stop()
        self.disk.set_back(image)
        self.truth.set_back(truth)
        self._guarded(self._rng.randint(100, 5_000), self.start)

    def copy(self) -> tuple[Image, Truth]:
        """Return a copy of the disk, for later, with what is known of it."""
        return self.disk.image(), self.truth.copy()

    def step_clock(self) -> None:
        """Somebody sets the machine's clock."""
        self._wall_offset_ms = self._drawn_offset_ms()

    def close(self) -> None:
        """Let go of the files."""
        self._stop()

    def _drawn_offset_ms(self) -> int:
        if not self._options.wrong_clock or self.site.calm:
            return self._rng.randint(-2_000, 2_000)
        return self._rng.choice([-ORIGIN_MS, -8 * YEAR_MS, -HOUR_MS, 0, HOUR_MS, 3 * YEAR_MS])

    def _die(self, *, within_commit: bool = False) -> None:
        """The power went."""
        self.disk.lose_power(rng=self._rng, torn=self._options.torn, within_commit=within_commit)
        self._stop()
        self._guarded(self._rng.choice([50, 1_000, self._options.duration_ms // 20]), self.start)

    def _stop(self) -> None:
        if self._store is not None:
            self._store.close()
        self._store = None
        self.station = None
        self._cut = None
        self._run += 1

    def _guarded(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something later, if the machine has not been off since."""
        run = self._run

        def acting() -> None:
            if self._run == run:
                act()

        self._agenda.after(delay_ms, acting)

    @abstractmethod
    def _boot(self) -> None:
        """Start the program."""
