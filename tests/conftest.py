"""What all tests share: real servers, the profiles of property tests, logs in the report of a failure.

A server that is not installed fails the test that needs it, with the line that installs it; nothing is skipped.
"""

import asyncio
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest

from tests.rig.blocking import blocking_calls_fail
from tests.rig.influx import InfluxServer
from tests.rig.postgres import PostgresServer
from tests.rig.processes import ManagedProcess, known_processes, wattpost_process

# The same examples in every run: a red run is red again. `--hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True, database=None)
hypothesis.settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True, max_examples=5000)
hypothesis.settings.load_profile("fixed")

# Else asyncio makes a loop for whoever asks for "the" loop, as pytest-asyncio does, and nobody ever closes that one.
asyncio.set_event_loop(None)

Server = TypeVar("Server", PostgresServer, InfluxServer)

_log_bytes_at_setup = pytest.StashKey[dict[ManagedProcess, int]]()


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run; a test that kills its server takes `own_postgres`."""
    yield from _running(PostgresServer())


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of a fresh PostgreSQL database."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, running, to be killed at will."""
    yield from _running(PostgresServer())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh database: the test runs once on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'wattpost.sqlite3'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def influx_server() -> Iterator[InfluxServer]:
    """One InfluxDB for the whole run; a test that stops its server takes `own_influx`."""
    yield from _running(InfluxServer())


@pytest.fixture
def influx(influx_server: InfluxServer) -> InfluxServer:
    """The shared InfluxDB; `influx.create_database()` gives the test a bucket of its own."""
    return influx_server


@pytest.fixture
def own_influx() -> Iterator[InfluxServer]:
    """An InfluxDB of the test's own, running, to be stopped at will."""
    yield from _running(InfluxServer())


@pytest.fixture
def start_wattpost(tmp_path: Path) -> Iterator[Callable[..., ManagedProcess]]:
    """Start `wattpost …` processes; whatever still runs at the end of the test is killed.

    The test calls it as `start_wattpost("gateway", "--config", path, name="gateway-1", env={…})` and waits for what
    it needs of the process, as a rule `wait_ready()`.
    """
    started: list[ManagedProcess] = []

    def start(*arguments: str | Path, name: str, env: dict[str, str] | None = None) -> ManagedProcess:
        process = wattpost_process(*arguments, name=name, folder=tmp_path, env=env)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture
def no_blocking_calls() -> Iterator[None]:
    """A blocking call of our packages inside the test's loop is an error."""
    with blocking_calls_fail():
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[_log_bytes_at_setup] = {process: process.log_bytes() for process in known_processes()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the processes logged during a failed test into its report."""
    report = yield
    if report.failed:
        before = item.stash.get(_log_bytes_at_setup, {})
        for process in known_processes():
            if process.log_bytes() != before.get(process):
                report.sections.append((f"log of {process.name}", process.log_text()))
    return report
