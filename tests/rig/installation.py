"""A whole installation in one folder, as real processes: meters, gateways behind a bad network, broker, handlers.

Decides names, ports, keys and configuration, and how each process is started again. What happens to it, and what is
true afterwards, is the test's business. Every port is chosen before anything starts, so that whatever is killed comes
back where it was.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import sqlalchemy as sa

from cloud.commands.adapters.clients import set_scope
from cloud.database import open_database
from cloud.headend.adapters.assignments import assign
from cloud.keys import register_key
from cloud.migrations import require_current
from device_sim.adapters.secret_files import write_secret_files
from device_sim.core.dlms_secrets import secrets_of
from tests.rig.ports import LOOPBACK, free_port
from tests.rig.processes import ManagedProcess, wattpost_process
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.runtime.clock import Clock, clock_from_text
from wire.runtime.errors import UnavailableError
from wire.runtime.keyring import make_key
from wire.topics import TopicTree

UTILITY: Final = "demo"
CLIENT: Final = "billing"
SITE_START_MS: Final = 1_780_315_200_000
"""What an accelerated site clock shows at the beginning unless planned otherwise: 2026-06-01 12:00 UTC."""
BOARD_UNIT: Final = 247
OUTPUTS_PER_BOARD: Final = 16
FIRST_DLMS_UNIT: Final = 17
DEADLINE_S: Final = 60.0
DATABASE_WAIT_S: Final = 30.0
_KINDS: Final = (
    ("sdm120", "eastron-sdm120"),
    ("em112", "carlo-gavazzi-em112"),
    ("iem3155", "schneider-iem3155"),
    ("sdm630", "eastron-sdm630"),
)
"""Makes of meter in turn, as the simulation and the gateway name them."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an installation consists of."""

    utility: str = UTILITY
    gateways_count: int = 1
    lines_each: int = 1
    meters_per_line: int = 2
    dlms_meters_each: int = 0
    """DLMS meters of a gateway, on a line of their own."""
    dlms_gateways_count: int | None = None
    """How many gateways, the first ones, have such a line; None for all."""
    rate: int = 1
    """How many times as fast as real time the site lives."""
    begin_ms: int = SITE_START_MS
    """What an accelerated clock shows at the beginning."""
    period_s: int = 2
    """Capture period, site seconds."""
    seal_after_ms: int = 200
    health_s: int = 10
    answer_ms_max: int = 1_000
    broker: Literal["mosquitto", "amqtt"] = "mosquitto"
    broker_alone: bool = True
    """Whether the broker is a process of its own, or started by the handlers."""
    mqtt5: bool = True
    """Whether MQTT 5 is spoken, where the broker can."""
    database: str = ""
    """Empty for a SQLite file in the folder."""
    influx: str = ""
    """The table `[influx]` of the handlers' configuration."""
    monitoring: str = ""
    """Lines of the table `[monitoring]`, without the handlers' names."""
    rooms: tuple[str, ...] = ()
    """Of the process `cloud`; empty for all."""
    annual_kwh: int = 3_000
    """What each household uses."""

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """The version of MQTT that everybody speaks."""
        return "5" if self.mqtt5 and self.broker == "mosquitto" else "3.1.1"


@dataclass(frozen=True, kw_only=True)
class Site:
    """One gateway with its meters."""

    gateway: str
    line_ports: tuple[int, ...]
    cutter_port: int
    meters: tuple[tuple[str, ...], ...]
    """By line."""
    dlms_port: int
    dlms_meters: tuple[str, ...] = ()

    def all_meters(self) -> tuple[str, ...]:
        return (*(meter for line in self.meters for meter in line), *self.dlms_meters)

    def relay_meters(self) -> tuple[str, ...]:
        """Return the meters with a relay: of each line as many as a board has outputs, and those with their own."""
        return (*(meter for line in self.meters for meter in line[:OUTPUTS_PER_BOARD]), *self.dlms_meters)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Private keys of everybody, as a test that plays one of them needs them."""

    ack: SigningKey
    command: SigningKey
    credit: SigningKey
    client: SigningKey
    gateways: dict[str, SigningKey] = field(default_factory=dict)

    def trusted(self) -> PinnedKeys:
        """Return the cloud's public keys."""
        return PinnedKeys([self.ack.public, self.command.public, self.credit.public])


class Installation:
    """One installation; `lay_out` first, then start what the test needs, `close` at the end."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.broker_port = free_port()
        self.control_port = free_port()
        self.sites = [self._site(index + 1) for index in range(plan.gateways_count)]
        self.database_url = plan.database or f"sqlite:///{folder / 'cloud.db'}"
        self.clock_text = "" if plan.rate == 1 else f"{plan.rate}@{time.time_ns() // 1_000_000}={plan.begin_ms}"
        self.clock: Clock = clock_from_text(self.clock_text)
        self.tree = TopicTree(plan.utility)
        self.keys = self._make_keys()
        self.sim = self._wattpost("sim", "run", "village.toml", "--truth", "truth.jsonl", *self._clock_option())
        self.cloud = self._wattpost("cloud", "run", "cloud.toml")
        self.handlers: dict[str, ManagedProcess] = {}
        """Processes of the cloud beside that one."""
        self.gateways = {site.gateway: self._gateway(site.gateway) for site in self.sites}
        script = Path(__file__).with_name("broker_process.py")
        self.broker = ManagedProcess(
            [sys.executable, script, plan.broker, str(self.broker_port), folder / "broker"],
            name="broker",
            folder=folder,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    # ---- the folder --------------------------------------------------------------------------------------------------

    async def lay_out(self) -> None:
        """Write the configuration, and register everybody in the database."""
        (self.folder / "village.toml").write_text(self._village_text())
        self.configure("cloud", *self.plan.rooms)
        for site in self.sites:
            (self.folder / f"{site.gateway}.toml").write_text(self._gateway_text(site))
        async with open_database(self.database_url) as database:
            await require_current(database)
            await database.transact(self._register)

    def _register(self, connection: sa.Connection) -> None:
        keys, utility = self.keys, self.plan.utility
        for key in (keys.ack, keys.command, keys.credit, keys.client, *keys.gateways.values()):
            register_key(connection, utility, key.public)
        set_scope(connection, utility, CLIENT, effects="disconnect,reconnect,limit,read,ping", meters="*")
        for site in self.sites:
            assign(connection, utility, site.gateway, site.all_meters(), from_ms=self.clock.wall_ms() - 1_000)

    def _site(self, number: int) -> Site:
        lines = range(1, self.plan.lines_each + 1)
        per_line = range(1, self.plan.meters_per_line + 1)
        return Site(
            gateway=f"gw-{number}",
            line_ports=tuple(free_port() for _ in lines),
            cutter_port=free_port(),
            meters=tuple(tuple(f"EM-{number}{line}-{meter:03}" for meter in per_line) for line in lines),
            dlms_port=free_port(),
            dlms_meters=tuple(f"DM-{number}-{meter:03}" for meter in range(1, self._dlms_meters_of(number) + 1)),
        )

    def _dlms_meters_of(self, number: int) -> int:
        count = self.plan.dlms_gateways_count
        return self.plan.dlms_meters_each if count is None or number <= count else 0

    def _make_keys(self) -> Keys:
        cloud, trusted = self.folder / "keys", self.folder / "trusted"
        made = [
            make_key(cloud, name=purpose.value, purpose=purpose, party="cloud")
            for purpose in (Purpose.CLOUD_ACK, Purpose.CLOUD_COMMAND, Purpose.CLOUD_CREDIT)
        ]
        trusted.mkdir()
        for public in cloud.glob("*.pub"):
            (trusted / public.name).write_bytes(public.read_bytes())
        boxes = self.folder / "boxes"
        return Keys(
            ack=made[0],
            command=made[1],
            credit=made[2],
            client=make_key(self.folder / "clients", name=CLIENT, purpose=Purpose.INTEGRATOR, party=CLIENT),
            gateways={
                site.gateway: make_key(boxes, name=site.gateway, purpose=Purpose.GATEWAY, party=site.gateway)
                for site in self.sites
            },
        )

    def _village_text(self) -> str:
        parts = [f'seed = 7\ncontrol = "{LOOPBACK}:{self.control_port}"\n']
        for site in self.sites:
            parts.append(
                f'[[cutters]]\nid = "{site.gateway}"\ntarget = "{LOOPBACK}:{self.broker_port}"\n'
                f'listen = "{LOOPBACK}:{site.cutter_port}"\n'
            )
            for index, (port, meters) in enumerate(zip(site.line_ports, site.meters, strict=True)):
                line = f"{site.gateway}-{index + 1}"
                parts.append(
                    f'[[lines]]\nid = "{line}"\ntransport = "rtu-tcp"\naddress = "{LOOPBACK}:{port}"\n'
                    f'[[boards]]\nid = "board-{line}"\nline = "{line}"\nunit = {BOARD_UNIT}\n'
                    f"coils = {OUTPUTS_PER_BOARD}\n"
                )
                for place, meter in enumerate(meters):
                    kind, _ = _KINDS[place % len(_KINDS)]
                    relay = f'board = "board-{line}"\ncoil = {place}\n' if place < OUTPUTS_PER_BOARD else ""
                    parts.append(
                        f'[[meters]]\nid = "{meter}"\nline = "{line}"\nunit = {place + 1}\nkind = "{kind}"\n'
                        f"annual_kwh = {self.plan.annual_kwh}\nstart_wh = {1_000 * (place + 1)}\n{relay}"
                    )
            if site.dlms_meters:
                line = f"{site.gateway}-dlms"
                parts.append(
                    f'[[lines]]\nid = "{line}"\ntransport = "hdlc-tcp"\naddress = "{LOOPBACK}:{site.dlms_port}"\n'
                )
                parts.extend(
                    f'[[dlms_meters]]\nid = "{meter}"\nline = "{line}"\nunit = {FIRST_DLMS_UNIT + place}\n'
                    f"annual_kwh = {self.plan.annual_kwh}\n"
                    for place, meter in enumerate(site.dlms_meters)
                )
        return "\n".join(parts)

    def configure(self, name: str, *rooms: str, influx: str | None = None, clock: str | None = None) -> str:
        """Write the configuration of a process of the cloud and return the file's name.

        Args:
            name: Of the file, and of the process in the operating picture.
            rooms: What it does; none for everything.
            influx: The table `[influx]`; None for that of the plan.
            clock: None for the site's.
        """
        plan, file = self.plan, f"{name}.toml"
        (self.folder / file).write_text(
            (f"rooms = {json.dumps(rooms)}\n" if rooms else "")
            + f'utility = "{plan.utility}"\ndatabase = "{self.database_url}"\nkeys_folder = "keys"\n'
            f'clock = "{self.clock_text if clock is None else clock}"\n'
            f'[broker]\nrun = "{"none" if plan.broker_alone else plan.broker}"\n'
            f'port = {self.broker_port}\nprotocol = "{plan.protocol}"\nstate_folder = "broker"\n'
            f'[monitoring]\nhandler = "{name}"\n{plan.monitoring}{plan.influx if influx is None else influx}'
        )
        return file

    def _gateway_text(self, site: Site) -> str:
        plan = self.plan
        parts = []
        parts.append(
            f'utility = "{plan.utility}"\nkey_file = "boxes/{site.gateway}.key"\ntrusted_folder = "trusted"\n'
            f"period_s = {plan.period_s}\nhealth_s = {plan.health_s}\nseal_after_ms = {plan.seal_after_ms}\n"
            f'clock = "{self.clock_text}"\n[store]\npath = "{site.gateway}.db"\n'
            f'[broker]\nport = {site.cutter_port}\nprotocol = "{plan.protocol}"\nkeep_alive_s = 5\n'
            f"reconnect_delay_ms_max = 1000\n"
        )
        for index, (port, meters) in enumerate(zip(site.line_ports, site.meters, strict=True)):
            parts.append(
                f'[[lines]]\nid = "line-{index + 1}"\nanswer_ms_max = {plan.answer_ms_max}\n'
                f'connection = {{ type = "tcp", host = "{LOOPBACK}", port = {port}, framing = "rtu" }}\n'
            )
            for place, meter in enumerate(meters):
                _, profile = _KINDS[place % len(_KINDS)]
                relay = f'relay = {{ profile = "relay-coils-16", unit = {BOARD_UNIT}, output = {place} }}\n'
                parts.append(
                    f'[[lines.meters]]\nid = "{meter}"\nprofile = "{profile}"\nunit = {place + 1}\n'
                    f"{relay if place < OUTPUTS_PER_BOARD else ''}"
                )
        if site.dlms_meters:
            parts.append(
                f'[[lines]]\nid = "dlms"\nprotocol = "dlms-hdlc"\nanswer_ms_max = {plan.answer_ms_max}\n'
                f'connection = {{ type = "tcp", host = "{LOOPBACK}", port = {site.dlms_port} }}\n'
            )
            parts.extend(self._dlms_meter_text(place, meter) for place, meter in enumerate(site.dlms_meters))
        return "".join(parts)

    def _dlms_meter_text(self, place: int, meter: str) -> str:
        write_secret_files(self.folder / "meters", meter, secrets_of(meter))
        secrets = f"meters/{meter}"
        return (
            f'[[lines.meters]]\nid = "{meter}"\nprofile = "is15959-d1"\n'
            f"[lines.meters.dlms]\naddress = {FIRST_DLMS_UNIT + place}\n"
            f'[lines.meters.dlms.reading]\nsecret_file = "{secrets}.reader"\n'
            f'[lines.meters.dlms.control]\nsecret_file = "{secrets}.utility"\n'
            f'encryption_key_file = "{secrets}.guek"\nauthentication_key_file = "{secrets}.gak"\n'
        )

    # ---- processes ---------------------------------------------------------------------------------------------------

    def _wattpost(self, *arguments: str, name: str = "") -> ManagedProcess:
        return wattpost_process(*arguments, name=name or arguments[0], folder=self.folder)

    def _gateway(self, name: str) -> ManagedProcess:
        return self._wattpost("gateway", "run", f"{name}.toml", name=name)

    def handler(self, name: str, *rooms: str) -> ManagedProcess:
        """Return one more process of the cloud, with some of the rooms, which `start` starts with the others."""
        process = self._wattpost("cloud", "run", self.configure(name, *rooms), name=name)
        self.handlers[name] = process
        return process

    def _clock_option(self) -> tuple[str, ...]:
        return ("--clock", self.clock_text) if self.clock_text else ()

    def processes(self) -> Iterator[ManagedProcess]:
        """Return all processes, started or not, those first that others talk to."""
        yield self.sim
        yield self.broker
        yield self.cloud
        yield from self.handlers.values()
        yield from self.gateways.values()

    async def start(self, *processes: ManagedProcess) -> None:
        """Start processes side by side and wait until each says that it is ready.

        By default all of them, the gateways last, so that their first hello is heard.
        """
        wanted = processes or (self.sim, *self._servers())
        for process in wanted:
            process.start()
        for process in wanted:
            await asyncio.to_thread(process.wait_ready)
        if not processes:
            await self.start(*self.gateways.values())

    def _servers(self) -> tuple[ManagedProcess, ...]:
        brokers = (self.broker,) if self.plan.broker_alone else ()
        return (*brokers, self.cloud, *self.handlers.values())

    def close(self) -> None:
        """Kill whatever still runs."""
        for process in self.processes():
            process.close()

    # ---- asking ------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the site's time, UTC."""
        return self.clock.wall_ms()

    def all_meters(self) -> tuple[str, ...]:
        return tuple(meter for site in self.sites for meter in site.all_meters())

    def relay_meters(self) -> tuple[str, ...]:
        return tuple(meter for site in self.sites for meter in site.relay_meters())

    def site_of(self, meter: str) -> Site:
        """Return where a meter is."""
        return next(site for site in self.sites if meter in site.all_meters())

    def store_path(self, gateway: str) -> Path:
        """Return the file of a gateway's store."""
        return self.folder / f"{gateway}.db"

    def control(self, **command: Any) -> dict[str, Any]:
        """Ask the simulation."""
        with (
            socket.create_connection((LOOPBACK, self.control_port), timeout=10) as connection,
            connection.makefile("rwb") as lines,
        ):
            lines.write(json.dumps(command).encode() + b"\n")
            lines.flush()
            reply: dict[str, Any] = json.loads(lines.readline())
        assert reply.pop("ok"), reply
        return reply

    def states(self) -> dict[str, dict[str, Any]]:
        """Return how every meter and household really stands, by meter."""
        return {state["id"]: state for state in self.control(command="state")["meters"]}

    def state(self, meter: str) -> dict[str, Any]:
        """Return how one meter and its household really stand."""
        found: dict[str, Any] = self.control(command="state", meter=meter)["meters"][0]
        return found

    def cut(self, gateway: str, *, mode: str = "refuse") -> None:
        """Cut a gateway's network."""
        self.control(command="cutter", cutter=gateway, cut=mode)

    def mend(self, gateway: str) -> None:
        """Restore a gateway's network."""
        self.control(command="cutter", cutter=gateway, restore=True)

    def open_account(self, account: str, meter: str, *, price: str) -> None:
        """Open an account without credit on the command line, so that its household becomes dark."""
        register_wh = int(self.state(meter)["energy_wh"])
        terms = ("--price", price, "--opening-wh", str(register_wh))
        self.wattpost("cloud", "open-account", "cloud.toml", account, "--meter", meter, *terms)

    async def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a transaction on the cloud's database, again while the database is away; `work` may be repeated."""
        deadline_s = time.monotonic() + DATABASE_WAIT_S
        while True:
            try:
                async with open_database(self.database_url) as database:
                    return await database.transact(work)
            except UnavailableError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.1)

    async def until(
        self, holds: Callable[[], object], *, what: str, seconds_max: float = DEADLINE_S, poll_s: float = 0.1
    ) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: It does not come about; names it.
        """
        deadline_s = time.monotonic() + seconds_max
        while not holds():
            assert time.monotonic() < deadline_s, f"{what} did not come about within {seconds_max:g} s"
            await asyncio.sleep(poll_s)

    async def until_committed(
        self, work: Callable[[sa.Connection], object], *, what: str, seconds_max: float = DEADLINE_S
    ) -> None:
        """Wait until the cloud's database shows something."""
        deadline_s = time.monotonic() + seconds_max
        while not await self.transact(work):
            assert time.monotonic() < deadline_s, f"{what} did not come about within {seconds_max:g} s"
            await asyncio.sleep(0.2)

    def wattpost(self, *arguments: str | Path) -> str:
        """Run a short `wattpost` command in the folder and return what it printed."""
        process = self.tool(*arguments)
        assert process.exit_code == 0, process.log_text()
        return process.out_path.read_text()

    def tool(self, *arguments: str | Path, seconds_max: float = 60.0) -> ManagedProcess:
        """Run a short `wattpost` command in the folder to its end, whatever that is."""
        process = wattpost_process(*arguments, name=f"tool-{time.monotonic_ns()}", folder=self.folder)
        process.start()
        process.wait_until(lambda: not process.running, what="the end of the command", seconds_max=seconds_max)
        return process


Install = Callable[[Plan], Awaitable[Installation]]
"""What the fixtures of end-to-end tests hand out."""
