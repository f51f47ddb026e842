"""A village of real processes: 250 simulated meters on 4 lines, the gateway that reads them, the cloud behind it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from cloud import schema
from cloud.database import open_database
from tests.bench.installation import UTILITY, Keys, cloud_process, make_keys, prepare_database
from tests.rig.brokers import mosquitto
from tests.rig.processes import ManagedProcess, wattpost_process

LINES = 4
METERS = 250
RELAYS = 16
PERIOD_S = 30
"""Shorter than 15 minutes, so that all meters are read several times while the commands run."""
BOARD_UNIT = 247
SPARE_LINE = "spare"
"""A relay board that the gateway does not know, to measure a line alone."""
PROFILE = "eastron-sdm120"
RELAY_PROFILE = "relay-coils-16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Village:
    """What runs."""

    keys: Keys
    port: int
    """The broker's."""
    database: str
    relay_meters: tuple[str, ...]
    spare_address: tuple[str, int]
    cloud: ManagedProcess
    gateway: ManagedProcess
    sim: ManagedProcess

    async def meters_seen(self) -> int:
        """Return of how many meters the cloud has a reading."""

        def count(connection: sa.Connection) -> int:
            return int(connection.execute(sa.select(sa.func.count()).select_from(schema.latest)).scalar_one())

        async with open_database(self.database) as database:
            return await database.transact(count)


async def start_village(stack: AsyncExitStack, folder: Path) -> Village:
    """Start everything; it ends with `stack`."""
    keys = make_keys(folder, gateways=1)
    broker = await stack.enter_async_context(mosquitto(folder / "broker"))
    port = broker.running.port
    database = f"sqlite:///{folder / 'cloud.db'}"
    names = [f"EM-{number + 1:06}" for number in range(METERS)]
    await prepare_database(database, keys, meters=names)
    (folder / "village.toml").write_text(_village_text(names))
    sim = wattpost_process("sim", "run", folder / "village.toml", name="sim", folder=folder)
    cloud = cloud_process(
        folder, "cloud", database=database, keys=keys, rooms=["headend", "commands", "meterdata"], port=port
    )
    for process in (sim, cloud):
        stack.callback(process.close)
    lines: dict[str, str] = sim.start_ready()["lines"]
    cloud.start_ready()
    file = folder / "gateway.toml"
    file.write_text(_gateway_text(keys, port, folder, names, lines))
    gateway = wattpost_process("gateway", "run", file, "--log-level", "warning", name="gateway", folder=folder)
    stack.callback(gateway.close)
    gateway.start_ready()
    host, _, spare_port = lines[SPARE_LINE].rpartition(":")
    return Village(
        keys=keys,
        port=port,
        database=database,
        relay_meters=tuple(names[:RELAYS]),
        spare_address=(host, int(spare_port)),
        cloud=cloud,
        gateway=gateway,
        sim=sim,
    )


def _line_of(index: int) -> str:
    """The meters with relays share the first line with their board."""
    return f"line-{index * LINES // METERS}"


def _unit_of(index: int) -> int:
    return index % -(-METERS // LINES) + 1


def _village_text(names: list[str]) -> str:
    parts = ["seed = 7\n"]
    lines = [*(f"line-{number}" for number in range(LINES)), SPARE_LINE]
    parts += [f'[[lines]]\nid = "{line}"\ntransport = "rtu-tcp"\n' for line in lines]
    for board, line in (("board", "line-0"), ("spare-board", SPARE_LINE)):
        parts.append(f'[[boards]]\nid = "{board}"\nline = "{line}"\nunit = {BOARD_UNIT}\ncoils = {RELAYS}\n')
    for index, name in enumerate(names):
        switch = f'board = "board"\ncoil = {index}\n' if index < RELAYS else ""
        parts.append(
            f'[[meters]]\nid = "{name}"\nline = "{_line_of(index)}"\nunit = {_unit_of(index)}\n'
            f'kind = "sdm120"\nannual_kwh = {900 + 10 * index}\n{switch}'
        )
    return "".join(parts)


def _gateway_text(keys: Keys, port: int, folder: Path, names: list[str], lines: dict[str, str]) -> str:
    key_file = keys.folder / f"{keys.gateways[0].public.party}.key"
    head = (
        f'utility = "{UTILITY}"\nkey_file = "{key_file}"\ntrusted_folder = "{keys.trusted}"\nperiod_s = {PERIOD_S}\n'
        f'[store]\npath = "{folder / "gateway.db"}"\n[broker]\nport = {port}\n'
    )
    parts = [head]
    for number in range(LINES):
        line = f"line-{number}"
        host, _, line_port = lines[line].rpartition(":")
        parts.append(
            f'[[lines]]\nid = "{line}"\n'
            f'connection = {{ type = "tcp", host = "{host}", port = {line_port}, framing = "rtu" }}\n'
        )
        for index, name in enumerate(names):
            if _line_of(index) == line:
                relay = f'relay = {{ profile = "{RELAY_PROFILE}", unit = {BOARD_UNIT}, output = {index} }}\n'
                parts.append(
                    f'[[lines.meters]]\nid = "{name}"\nprofile = "{PROFILE}"\nunit = {_unit_of(index)}\n'
                    + (relay if index < RELAYS else "")
                )
    return "".join(parts)
