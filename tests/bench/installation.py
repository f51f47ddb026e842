"""What the benchmarks' real processes need: keys, a registered database, configuration files, the processes."""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from cloud.commands.adapters.clients import set_scope
from cloud.database import open_database
from cloud.headend.adapters.assignments import assign
from cloud.keys import register_key
from cloud.migrations import upgrade
from tests.rig import reaper
from tests.rig.processes import ManagedProcess, wattpost_process
from wire.keys import Purpose, SigningKey
from wire.runtime.keyring import make_key

UTILITY = "bench"
CLIENT = "tester"
ROOT = Path(__file__).parents[2]


@contextmanager
def working_folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards, also if this process is killed."""
    with tempfile.TemporaryDirectory(prefix="wattpost-bench-") as name:
        reaper.watch_folder(name)
        yield Path(name)


@dataclass(frozen=True, slots=True)
class Keys:
    """One key of each kind, and as many gateways as asked for."""

    folder: Path
    """Private keys as the cloud and the gateways read them."""
    trusted: Path
    """The cloud's public keys."""
    gateways: tuple[SigningKey, ...]
    client: SigningKey
    cloud: tuple[SigningKey, ...]


def make_keys(folder: Path, *, gateways: int) -> Keys:
    """Make all keys in a folder."""
    keys, trusted = folder / "keys", folder / "trusted"
    trusted.mkdir()
    purposes = (Purpose.CLOUD_ACK, Purpose.CLOUD_COMMAND, Purpose.CLOUD_CREDIT)
    cloud = tuple(make_key(keys, name=purpose.value, purpose=purpose, party="cloud") for purpose in purposes)
    for purpose in purposes:
        (trusted / f"{purpose.value}.pub").write_bytes((keys / f"{purpose.value}.pub").read_bytes())
    return Keys(
        folder=keys,
        trusted=trusted,
        gateways=tuple(
            make_key(keys, name=name, purpose=Purpose.GATEWAY, party=name) for name in gateway_names(gateways)
        ),
        client=make_key(keys, name=CLIENT, purpose=Purpose.INTEGRATOR, party=CLIENT),
        cloud=cloud,
    )


def gateway_names(count: int) -> list[str]:
    """Return the gateways' names."""
    return [f"gw-{number + 1:04}" for number in range(count)]


async def prepare_database(url: str, keys: Keys, *, meters: Iterable[str] = ()) -> None:
    """Give an empty database its schema, the keys, an integrator, and the meters to the first gateway."""

    def register(connection: sa.Connection) -> None:
        for key in (*keys.gateways, keys.client):
            register_key(connection, UTILITY, key.public)
        set_scope(connection, UTILITY, CLIENT, effects="disconnect,reconnect,limit,read,ping", meters="*")
        assign(connection, UTILITY, keys.gateways[0].public.party, meters, from_ms=0)

    async with open_database(url) as database:
        await database.transact(upgrade)
        await database.transact(register)


def cloud_process(
    folder: Path,
    name: str,
    *,
    database: str,
    keys: Keys,
    rooms: Iterable[str],
    port: int,
    topic_root: str = "wp/1",
    more: str = "",
) -> ManagedProcess:
    """Return `wattpost cloud run` beside a broker that runs, not started yet; `more` is more of its configuration."""
    file = folder / f"{name}.toml"
    file.write_text(
        f'utility = "{UTILITY}"\ntopic_root = "{topic_root}"\ndatabase = "{database}"\nkeys_folder = "{keys.folder}"\n'
        f'rooms = {json.dumps(list(rooms))}\n[broker]\nrun = "none"\nport = {port}\n{more}'
    )
    return wattpost_process("cloud", "run", file, "--log-level", "warning", name=name, folder=folder)


def bench_process(module: str, *arguments: str | Path, name: str, folder: Path) -> ManagedProcess:
    """Return a program of this package, not started yet; it prints one line of JSON with the key `ready`."""
    return ManagedProcess(
        [sys.executable, "-m", f"tests.bench.{module}", *arguments],
        name=name,
        folder=folder,
        env={"PYTHONPATH": str(ROOT)},
    )
