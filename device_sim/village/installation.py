"""The village's machinery, set up in one folder: keys, configurations, registrations, and the programs that run.

It does what an operator would do by hand, by the same commands, and leaves the folder so that each of them can be
tried. What then happens in the village is the story's business.
"""

from __future__ import annotations

import asyncio
import csv
import shutil
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final, Self

import msgspec

from device_sim.adapters.secret_files import write_secret_files
from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.site import Site
from device_sim.core.village import parse_village
from device_sim.core.village_plan import village_text
from device_sim.village.cast import (
    CURRENCY,
    PRICE_PER_KWH,
    Cast,
    House,
    gateway_of_line,
    make_cast,
    plan_village,
)
from device_sim.village.configuration import UTILITY, Broker, Plan, cloud_text, gateway_text, line_text
from device_sim.village.control_link import ControlLink
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.runtime.keyring import load_public_keys, make_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from device_sim.core.village import Village
    from device_sim.village.processes import Program, Programs

CLIENT: Final = "billing-office"
HISTORY_DAYS: Final = 1
"""What DLMS meters have captured before the demo begins."""
CREDIT_AMPLE: Final = "5000.00"
REGISTER_STEP_MAX_WH: Final = 100
"""The coarsest register in the village counts in these steps."""


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
            lines=plan_village(plan.gateway_count, plan.meter_count),
            port_base=0,
            link_folder="",
            rng=Random(plan.seed),  # noqa: S311 - a village, no secret
        )
        text = f"history_days = {HISTORY_DAYS}\n{text}"
        village = parse_village(text.encode())
        cast = make_cast(village)
        _write_meter_secrets(plan, cast)
        tell("registering gateways, meters and the billing office")
        await _register(plan, programs, cast)
        tell("starting broker and cloud")
        cloud = await programs.start("cloud", "cloud", "run", "cloud.toml")
        ready = await cloud.ready()
        broker = Broker(program=ready["broker"], port=ready["port"], protocol=ready["protocol"])
        tell(f"starting {plan.meter_count} meters and {plan.gateway_count} gateways")
        watch = await programs.start("watch", "cloud", "watch", "cloud.toml", *_watched(cast))
        simulator, control, addresses = await _start_simulator(plan, programs, text, cast, broker)
        gateways = await _start_gateways(plan, programs, cast, village, broker, addresses)
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
        # What a household will use does not depend on what its meter remembers.
        foreseen = Site(msgspec.structs.replace(self.village, history_days=0), now_ms=now_ms, rng=Random)
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

    async def export(self, obis: str) -> str:
        """Return what the database holds of a channel, one line of JSON for each meter."""
        command = ("cloud", "ask", "cloud.toml", "export", "--utility", UTILITY, "--obis", obis)
        return await self.programs.run("export", *command)


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


def _write_meter_secrets(plan: Plan, cast: Cast) -> None:
    for house in cast.houses.values():
        if house.is_dlms:
            write_secret_files(plan.folder / f"meters-{house.gateway}", house.meter, secrets_of(house.meter))


def _copy_public(target: Path, folders: Iterable[Path]) -> None:
    target.mkdir()
    for folder in folders:
        for key in folder.glob("*.pub"):
            shutil.copy(key, target)


async def _register(plan: Plan, programs: Programs, cast: Cast) -> None:
    (plan.folder / "cloud.toml").write_text(cloud_text(plan))
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
    plan: Plan,
    programs: Programs,
    cast: Cast,
    village: Village,
    broker: Broker,
    addresses: dict[str, dict[str, str]],
) -> list[Program]:
    gateways = []
    for gateway in cast.gateways:
        lines = "".join(
            line_text(cast, line, addresses["lines"][line.id])
            for line in village.lines
            if gateway_of_line(line.id) == gateway
        )
        text = gateway_text(plan, gateway, broker, cutter=addresses["cutters"][gateway]) + lines
        (plan.folder / f"{gateway}.toml").write_text(text)
        # On this level a gateway also tells each read that it gave up, which the account at the end needs.
        gateways.append(await programs.start(gateway, "gateway", "run", f"{gateway}.toml", "--log-level", "debug"))
    for program in gateways:
        await program.ready()
    return gateways
