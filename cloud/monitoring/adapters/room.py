"""The room of monitoring: everything that writes to InfluxDB, side by side, each by a cursor of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

from cloud.config import Config, Influx
from cloud.database import Database
from cloud.following import keep_following
from cloud.monitoring.adapters.aggregates import Aggregator
from cloud.monitoring.adapters.delivery import CountedWriter, Outlet
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.feeder import Feeder
from cloud.monitoring.adapters.influx import open_writer
from cloud.monitoring.adapters.samples import SampleFollower
from cloud.monitoring.adapters.survey import Scope
from cloud.monitoring.adapters.surveying import Surveyor
from cloud.monitoring.adapters.surveys import ALL
from cloud.monitoring.adapters.targets import load_targets
from cloud.monitoring.ports import LineWriter
from cloud.tally import Tally
from wire.runtime.clock import Clock

Step = Callable[[], Awaitable[bool]]


class MonitoringRoom:
    """The parts of the room.

    Args:
        database: Where everything comes from.
        writer: Where it goes.
        scope: Whom it is about.
        clock: Site time.
        failures: Withstands errors of this program.
    """

    def __init__(
        self,
        database: Database,
        writer: LineWriter,
        scope: Scope,
        *,
        clock: Clock,
        failures: Failures | None = None,
    ) -> None:
        self.failures = failures or Failures(Tally())
        feeder = Feeder(database, writer, meters=scope.meters, failures=self.failures)
        aggregator = Aggregator(database, writer, meters=scope.meters, clock=clock, failures=self.failures)
        samples = SampleFollower(database, Outlet(writer, source="samples"), failures=self.failures)
        send = Outlet(writer, source="surveys").send
        surveyors = {
            f"survey {survey.name}": Surveyor(
                database, scope, survey, deliver=send, clock=clock, failures=self.failures
            ).step
            for survey in ALL
        }
        self._steps: dict[str, Step] = {
            "monitoring": feeder.step,
            "aggregates": aggregator.step,
            **surveyors,
            "samples": samples.step,
        }
        self._notices = {name: asyncio.Event() for name in self._steps}

    def on_projected(self) -> None:
        """Hear that the projector has placed something."""
        self._notices["monitoring"].set()

    def steps(self) -> Collection[Step]:
        """Return what is done again and again, each by itself: a bounded piece that tells whether there may be more."""
        return self._steps.values()

    async def follow(self, *, rng: Random) -> None:
        """Work for ever; none waits for another, and an error in one of them ends nothing."""
        async with asyncio.TaskGroup() as group:
            for name, step in self._steps.items():
                safe = partial(self.failures.step, name, step)
                group.create_task(keep_following(name, safe, notice=self._notices[name], rng=rng), name=name)


@contextmanager
def open_room(
    database: Database, config: Config, influx: Influx, *, tally: Tally, clock: Clock
) -> Iterator[MonitoringRoom]:
    """Open the room, and let go of its connections afterwards.

    Raises:
        ConfigError: A secret or the file of targets cannot be read.
    """
    load_targets(config.monitoring.targets_file)
    scope = Scope(utility=config.utility, settings=config.monitoring, meters=influx.meters)
    writer = CountedWriter(open_writer(influx), tally)
    try:
        yield MonitoringRoom(database, writer, scope, clock=clock, failures=Failures(tally))
    finally:
        writer.close()
