"""The village's machinery, set up in one folder: keys, configurations, registrations, and the programs that run.

It does what an operator would do by hand, by the same commands, and leaves the folder so that each of them can be
tried. What then happens in the village is the story's business.
"""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, Self

from device_sim.core.site import Site
from device_sim.core.village import Transport, parse_village
from device_sim.core.village_plan import BOARD_UNIT, village_text
from device_sim.village.cast import CURRENCY, PRICE_PER_KWH, PROFILES, Cast, House, make_cast
from device_sim.village.control_link import ControlLink
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.runtime.clock import AcceleratedClock
from wire.runtime.keyring import load_public_keys, make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from device_sim.core.village import Village
    from device_sim.village.processes import Program, Programs

UTILITY: Final = "village"
CLIENT: Final = "billing-office"
PERIOD_S: Final = 900
"""Capture period, site seconds: 15 minutes."""
ANSWER_MS_MAX: Final = 350
"""How long a meter may take, real ms: a dead one holds its line up for so long, well within a period."""
CREDIT_AMPLE: Final = "5000.00"
REGISTER_STEP_MAX_WH: Final = 100
"""The coarsest register in the village counts in these steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to set up."""

    folder: Path
    gateway_count: int
    meter_count: int
    seed: int
    broker: str
    """auto, mosquitto or amqtt."""
    clock: AcceleratedClock

    @property
    def clock_text(self) -> str:
        """The clock as configurations and commands name it."""
        return f"{self.clock.rate}@{self.clock.real_origin_ms}={self.clock.wall_origin_ms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The broker that was started."""

    program: str
    port: int
    protocol: str


@dataclass(slots=True, kw_only=True)
class Installation:
    """A village whose programs run."""

    plan: Plan
    programs: Programs
    village: Village
    cast: Cast
    client_key: SigningKey
    trusted: PinnedKeys
    broker: Broker
    control: ControlLink
    watch: Program
    running: list[Program]

    @classmethod
    async def set_up(cls, plan: Plan, programs: Programs, *, tell: Callable[[str], None]) -> Self:
        """Set everything up and start it.

        Raises:
            ProgramError: Something did not start.
        """
        tell("making keys and describing the village")
        client_key = _make_keys(plan)
        text = village_text(
            seed=plan.seed,
            meter_count=plan.meter_count,
            line_count=plan.gateway_count,
            transport=Transport.RTU_TCP,
            port_base=0,
            link_folder="",
            rng=Random(plan.seed),  # noqa: S311 - a village, no secret
        )
        village = parse_village(text.encode())
        cast = make_cast(village)
        tell("registering gateways, meters and the billing office")
        await _register(plan, programs, cast)
        tell("starting broker and cloud")
        cloud = await programs.start("cloud", "cloud", "run", "cloud.toml")
        ready = await cloud.ready()
        broker = Broker(program=ready["broker"], port=ready["port"], protocol=ready["protocol"])
        tell(f"starting {plan.meter_count} meters and {plan.gateway_count} gateways")
        watch = await programs.start("watch", "cloud", "watch", "cloud.toml", *_watched(cast))
        simulator, control, addresses = await _start_simulator(plan, programs, text, cast, broker)
        gateways = await _start_gateways(plan, programs, cast, broker, addresses)
        return cls(
            plan=plan,
            programs=programs,
            village=village,
            cast=cast,
            client_key=client_key,
            trusted=PinnedKeys(load_public_keys(plan.folder / "trusted")),
            broker=broker,
            control=control,
            watch=watch,
            running=[cloud, simulator, *gateways, watch],
        )

    async def open_accounts(self, lasts_until_ms: dict[str, int]) -> None:
        """Open the prepaid accounts.

        Args:
            lasts_until_ms: Meters whose first credit is to end at a site time; the others get plenty.
        """
        states = {state["id"]: state for state in await self.control.meters()}
        now_ms = self.plan.clock.wall_ms()
        foreseen = Site(self.village, now_ms=now_ms, rng=Random)
        with (self.plan.folder / "accounts.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("name", "meter", "currency", "price", "opening_wh", "rated_power_w", "credit"))
            for house in self.cast.prepaid:
                opening_wh = _opening_wh(states[house.meter]["energy_wh"])
                credit = CREDIT_AMPLE
                if house.meter in lasts_until_ms:
                    used_wh = _use_wh(foreseen, house, from_ms=now_ms, until_ms=lasts_until_ms[house.meter])
                    credit = cost_text(used_wh + states[house.meter]["energy_wh"] - opening_wh)
                row = (house.account, house.meter, CURRENCY, PRICE_PER_KWH, opening_wh, house.power_max_w, credit)
                rows.writerow(row)
        await self.programs.run("accounts", "cloud", "open-accounts", "cloud.toml", "accounts.csv")

    async def pay(self, house: House, amount: str) -> None:
        """Book a payment."""
        await self.programs.run("payments", "cloud", "credit", "cloud.toml", house.account, amount)

    async def export(self) -> str:
        """Return what the database holds, one line of JSON for each meter."""
        return await self.programs.run("export", "cloud", "ask", "cloud.toml", "export", "--utility", UTILITY)


def cost_text(energy_wh: float) -> str:
    """Return what an energy costs, as an amount of at least one minor unit."""
    minor = max(round(energy_wh * float(PRICE_PER_KWH) / 10), 1)
    return f"{minor // 100}.{minor % 100:02}"


def _opening_wh(energy_wh: float) -> int:
    """Return a register to begin from that no coarse or rounded register can be below."""
    return (int(energy_wh) - 1) // REGISTER_STEP_MAX_WH * REGISTER_STEP_MAX_WH


def _use_wh(site: Site, house: House, *, from_ms: int, until_ms: int) -> float:
    before_wh = site.state(house.meter, now_ms=from_ms).energy_wh
    return site.state(house.meter, now_ms=until_ms).energy_wh - before_wh


def _make_keys(plan: Plan) -> SigningKey:
    """Make everybody's keys, hand the public ones over, and return the integrator's."""
    cloud, trusted, strangers = (plan.folder / name for name in ("keys-cloud", "trusted", "registered"))
    for purpose in (Purpose.CLOUD_ACK, Purpose.CLOUD_COMMAND, Purpose.CLOUD_CREDIT):
        make_key(cloud, name=purpose.value, purpose=purpose, party="cloud")
    client = make_key(plan.folder / "keys-client", name=CLIENT, purpose=Purpose.INTEGRATOR, party=CLIENT)
    for gateway in (f"gw-{index + 1}" for index in range(plan.gateway_count)):
        make_key(plan.folder / f"keys-{gateway}", name=gateway, purpose=Purpose.GATEWAY, party=gateway)
    _copy_public(trusted, [cloud])
    _copy_public(strangers, [folder for folder in plan.folder.glob("keys-*") if folder != cloud])
    return client


def _copy_public(target: Path, folders: Iterable[Path]) -> None:
    target.mkdir()
    for folder in folders:
        for key in folder.glob("*.pub"):
            shutil.copy(key, target)


async def _register(plan: Plan, programs: Programs, cast: Cast) -> None:
    (plan.folder / "cloud.toml").write_text(_cloud_text(plan))
    await programs.run("migrate", "cloud", "migrate", "cloud.toml")
    keys = sorted(str(path) for path in (plan.folder / "registered").glob("*.pub"))
    assignments = [
        ("cloud", "assign", "cloud.toml", gateway, *(house.meter for house in cast.of_gateway(gateway)))
        for gateway in cast.gateways
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(programs.run("register", "cloud", "register", "cloud.toml", *keys))
        group.create_task(programs.run("client", "cloud", "client", "cloud.toml", CLIENT))
        for arguments in assignments:
            group.create_task(programs.run("assign", *arguments))


def _watched(cast: Cast) -> list[str]:
    return [word for house in cast.prepaid for word in ("--account", house.account)]


async def _start_simulator(
    plan: Plan, programs: Programs, text: str, cast: Cast, broker: Broker
) -> tuple[Program, ControlLink, dict[str, dict[str, str]]]:
    cutters = "".join(
        f'\n[[cutters]]\nid = "{gateway}"\ntarget = "127.0.0.1:{broker.port}"\n' for gateway in cast.gateways
    )
    (plan.folder / "village.toml").write_text(text + cutters)
    simulator = await programs.start(
        "simulator", "sim", "run", "village.toml", "--clock", plan.clock_text, "--truth", "truth.jsonl"
    )
    ready = await simulator.ready()
    return simulator, await ControlLink.open(ready["control"]), ready


async def _start_gateways(
    plan: Plan, programs: Programs, cast: Cast, broker: Broker, addresses: dict[str, dict[str, str]]
) -> list[Program]:
    gateways = []
    for gateway in cast.gateways:
        line = addresses["lines"][gateway.replace("gw-", "line-")]
        text = _gateway_text(plan, cast, gateway, broker, line=line, cutter=addresses["cutters"][gateway])
        (plan.folder / f"{gateway}.toml").write_text(text)
        # On this level a gateway also tells each read that it gave up, which the account at the end needs.
        gateways.append(await programs.start(gateway, "gateway", "run", f"{gateway}.toml", "--log-level", "debug"))
    for program in gateways:
        await program.ready()
    return gateways


def _cloud_text(plan: Plan) -> str:
    database = f"sqlite:///{plan.folder / 'cloud.db'}"
    return (
        f"utility = {_quoted(UTILITY)}\n"
        f"database = {_quoted(database)}\n"
        'keys_folder = "keys-cloud"\n'
        'rooms = ["headend", "commands", "prepaid", "meterdata"]\n'
        f"clock = {_quoted(plan.clock_text)}\n"
        "\n[broker]\n"
        f"run = {_quoted(plan.broker)}\n"
        'host = "127.0.0.1"\n'
        "port = 0\n"
        f"state_folder = {_quoted(str(plan.folder / 'broker'))}\n"
    )


def _gateway_text(plan: Plan, cast: Cast, gateway: str, broker: Broker, *, line: str, cutter: str) -> str:
    host, _, port = line.rpartition(":")
    connection = f'connection = {{ type = "tcp", host = "{host}", port = {port}, framing = "rtu" }}\n'
    meters = "".join(
        f"\n[[lines.meters]]\nid = {_quoted(house.meter)}\nprofile = {_quoted(PROFILES[house.kind])}\n"
        f"unit = {house.unit}\n"
        f'relay = {{ profile = "relay-coils-16", unit = {BOARD_UNIT}, output = {house.coil} }}\n'
        for house in cast.of_gateway(gateway)
    )
    return (
        f"utility = {_quoted(UTILITY)}\n"
        f"key_file = {_quoted(f'keys-{gateway}/{gateway}.key')}\n"
        'trusted_folder = "trusted"\n'
        f"period_s = {PERIOD_S}\n"
        "health_s = 30\n"
        f"clock = {_quoted(plan.clock_text)}\n"
        "\n[store]\n"
        f"path = {_quoted(f'{gateway}.db')}\n"
        "\n[broker]\n"
        f"host = {_quoted(cutter.rpartition(':')[0])}\n"
        f"port = {cutter.rpartition(':')[2]}\n"
        f"protocol = {_quoted(broker.protocol)}\n"
        "reconnect_delay_ms_max = 1500\n"
        "\n[[lines]]\n"
        'id = "bus"\n'
        f"answer_ms_max = {ANSWER_MS_MAX}\n"
        f"{connection}{meters}"
    )


def _quoted(text: str) -> str:
    return json.dumps(text)
