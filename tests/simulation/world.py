"""One world: its parts put together from a seed, its troubles planned, run until it comes to rest, and judged."""

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.simulation.agenda import Agenda
from tests.simulation.box import Box
from tests.simulation.checks import violations
from tests.simulation.cloud_side import Cloud
from tests.simulation.network import Network, Traffic
from tests.simulation.options import HOUR_MS, MINUTE_MS, Options
from tests.simulation.parties import TREE, gateway_names
from tests.simulation.people import People
from tests.simulation.site import Site

REST_MS_MAX = 2 * HOUR_MS
"""How long a world may take to come to rest once nothing fails any more."""
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is made of; tests that plant a fault put their own in."""

    box: type[Box] = Box
    cloud: type[Cloud] = Cloud


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a world."""

    options: Options
    violations: list[str]
    items: int
    commands: int
    traffic: Traffic
    rested_after_ms: int

    def __str__(self) -> str:
        lines = "\n".join(f"  {line}" for line in self.violations)
        return (
            f"world {self.options.seed} does not hold; replay it with: make sim SEED={self.options.seed}\n{lines}\n"
            f"  {self.options}"
        )


class World:
    """A world before and while it runs."""

    def __init__(self, options: Options, folder: Path, parts: Parts) -> None:
        self.options = options
        self.agenda = Agenda()
        self.network = Network(self.agenda, options, TREE)
        self.cloud = parts.cloud(self.agenda, self.network, options, folder)
        self.boxes = [
            parts.box(self.agenda, self.network, Site(self.agenda, options, name), options, name=name, folder=folder)
            for name in gateway_names(options.gateways)
        ]
        meters = {box.name: list(box.site.houses) for box in self.boxes}
        self.people = People(self.agenda, self.network, self.cloud, options, meters)
        self._rng = random.Random(f"world {options.seed}")

    def run(self) -> Outcome:
        """Let it happen."""
        self.people.settle()
        self.cloud.wake()
        for box in self.boxes:
            self.agenda.at(self._rng.randrange(self.options.duration_ms // 10), box.start)
        self._plan_work()
        self._plan_trouble()
        self.agenda.run_until(self.options.duration_ms)
        rested_after_ms = self._come_to_rest()
        found = [] if rested_after_ms is not None else [f"no rest after {REST_MS_MAX} ms: {self._unrest()}"]
        found += violations(self.boxes, self.cloud, self.network)
        (commands,) = self.cloud.looking.execute("SELECT count(*) FROM command").fetchone()
        items = sum(len(box.truth.sure) for box in self.boxes)
        return Outcome(self.options, found, items, commands, self.network.traffic, rested_after_ms or REST_MS_MAX)

    def close(self) -> None:
        """Let go of all files."""
        self.cloud.close()
        for box in self.boxes:
            box.close()

    # ---- plans -------------------------------------------------------------------------------------------------------

    def _plan_work(self) -> None:
        options, rng = self.options, self._rng
        for box in self.boxes:
            for meter in box.site.houses:
                for number in range(options.polls):
                    start_ms = number * options.duration_ms // options.polls
                    self.agenda.at(start_ms + rng.randrange(5_000), partial(box.poll, meter))
            self._sometime(rng.randint(0, 3), box.report_health)
        self._sometime(options.requests, self.people.ask)
        self._sometime(options.payments, self.people.pay)
        # Drawn apart, so that what else happens in a world does not hang on it.
        closing_rng = random.Random(f"closings {options.seed}")
        for _ in range(options.closings):
            self.agenda.at(closing_rng.randrange(options.duration_ms), self.cloud.close_accounts)

    def _plan_trouble(self) -> None:
        options, rng, network = self.options, self._rng, self.network
        for box in self.boxes:
            self._sometime(options.crashes, box.crash_soon)
            self._sometime(options.clock_steps, box.step_clock)
            self._sometime(options.relay_resets, box.site.reset_relay)
        for _ in range(options.set_backs):
            self._plan_set_back(rng.choice(self.boxes))
        self._sometime(options.partitions, self._partition)
        self._sometime(options.replays, network.send_again)
        self._sometime(options.strangers, lambda: network.invent(rng.randbytes(rng.randint(0, 400))))
        self._sometime(options.cloud_crashes, self.cloud.crash_soon)
        self._sometime(options.cloud_clock_steps, self.cloud.step_clock)
        for _ in range(options.cloud_set_backs):
            taken_ms = rng.randrange(options.duration_ms)
            self.agenda.at(taken_ms, self._back_up_cloud(rng.randint(taken_ms, options.duration_ms)))

    def _sometime(self, count: int, act: Callable[[], None]) -> None:
        for _ in range(count):
            self.agenda.at(self._rng.randrange(self.options.duration_ms), act)

    def _partition(self) -> None:
        rng = self._rng
        until_ms = self.agenda.now_ms + rng.randrange(self.options.duration_ms // 3)
        box = rng.choice(self.boxes)
        self.network.cut(rng.choice(["cloud", f"g/{box.name}"]), until_ms)
        if rng.random() < 0.6:
            self.agenda.after(rng.randint(100, 30_000), box.lose_connection)

    def _plan_set_back(self, box: Box) -> None:
        taken_ms = self._rng.randrange(self.options.duration_ms)
        set_back_ms = self._rng.randint(taken_ms, self.options.duration_ms)

        def copy() -> None:
            if not box.disk.path.exists():
                return
            image, truth = box.copy()
            self.agenda.at(set_back_ms, lambda: box.set_back(image, truth))

        self.agenda.at(taken_ms, copy)

    def _back_up_cloud(self, set_back_ms: int) -> Callable[[], None]:
        def copy() -> None:
            image = self.cloud.copy()
            self.agenda.at(set_back_ms, lambda: self.cloud.set_back(image))

        return copy

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> int | None:
        """Let nothing fail any more and return how long it took until nothing was left to do."""
        began_ms = self.agenda.now_ms
        self.network.calm = True
        self.cloud.calm_down()
        for box in self.boxes:
            box.calm_down()
            for number, meter in enumerate(box.site.houses):
                self.agenda.after(10_000 + number, partial(box.poll, meter))
                self.agenda.after(5 * MINUTE_MS + number, partial(box.poll, meter))
        if self.options.closings:
            self.agenda.after(7 * MINUTE_MS, self.cloud.close_accounts)
        slice_ms = 6 * MINUTE_MS
        while self.agenda.now_ms < began_ms + REST_MS_MAX + self.options.duration_ms // 4:
            self.agenda.run_until(self.agenda.now_ms + slice_ms)
            if not self._unrest():
                return self.agenda.now_ms - began_ms
        return None

    def _unrest(self) -> list[str]:
        """Return what is still under way."""
        found = []
        for box in self.boxes:
            if box.station is None:
                found.append(f"{box.name} is off")
                continue
            found += [f"{box.name} has {box.store.unsent()} unsent"] if box.store.unsent() else []
            found += [f"{box.name} has open commands"] if box.station.journal._open else []
            for meter, house in box.site.houses.items():
                if house.relay_closed != box.station.relays.wants_closed(meter):
                    found.append(f"the relay of {meter} is not as it should be")
        for what, query in (
            ("commands due", "SELECT count(*) FROM command WHERE due_at_ms IS NOT NULL"),
            ("facts not held", "SELECT count(*) FROM down_fact WHERE held_at_ms IS NULL"),
            ("statuses to tell", "SELECT count(*) FROM status_outbox"),
        ):
            (count,) = self.cloud.looking.execute(query).fetchone()
            found += [f"{count} {what}"] if count else []
        return found


def run_world(options: Options, parts: Parts | None = None) -> Outcome:
    """Run one world in files of its own, in memory where the machine offers that."""
    base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="wattpost-world-", dir=base))
    world: World | None = None
    try:
        world = World(options, folder, parts or Parts())
        return world.run()
    finally:
        if world is not None:
            world.close()
        shutil.rmtree(folder)
