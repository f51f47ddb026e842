"""Builds a simulation out of its parts and runs it until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from device_sim.adapters.carriers import Line, PtyPort, listen, listen_datagrams
from device_sim.adapters.control import LINE_BYTES_MAX, Control
from device_sim.adapters.cutter import NetworkCutter
from device_sim.adapters.dlms_line import HdlcLine, WrapperLine
from device_sim.adapters.meter_life import MeterLife
from device_sim.adapters.modbus_line import ModbusLine
from device_sim.adapters.pushes import PushPost
from device_sim.adapters.truth import MeterTruth, Truth
from device_sim.core.load import stream_key
from device_sim.core.site import Site
from device_sim.core.village import LineSpec, Transport, Village, parse_village
from dlms.link.parameters import LinkParameters
from dlms.link.server import HdlcServerSettings
from dlms.link.wrapper import WrapperSettings
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from wire.runtime.clock import Clock

COUNTERS_BEGAN_S = 1_577_836_800
"""2020: from then on the invocation counters of simulated meters rise with the real time, so that ..."""
COUNTERS_PER_S = 8
"""... a meter that is started again begins above all it has used, unless it has sent more than so many a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A village that runs."""

    site: Site
    truth: Truth
    cutters: dict[str, NetworkCutter]
    lines: dict[str, str]
    """Where each line really is: `HOST:PORT`, or the path of its serial port."""
    control: str
    """`HOST:PORT` of the control socket."""
    flushing: asyncio.Task[None]
    """Writes the truth log; ends only by an error."""
    living: asyncio.Task[None]
    """Looks after the DLMS meters; ends only by an error."""

    def described(self) -> dict[str, Any]:
        """Return what a program that started us must know."""
        return {
            "control": self.control,
            "lines": self.lines,
            "cutters": {name: f"127.0.0.1:{cutter.port}" for name, cutter in self.cutters.items()},
            "meters": len(self.site.meters),
        }


@asynccontextmanager
async def simulation(village: Village, *, clock: Clock) -> AsyncIterator[Simulation]:
    """Run a village inside the block.

    Raises:
        ConfigError: An address is taken, or a file cannot be written.
    """
    # Noise on a line is counted here; the library would print a line for each piece of it.
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    async with AsyncExitStack() as stack:
        with _environment("truth_log", "name a file that can be written"):
            truth = Truth(Path(village.truth_log) if village.truth_log else None)
        stack.push_async_callback(truth.close)
        site = Site(
            village,
            now_ms=clock.wall_ms(),
            rng=lambda name: _random(village.seed, name),
            first_counter=(SystemClock().wall_ms() // 1000 - COUNTERS_BEGAN_S) * COUNTERS_PER_S,
            witness=lambda meter_id: MeterTruth(truth, meter_id, utc_offset_min=village.utc_offset_min),
        )
        post = PushPost(truth)
        stack.push_async_callback(post.close)
        life = MeterLife(site.dlms_meters.values(), clock=clock, post=post)
        cutters = {spec.id: await _open_cutter(stack, spec.id, spec.listen, spec.target) for spec in village.cutters}

        def line(spec: LineSpec) -> Line:
            rng = _random(village.seed, f"line/{spec.id}")
            if spec.transport.is_dlms:
                return _dlms_line(spec, site, truth=truth, life=life, rng=rng)
            is_rtu = spec.transport is not Transport.TCP
            return ModbusLine(site.lines[spec.id], is_rtu=is_rtu, baud=spec.baud, clock=clock, truth=truth, rng=rng)

        lines = {spec.id: await _open_line(stack, spec, line(spec)) for spec in village.lines}
        control = Control(site=site, life=life, clock=clock, truth=truth, cutters=cutters)
        with _environment("control", "choose another port, or 0"):
            host, port = _host_and_port(village.control)
            server = await asyncio.start_server(control.serve, host, port, limit=LINE_BYTES_MAX)
        stack.push_async_callback(control.close)
        stack.callback(server.close)
        flushing = asyncio.create_task(truth.keep_flushing(), name="truth log")
        stack.callback(flushing.cancel)
        living = asyncio.create_task(life.keep_looking(), name="meters")
        stack.callback(living.cancel)
        yield Simulation(
            site=site,
            truth=truth,
            cutters=cutters,
            lines=lines,
            control=_bound_address(server),
            flushing=flushing,
            living=living,
        )


async def run(village: Village, *, clock: Clock, ready: Callable[[Simulation], None]) -> None:
    """Run a village until SIGTERM or SIGINT; `ready` is called once everything listens.

    Raises:
        ConfigError: An address is taken, or a file cannot be written.
        OSError: The truth log can no longer be written: a simulation without its truth proves nothing.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with simulation(village, clock=clock) as running:
        ready(running)
        stopping = asyncio.create_task(stopped.wait(), name="stop signal")
        await asyncio.wait((stopping, running.flushing, running.living), return_when=asyncio.FIRST_COMPLETED)
        for task in (running.flushing, running.living):
            if task.done():
                task.result()


def load_village(path: Path) -> Village:
    """Read a village's description.

    Raises:
        ConfigError: The file cannot be read, or does not describe a village.
    """
    try:
        return parse_village(path.read_bytes())
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or str(exc), "name a file that can be read") from exc
    except ValueError as exc:
        raise ConfigError(str(path), str(exc), "see `wattpost sim village` for an example") from exc


def _dlms_line(spec: LineSpec, site: Site, *, truth: Truth, life: MeterLife, rng: Random) -> Line:
    units = site.dlms_lines[spec.id]
    if not spec.transport.is_hdlc:
        settings = WrapperSettings(is_datagrams=spec.transport is Transport.WRAPPER_UDP)
        return WrapperLine(units, settings=settings, baud=spec.baud, truth=truth, life=life, rng=rng)
    limits = LinkParameters(
        transmit_bytes_max=spec.info_bytes_max,
        receive_bytes_max=spec.info_bytes_max,
        transmit_window=spec.window_max,
        receive_window=spec.window_max,
    )
    return HdlcLine(units, settings=HdlcServerSettings(limits=limits), baud=spec.baud, truth=truth, life=life, rng=rng)


async def _open_line(stack: AsyncExitStack, spec: LineSpec, line: Line) -> str:
    """Open a line and return where it is."""
    with _environment(f"line {spec.id}", "choose another address or link"):
        if spec.transport in {Transport.PTY, Transport.HDLC_PTY}:
            port = stack.enter_context(PtyPort(line, Path(spec.link) if spec.link else None))
            return spec.link or port.path
        if spec.transport is Transport.WRAPPER_UDP:
            transport = await listen_datagrams(line, *_host_and_port(spec.address))
            stack.callback(transport.close)
            return "{}:{}".format(*transport.get_extra_info("sockname")[:2])
        server = await listen(line, *_host_and_port(spec.address))
    stack.callback(server.close)
    return _bound_address(server)


async def _open_cutter(stack: AsyncExitStack, name: str, listen_address: str, target: str) -> NetworkCutter:
    host, port = _host_and_port(listen_address)
    with _environment(f"cutter {name}", "choose another port, or 0"):
        return await stack.enter_async_context(NetworkCutter(port, *_host_and_port(target), listen_host=host))


@contextmanager
def _environment(setting: str, remedy: str) -> Iterator[None]:
    """Turn what the system refuses into a word to the operator."""
    try:
        yield
    except (OSError, OverflowError) as exc:
        raise ConfigError(setting, getattr(exc, "strerror", None) or str(exc), remedy) from exc


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _bound_address(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"{host}:{port}"


def _random(seed: int, name: str) -> Random:
    return Random(stream_key(seed, name))  # noqa: S311 - reproducible noise, no secret
