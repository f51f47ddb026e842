"""The cloud's office: a process at the head-end, one with the rooms that follow, and what is written to InfluxDB.

The head-end works with the world; the rest takes its turn every few minutes of the world's time, on a real event loop,
since it writes to a real server.
"""

from dataclasses import replace
from pathlib import Path

import msgspec

from cloud.config import Config, Influx
from cloud.database import Database
from cloud.meterdata.adapters.projector import project_all
from cloud.monitoring.adapters.delivery import CountedWriter
from cloud.monitoring.adapters.failures import Failures
from cloud.monitoring.adapters.influx import open_writer
from cloud.monitoring.adapters.room import MonitoringRoom
from cloud.monitoring.adapters.self_report import SelfReport
from cloud.monitoring.adapters.survey import Scope
from cloud.tally import Tally
from tests.simulation.parties import UTILITY
from wire.runtime.clock import Clock
from wire.runtime.errors import UnavailableError
from wire.runtime.machine import Machine, look

STEPS_MAX = 2_000
"""Of one follower in one turn; more would mean that it never comes to an end."""


def config_of(folder: Path, influx: Influx, **monitoring: object) -> Config:
    """Return the configuration of a process."""
    text = {
        "utility": UTILITY,
        "keys_folder": str(folder),
        "monitoring": monitoring,
    }
    return msgspec.structs.replace(msgspec.convert(text, Config), influx=influx)


class Office:
    """The second process, and the reports of both.

    Args:
        database: The cloud's.
        headend: Configuration of the first process, and what it counts.
        config: Of the second.
        clock: Site time.
    """

    def __init__(self, database: Database, headend: tuple[Config, Tally], config: Config, *, clock: Clock) -> None:
        assert config.influx is not None
        self.is_on = True
        self.disk_free_percent = 60
        """Of the machine that both run on."""
        self._database = database
        tally = Tally()
        self._writer = CountedWriter(open_writer(config.influx), tally)
        scope = Scope(utility=UTILITY, settings=config.monitoring, meters=config.influx.meters)
        self._room = MonitoringRoom(database, self._writer, scope, clock=clock, failures=Failures(tally))
        self._headend = SelfReport(database, headend[0], tally=headend[1], clock=clock, machine=self._machine)
        self._own = SelfReport(database, config, tally=tally, clock=clock, machine=self._machine)

    async def turn(self) -> None:
        """Let everything that is on do all that is to be done."""
        await self._headend.step()
        if not self.is_on:
            return
        await self._own.step()
        await self._database.transact(project_all)
        for step in self._room.steps():
            try:
                for _ in range(STEPS_MAX):
                    if not await step():
                        break
                else:
                    raise AssertionError(f"{step} does not come to an end")
            except UnavailableError:
                continue

    @property
    def failures_count(self) -> int:
        """Errors of the program that the second process withstood."""
        return self._room.failures.count

    def switch(self, *, on: bool) -> None:
        """Let the second process be there or not."""
        self.is_on = on

    def _machine(self) -> Machine:
        return replace(look(Path()), disk_free_percent=self.disk_free_percent)

    def close(self) -> None:
        """Let go of connections."""
        self._writer.close()
