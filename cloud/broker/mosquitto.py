"""Mosquitto as our child: found, configured, watched, restarted, and gone when we are.

Decides its limits and where its state lies. Nothing relies on that state: Mosquitto acknowledges before it saves, so
gateway and cloud keep what matters until the other one has signed for it. Who may connect is left to the access list
given.
"""

import asyncio
import ctypes
import getpass
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, NoReturn, Self

import structlog

from cloud.broker.running import RunningBroker, free_port, is_loopback
from wire.runtime.backoff import Backoff
from wire.runtime.errors import ConfigError, UnavailableError
from wire.runtime.tasks import background

READY_TIMEOUT_S: Final = 10.0
READY_POLL_S: Final = 0.01
STOP_TIMEOUT_S: Final = 5.0
RESTART_DELAY_MS: Final = 200
RESTART_DELAY_MS_MAX: Final = 10_000
_PR_SET_PDEATHSIG: Final = 1

_log = structlog.get_logger("cloud.broker")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTls:
    """A second listener, for clients that show a certificate; its name becomes their user name in the access list."""

    cafile: Path
    certfile: Path
    keyfile: Path
    port: int = 0
    """0 for a free one."""
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MosquittoConfig:
    """How Mosquitto is to run."""

    state_dir: Path
    """Folder for its configuration and its database; made if absent."""
    host: str = "127.0.0.1"
    """Where it listens without TLS: a loopback address. Programs of this machine are trusted to be who they say."""
    port: int = 0
    """0 for a free one; kept over restarts."""
    tls: BrokerTls | None = None
    acl: tuple[str, ...] = ()
    """Lines of the access list; without any, every client may do everything."""
    in_flight_messages_max: int = 100
    """Unacknowledged messages to one client."""
    queued_messages_max: int = 100_000
    """Messages kept for one absent client; never 0, which makes 2.0.11 drop clients whose publishes it refuses."""
    queued_bytes_max: int = 256 * 1024 * 1024
    packet_bytes_max: int = 1_100_000
    autosave_s: int = 5
    """What a crash of the broker can lose."""


def find_mosquitto() -> Path | None:
    """Return the installed program; Debian keeps it off the path of ordinary users."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def mosquitto_conf(config: MosquittoConfig, *, port: int, tls_port: int | None, user: str | None) -> str:
    """Return the text of mosquitto.conf; comments would become part of values, so it has none.

    Args:
        config: What to write.
        port: The plain listener's.
        tls_port: The TLS listener's, if there is one.
        user: Account to run as; needed only for root, which Mosquitto would leave for one that cannot write its state.

    Raises:
        ConfigError: A value holds a line break, or the plain listener could be reached from outside.
    """
    assert config.queued_messages_max > 0
    if not is_loopback(config.host):
        raise ConfigError(
            config.host,
            "the listener without TLS admits everybody who reaches it",
            "keep it on a loopback address and let others in by TLS",
        )
    lines = [f"user {user}"] if user is not None else []
    lines += ["per_listener_settings false", f"listener {port} {config.host}"]
    if config.tls is not None:
        lines += [
            f"listener {tls_port} {config.tls.host}",
            f"cafile {config.tls.cafile}",
            f"certfile {config.tls.certfile}",
            f"keyfile {config.tls.keyfile}",
            "tls_version tlsv1.2",
            "require_certificate true",
            "use_identity_as_username true",
        ]
    lines += ["allow_anonymous true"]
    if config.acl:
        lines += [f"acl_file {config.state_dir / 'acl'}"]
    lines += [
        f"max_inflight_messages {config.in_flight_messages_max}",
        f"max_queued_messages {config.queued_messages_max}",
        f"max_queued_bytes {config.queued_bytes_max}",
        f"max_packet_size {config.packet_bytes_max}",
        "set_tcp_nodelay true",
        "persistent_client_expiration 30d",
        "persistence true",
        f"persistence_location {config.state_dir}/",
        f"autosave_interval {config.autosave_s}",
        "autosave_on_changes false",
        "log_dest stderr",
        "log_timestamp false",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    for line in (*lines, *config.acl):
        if "\n" in line or "\r" in line:
            raise ConfigError(repr(line), "a value for mosquitto.conf holds a line break", "remove the line break")
    return "\n".join(lines) + "\n"


class Mosquitto:
    """The child process, kept alive inside `async with`.

    Args:
        config: How it is to run.
        rng: Jitter of restarts, and the choice of a free port.
    """

    def __init__(self, config: MosquittoConfig, *, rng: Random) -> None:
        self._config = config
        self._rng = rng
        self._backoff = Backoff(rng=rng, delay_ms=RESTART_DELAY_MS, delay_ms_max=RESTART_DELAY_MS_MAX)
        self._process: Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._keeping: AbstractAsyncContextManager[object] | None = None
        self._running: RunningBroker | None = None
        self._last_line = ""

    @property
    def running(self) -> RunningBroker:
        assert self._running is not None
        return self._running

    @property
    def pid(self) -> int:
        """Process id of the present child; another after a restart."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        program = await asyncio.to_thread(find_mosquitto)
        if program is None:
            raise ConfigError("mosquitto", "not installed", "install it (Debian: apt install mosquitto)")
        port, tls_port = await asyncio.to_thread(self._prepare)
        self._running = RunningBroker(
            program="mosquitto",
            host=self._config.host,
            port=port,
            tls_port=tls_port,
            protocol="5",
            statement="Mosquitto as a child process; a crash of it can lose its last few seconds, which are sent again",
        )
        try:
            await self._start(program)
        except BaseException:
            await self._stop()
            raise
        self._keeping = background(self._keep(program), name="mosquitto")
        await self._keeping.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        try:
            await self._keeping.__aexit__(kind, value, trace)
        finally:
            await self._stop()

    def _prepare(self) -> tuple[int, int | None]:
        """Make the state folder and write the configuration; blocks."""
        config = self._config
        config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = free_port(config.host, config.port, rng=self._rng)
        tls = config.tls
        tls_port = free_port(tls.host, tls.port, rng=self._rng) if tls is not None else None
        user = getpass.getuser() if os.geteuid() == 0 else None
        text = mosquitto_conf(config, port=port, tls_port=tls_port, user=user)
        _write_private(config.state_dir / "mosquitto.conf", text)
        _write_private(config.state_dir / "acl", "\n".join(config.acl) + "\n")
        return port, tls_port

    async def _start(self, program: Path) -> None:
        """Start the child and wait until it accepts connections.

        Raises:
            UnavailableError: It ended, or did not listen in time.
        """
        process = await asyncio.create_subprocess_exec(
            program,
            "-c",
            self._config.state_dir / "mosquitto.conf",
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            # Safe here: a few system calls, no locks, no imports.
            preexec_fn=_die_with(os.getpid()),
        )
        self._process = process
        self._listener = asyncio.create_task(self._listen_to(process), name="mosquitto-log")
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await _accepts(self.running.host, self.running.port):
                    if process.returncode is not None:
                        raise UnavailableError(f"mosquitto ended with {process.returncode}: {self._last_line}")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError as exc:
            raise UnavailableError(f"mosquitto does not listen after {READY_TIMEOUT_S:.0f} s") from exc
        _log.info("broker.started", program="mosquitto", child_pid=process.pid, port=self.running.port)

    async def _keep(self, program: Path) -> NoReturn:
        """Start the child again whenever it ends."""
        while True:
            assert self._process is not None
            exit_code = await self._process.wait()
            delay_ms = self._backoff.next_delay_ms()
            _log.error("broker.ended", program="mosquitto", exit_code=exit_code, retry_delay_ms=delay_ms)
            await asyncio.sleep(delay_ms / 1_000)
            try:
                await self._start(program)
            except (UnavailableError, OSError) as exc:
                _log.error("broker.start_failed", program="mosquitto", error=str(exc))
                await self._stop()
            else:
                self._backoff.reset()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._listener is not None:
            await self._listener  # ends with the child's stderr

    async def _listen_to(self, process: Process) -> None:
        """Pass the child's lines on to our log."""
        assert process.stderr is not None
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._last_line = line
            level = "error" if line.startswith("Error") else "warning" if line.startswith("Warning") else "debug"
            getattr(_log, level)("broker.said", program="mosquitto", line=line)


@asynccontextmanager
async def run_mosquitto(config: MosquittoConfig, *, rng: Random) -> AsyncIterator[RunningBroker]:
    """Keep a Mosquitto running and give where it listens.

    Raises:
        ConfigError: It is not installed, or its port is taken.
        UnavailableError: It does not start.
    """
    async with Mosquitto(config, rng=rng) as child:
        yield child.running


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _die_with(parent_pid: int) -> Callable[[], None]:
    """Return what the child does before Mosquitto runs: ask to be terminated, and so to save, when we die."""

    def ask() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent_pid:
                os._exit(1)

    return ask


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
