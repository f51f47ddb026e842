"""The stack of `compose/` as real programs: set up, started, and closed to those whom it does not know."""

import io
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.blocking import blocking_calls_fail
from tests.rig.compose_stack import ComposeStack
from tests.rig.host import RigError, private_folder
from tests.rig.influx import InfluxServer
from tests.rig.ports import LOOPBACK
from tests.rig.postgres import PostgresServer
from tests.rig.sessions import connected_session, watched_session
from wire.keys import Purpose
from wire.runtime.errors import PublishRefusedError
from wire.runtime.keyring import make_key
from wire.runtime.mqtt import Cause, Lost, TlsFiles

pytestmark = [pytest.mark.req("K-5"), pytest.mark.timeout(300)]

SECONDS_MAX = 120.0
OURS, FOREIGN = "gw-sim-1", "gw-sim-2"


@pytest.fixture(scope="module")
def stack(influx_server: InfluxServer) -> Iterator[ComposeStack]:
    """A stack that is set up, and whose broker runs."""
    postgres = PostgresServer(fsync=False)
    stack = None
    try:
        postgres.start()
        stack = ComposeStack(private_folder("compose"), postgres=postgres, influx=influx_server)
        stack.set_up()
        stack.start_broker()
        yield stack
    finally:
        if stack is not None:
            stack.close()
        postgres.close()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def files_of(stack: ComposeStack, name: str) -> TlsFiles:
    """Return the certificate of a name, as the authority keeps it."""
    vault = stack.secrets / "vault"
    return TlsFiles(
        cafile=str(vault / "ca.crt"), certfile=str(vault / f"{name}.crt"), keyfile=str(vault / f"{name}.key")
    )


# ---- setup -----------------------------------------------------------------------------------------------------------


def test_run_again_the_setup_changes_nothing(stack: ComposeStack) -> None:
    keys = "SELECT count(*) FROM key WHERE party LIKE 'gw-sim-%'"
    counts = f"SELECT ({keys}), (SELECT count(*) FROM assignment), (SELECT count(*) FROM account)"
    files, rows = contents(stack.secrets), stack.query(counts)

    stack.run_setup("secrets", variables={"WATTPOST_BROKER_HOST": LOOPBACK})
    stack.run_setup("setup")
    stack.run_setup("simulation-setup")

    assert contents(stack.secrets) == files
    assert stack.query(counts) == rows
    assert rows == [["2", "20", "6"]]


def test_a_secret_is_readable_by_its_owner_and_by_our_group_where_it_has_to_be(stack: ComposeStack) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in stack.secrets.rglob("*") if path.is_file()}
    public = {".crt", ".crl", ".pub"}
    theirs = {"broker", "database", "influxdb", "grafana"}

    assert not [path for path, mode in modes.items() if mode & stat.S_IRWXO and not public & set(path.suffixes)]
    for path, mode in modes.items():
        service = path.relative_to(stack.secrets).parts[0]
        if service in theirs:
            assert mode == 0o440, path
        elif path.suffix == ".key" or path.name in {"pgpass", "influx-token"}:
            assert mode in {0o400, 0o600}, path


def test_secrets_differ_between_installations(stack: ComposeStack, tmp_path: Path) -> None:
    stack.task("secrets", str(tmp_path), LOOPBACK)

    here, there = contents(stack.secrets / "vault"), contents(tmp_path / "vault")
    assert not [name for name in there if here[name][0] == there[name][0]]


# ---- the whole way ---------------------------------------------------------------------------------------------------


def test_a_reading_comes_from_a_simulated_meter_into_the_database(stack: ComposeStack) -> None:
    handlers = ["headend", "commands", "worker"]
    started = [stack.start("headend", name="headend-2"), *(stack.start(name) for name in handlers)]
    for process in started:
        process.wait_ready()
    stack.start("meters").wait_ready()
    gateways = [stack.start("gateway-1"), stack.start("gateway-2")]

    assigned = (stack.folder / "simulation/meters.txt").read_text(encoding="ascii")
    meters = {meter for line in assigned.splitlines() for meter in line.split()[1:]}
    gateways[0].wait_until(
        lambda: {row[0] for row in stack.query("SELECT DISTINCT meter FROM meter_day")} == meters,
        what="a reading of each meter",
        seconds_max=SECONDS_MAX,
    )
    gateways[0].wait_until(
        lambda: bool(stack.influx.query('SELECT * FROM "detail"."reading" LIMIT 1', database="wattpost")),
        what="a reading in InfluxDB",
        seconds_max=SECONDS_MAX,
    )

    assert [stack.is_healthy(name) for name in handlers] == [True, True, True]
    assert stack.query("SELECT count(*) FROM refusal") == [["0"]]
    for process in (*gateways, *started):
        assert process.terminate() == 0, process.name


# ---- who is let in ---------------------------------------------------------------------------------------------------


@pytest.mark.req("B-2")
async def test_without_a_certificate_of_ours_nobody_is_let_in(stack: ComposeStack, tmp_path: Path) -> None:
    stack.task("gateway", str(stack.folder / "secrets"), OURS)
    stack.task("secrets", str(tmp_path), LOOPBACK)
    stack.task("gateway", str(tmp_path), OURS)
    ours = files_of(stack, OURS)
    strangers = tmp_path / "vault"
    cases = {
        "none": TlsFiles(cafile=ours.cafile),
        "a stranger's of the same name": TlsFiles(
            cafile=ours.cafile, certfile=str(strangers / f"{OURS}.crt"), keyfile=str(strangers / f"{OURS}.key")
        ),
    }
    with blocking_calls_fail():
        for name, files in cases.items():
            for port in (stack.port, stack.handlers_port):
                async with watched_session(port, OURS, tls=files) as session:
                    assert (await session.next(Lost)).cause in {Cause.TLS, Cause.CLOSED}, name
        async with watched_session(stack.port, OURS) as session:
            assert (await session.next(Lost)).cause is Cause.CLOSED


@pytest.mark.req("B-2")
async def test_a_gateway_is_confined_to_the_tree_of_its_certificate(stack: ComposeStack) -> None:
    async with (
        connected_session(stack.port, OURS, tls=files_of(stack, OURS), subscriptions=("wp/1/#", "$SYS/#")) as gateway,
        connected_session(stack.handlers_port, "handler-of-the-test", tls=files_of(stack, "cloud")) as cloud,
    ):
        refused = [
            f"wp/1/g/{FOREIGN}/up/bulk",
            f"wp/1/g/{FOREIGN}/up/hello",
            f"wp/1/g/{FOREIGN}/down/command",
            f"wp/1/g/{OURS}/down/command",
            f"wp/1/g/{OURS}/up/bulk/more",
            f"wp/1/c/{FOREIGN}/request",
            f"wp/1/c/{OURS}/status",
            "elsewhere",
        ]
        for topic in refused:
            with pytest.raises(PublishRefusedError):
                await gateway.session.publish(topic, b"")
        for leaf in ("hello", "urgent", "bulk"):
            await gateway.session.publish(f"wp/1/g/{OURS}/up/{leaf}", b"")
        for name in (FOREIGN, OURS):
            await cloud.session.publish(f"wp/1/g/{name}/down/ack", name.encode())
            await cloud.session.publish(f"wp/1/c/{name}/status", name.encode())
        received = await gateway.receive(2)

    assert {(message.topic, message.payload) for message in received} == {
        (f"wp/1/g/{OURS}/down/ack", OURS.encode()),
        (f"wp/1/c/{OURS}/status", OURS.encode()),
    }


async def test_handlers_hear_all_gateways_and_share_them(stack: ComposeStack) -> None:
    shared = {"tls": files_of(stack, "cloud"), "subscriptions": ("$share/test/wp/1/g/+/up/bulk",)}
    async with (
        connected_session(stack.port, FOREIGN, tls=files_of(stack, FOREIGN)) as gateway,
        connected_session(stack.handlers_port, "one", **shared) as one,
        connected_session(stack.handlers_port, "two", **shared) as two,
    ):
        for number in range(4):
            await gateway.session.publish(f"wp/1/g/{FOREIGN}/up/bulk", bytes([number]))
        received = [*(await one.receive(2)), *(await two.receive(2))]

    assert {message.payload for message in received} == {bytes([number]) for number in range(4)}


async def test_the_check_of_the_brokers_health_sees_that_it_lives_and_nothing_else(stack: ComposeStack) -> None:
    _, _, *words = stack.services["broker"]["healthcheck"]["test"]
    told = dict(zip(words[::2], words[1::2], strict=True))
    cafile, cert, key = (str(stack.folder / told[name].lstrip("/")) for name in ("--cafile", "--cert", "--key"))
    tls = TlsFiles(cafile=cafile, certfile=cert, keyfile=key)
    topic = told["--topic"].replace("$$", "$")

    async with (
        connected_session(
            stack.handlers_port, "health-check", tls=tls, subscriptions=(topic, "wp/1/#"), host="localhost"
        ) as health,
        connected_session(stack.port, OURS, tls=files_of(stack, OURS)) as gateway,
    ):
        await gateway.session.publish(f"wp/1/g/{OURS}/up/hello", b"")
        (message,) = await health.receive(1)

    assert message.topic == topic


# ---- a gateway of one's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ca", "broker", "cloud", "health"])
def test_nobody_is_handed_what_belongs_to_the_stack_itself(stack: ComposeStack, name: str) -> None:
    with pytest.raises(RigError, match="failed with 64"):
        stack.task("gateway", str(stack.secrets), name)


async def test_a_real_gateway_is_added_by_two_commands_and_shut_out_by_one(stack: ComposeStack, tmp_path: Path) -> None:
    packed = stack.task("gateway", str(stack.secrets), "gw-0099")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {member.name for member in archive} == {
            *("ca.crt", "gw-0099.crt", "gw-0099.key"),
            *("cloud-ack.pub", "cloud-command.pub", "cloud-credit.pub"),
        }
        archive.extractall(tmp_path, filter="data")
    make_key(tmp_path / "keys", name="gw-0099", purpose=Purpose.GATEWAY, party="gw-0099")
    stack.task("register", str(stack.folder / "config/worker.toml"), given=(tmp_path / "keys/gw-0099.pub").read_bytes())
    assert stack.query("SELECT count(*) FROM key WHERE party = 'gw-0099'") == [["1"]]
    tls = TlsFiles(
        **{
            name: str(tmp_path / file)
            for name, file in (("cafile", "ca.crt"), ("certfile", "gw-0099.crt"), ("keyfile", "gw-0099.key"))
        }
    )
    async with connected_session(stack.port, "gw-0099", tls=tls) as gateway:
        await gateway.session.publish("wp/1/g/gw-0099/up/hello", b"")

    stack.task("revoke", str(stack.secrets), "gw-0099")
    stack.start_broker()

    async with watched_session(stack.port, "gw-0099", tls=tls) as gateway:
        assert (await gateway.next(Lost)).cause in {Cause.TLS, Cause.CLOSED}
    async with connected_session(stack.port, OURS, tls=files_of(stack, OURS)) as gateway:
        await gateway.session.publish(f"wp/1/g/{OURS}/up/hello", b"")
