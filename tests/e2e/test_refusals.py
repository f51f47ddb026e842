"""What does not hold, thrown at real processes through a real broker: refused by reason, counted, and nothing stops."""

import asyncio
import json
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial

import msgspec
import pytest
import sqlalchemy as sa
from paho.mqtt import publish

from cloud import schema
from cloud.headend.adapters.down_facts import send_down
from cloud.keys import register_key, revoke_key
from cloud.meterdata.adapters.queries import presence
from tests.rig.installation import Install, Installation, Plan
from tests.rig.parties import CLIENT, PARTIES, UTILITY
from tests.rig.ports import LOOPBACK
from tests.rig.reconciling import read_disk
from tests.rig.requester import Requester, requester
from tests.rig.sessions import Watched, connected_session
from tests.vectors.refusals import Refusal, refusals
from tests.vectors.samples import samples
from wire import codec, limits
from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.facts import EntryFact, Event, Receipt, Stage, encode_down_fact
from wire.keys import Purpose, SigningKey
from wire.messages import (
    Ack,
    Command,
    Disconnect,
    Facts,
    Hello,
    Limit,
    Ping,
    Reconnect,
    State,
    Welcome,
    make_batch,
    open_message,
    seal_message,
)
from wire.signing import digest_of, seal
from wire.topics import Lane

RANDOM_COUNT = 3_000
BOOT = b"bootboot"
STORE = b"storestr"

Send = tuple[str, bytes]
"""Topic and payload."""


def deflate(data: bytes) -> bytes:
    return zlib.compress(data, level=9)


@pytest.fixture
async def installation(install: Install) -> AsyncIterator[Installation]:
    """One gateway that works, and a cloud that also knows the parties of the contract's vectors."""
    made = await install(Plan(utility=UTILITY, period_s=1, broker_alone=False))

    def register(connection: sa.Connection) -> None:
        for party in PARTIES.values():
            if party.registered:
                register_key(connection, UTILITY, party.key.public)
            if party.revoked:
                revoke_key(connection, UTILITY, party.key.kid.hex(), at_ms=1)

    await made.transact(register)
    yield made
    assert all(process.running for process in (made.cloud, *made.gateways.values()))


@pytest.fixture
async def attacker(installation: Installation) -> AsyncIterator[Watched]:
    """A stranger's connection to the broker; topic rights are the business of the broker's access list."""
    port = installation.broker_port
    async with connected_session(port, "attacker", publish_window=200, publish_timeout_s=60) as session:
        yield session


async def throw(attacker: Watched, sends: Iterable[Send]) -> None:
    """Publish messages, as fast as the broker takes them."""
    async with asyncio.TaskGroup() as group:
        for topic, payload in sends:
            group.create_task(attacker.session.publish(topic, payload))


def counts(connection: sa.Connection) -> Counter[str]:
    """Return the cloud's refusals by reason."""
    table = schema.refusal.c
    rows = connection.execute(sa.select(table.reason, sa.func.sum(table.count)).group_by(table.reason)).all()
    return Counter({reason: int(count) for reason, count in rows})


def batches_of(connection: sa.Connection, gateway: str) -> int:
    """Return how many batches of a gateway are committed."""
    table = schema.message.c
    query = sa.select(sa.func.count()).where(table.gateway == gateway, table.quarantine_reason.is_(None))
    return int(connection.execute(query).scalar_one())


async def good_messages_go_through(installation: Installation) -> None:
    """Wait until the gateway's readings are committed that it took after this call."""
    before = await installation.transact(partial(batches_of, gateway="gw-1"))
    await installation.until_committed(
        lambda connection: batches_of(connection, "gw-1") > before + 1, what="a commit of new readings"
    )


def topic_of(installation: Installation, address: Address) -> str:
    """Return the topic on which the cloud takes a message of this address."""
    leaf = Lane.BULK.value if address.kind is Kind.BATCH else address.kind.value
    return installation.tree.up(address.party, leaf)


@pytest.mark.req("B-1")
async def test_every_message_of_the_vectors_that_does_not_hold_is_counted_by_its_reason(
    installation: Installation, attacker: Watched
) -> None:
    wrong: list[Refusal] = [
        item
        for item in refusals(deflate).values()
        if item.address.direction is Direction.UP and item.address.utility == UTILITY
    ]
    assert len(wrong) > 50
    await throw(attacker, [(topic_of(installation, item.address), item.sealed) for item in wrong])
    expected = Counter(item.reason.value for item in wrong)
    await installation.until_committed(
        lambda connection: counts(connection).total() >= len(wrong), what="the refusal of every vector"
    )
    assert await installation.transact(counts) == expected
    await good_messages_go_through(installation)
    assert await installation.transact(counts) == expected


@pytest.mark.req("B-1")
async def test_a_batch_of_a_true_sender_that_does_not_hold_is_kept_aside_and_its_sender_told(
    installation: Installation, attacker: Watched
) -> None:
    made = refusals(deflate)
    batches = [item for item in made.values() if item.address.kind is Kind.BATCH and item.stage != "open"]
    told: dict[bytes, str] = {}
    acks = installation.tree.down("gw-1", Kind.ACK)
    at = Address(UTILITY, Direction.DOWN, Kind.ACK, "gw-1")
    async with connected_session(installation.broker_port, "listener", subscriptions=(acks,)) as listener:
        await throw(attacker, [(topic_of(installation, item.address), item.sealed) for item in batches])
        while len(told) < len(batches):
            for message in await listener.receive(1):
                ack, _ = open_message(message.payload, at, installation.keys.trusted())
                assert isinstance(ack, Ack)
                told |= {item.digest: item.reason for item in ack.quarantined}
    assert told == {digest_of(item.sealed): item.reason.value for item in batches}
    kept = await installation.transact(quarantined)
    assert kept == {digest_of(item.sealed): (item.reason.value, item.sealed) for item in batches}


def quarantined(connection: sa.Connection) -> dict[bytes, tuple[str, bytes]]:
    table = schema.message.c
    rows = connection.execute(
        sa.select(table.digest, table.quarantine_reason, table.sealed).where(table.quarantine_reason.is_not(None))
    )
    return {bytes(digest): (reason, bytes(sealed)) for digest, reason, sealed in rows}


@pytest.mark.req("B-1", "K-2")
async def test_random_bytes_and_spoilt_messages_stop_nothing(installation: Installation, attacker: Watched) -> None:
    rng = random.Random(4)
    tree = installation.tree
    topics = [*(tree.up("gw-1", leaf) for leaf in ("hello", "urgent", "bulk")), tree.client(CLIENT, Kind.REQUEST)]
    good = [seal_message(message, _address(kind), _signer(kind)) for kind, message in samples(deflate).values()]
    sends = [(rng.choice(topics), _spoilt(rng, rng.choice(good))) for _ in range(RANDOM_COUNT // 2)]
    sends += [(rng.choice(topics), rng.randbytes(rng.randrange(200))) for _ in range(RANDOM_COUNT // 2)]
    await throw(attacker, sends)
    await installation.until_committed(
        lambda connection: counts(connection).total() >= len(sends), what="the refusal of everything"
    )
    found = await installation.transact(counts)
    assert found.total() == len(sends)
    assert set(found) <= {reason.value for reason in Reason}
    await good_messages_go_through(installation)


def _address(kind: Kind) -> Address:
    client = kind in (Kind.REQUEST, Kind.STATUS)
    return Address(UTILITY, Direction.CLIENT_UP if client else Direction.UP, kind, CLIENT if client else "gw-1")


def _signer(kind: Kind) -> SigningKey:
    purpose = {
        Kind.HELLO: "gateway",
        Kind.BATCH: "gateway",
        Kind.FACTS: "cloud-credit",
        Kind.COMMAND: "cloud-command",
        Kind.REQUEST: "integrator",
    }
    return PARTIES[purpose.get(kind, "cloud-ack")].key


def _spoilt(rng: random.Random, good: bytes) -> bytes:
    place = rng.randrange(len(good))
    match rng.randrange(3):
        case 0:
            return good[:place] + bytes([good[place] ^ 1 << rng.randrange(8)]) + good[place + 1 :]
        case 1:
            return good[:place]
        case _:
            return good[:place] + rng.randbytes(rng.randrange(1, 9)) + good[place:]


@pytest.mark.req("B-1", "F-3")
async def test_what_is_expired_on_a_wrong_topic_or_used_before_is_counted(
    installation: Installation, attacker: Watched
) -> None:
    async with requester(installation) as client:
        meter = installation.all_meters()[0]
        client.send(client.make(Disconnect(), [meter], validity_ms=-1))
        used = client.ask(Ping(), meter)
        await client.over()
        client.send(client.make(Reconnect(), [meter], request_id=used.request.id))
        root = installation.tree.root
        await throw(attacker, [(f"{root}/g/gw_1/up/hello", b"x"), (f"{root}/c/no such/request", b"x")])
        expected = Counter({"expired": 1, "replayed": 1, "bad-topic": 2})
        await installation.until_committed(lambda connection: counts(connection) >= expected, what="all refusals")
    assert installation.state(meter)["energised"]


@pytest.mark.req("B-1")
async def test_what_a_broker_had_kept_is_refused(lay_out: Install) -> None:
    # With MQTT 5 the cloud tells the broker to keep it to itself.
    installation = await lay_out(Plan(utility=UTILITY, mqtt5=False))
    await installation.start(installation.broker, installation.cloud)
    event = Event(boot=BOOT, tick_ms=1, serial=1, meter="", code="5.26.0.216", detail="kept")
    at = Address(UTILITY, Direction.UP, Kind.BATCH, "gw-1")
    sealed = seal_message(make_batch([event], store=STORE, index=1), at, installation.keys.gateways["gw-1"])
    topic = installation.tree.up("gw-1", "urgent")
    send = partial(publish.single, hostname=LOOPBACK, port=installation.broker_port, qos=1, retain=True)
    await asyncio.to_thread(send, topic, sealed)
    await installation.until_committed(event_count, what="the commit of a message that came fresh")
    # A new session of the cloud is given the kept message again, marked as such.
    assert installation.cloud.terminate() == 0
    await installation.start(installation.cloud)
    await installation.until_committed(lambda connection: counts(connection)["retained"], what="its refusal")
    assert await installation.transact(event_count) == 1


def event_count(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).where(schema.event.c.detail == "kept")
    return int(connection.execute(query).scalar_one())


@pytest.mark.req("B-1", "K-1", "K-2")
async def test_text_that_a_database_cannot_hold_stops_nothing(install: Install, database_url: str) -> None:
    installation = await install(Plan(gateways_count=2, utility=UTILITY, period_s=1, database=database_url))
    installation.gateways["gw-2"].kill()
    odd = "odd \x00 \x1b[31m \u2028 \U0001f4a1"
    key, tree = installation.keys.gateways["gw-2"], installation.tree
    _, sample = samples(deflate)["hello"]
    assert isinstance(sample, Hello)
    hello = msgspec.structs.replace(sample, software=odd)
    event = Event(boot=BOOT, tick_ms=1, serial=1, meter="", code="5.26.0.216", detail=odd)
    async with requester(installation) as client, connected_session(installation.broker_port, "odd") as odd_gateway:
        meter = installation.sites[1].all_meters()[0]
        asked = client.ask(Ping(), meter)
        await installation.until(lambda: State.SENT in asked.states(meter), what="the sending")
        (command,) = await installation.transact(ids_of_commands)
        receipt = Receipt(
            command=command,
            meter=meter,
            stage=Stage.FAILED,
            boot=BOOT,
            tick_ms=1,
            detail=odd,
            relay_closed=None,
            values=[],
            journal_index=1,
            journal_digest=bytes(32),
        )
        batch = make_batch([event, receipt], store=STORE, index=1)
        at = Address(UTILITY, Direction.UP, Kind.BATCH, "gw-2")
        hello_at = Address(UTILITY, Direction.UP, Kind.HELLO, "gw-2")
        await odd_gateway.session.publish(tree.up("gw-2", "hello"), seal_message(hello, hello_at, key))
        await odd_gateway.session.publish(tree.up("gw-2", "urgent"), seal_message(batch, at, key))
        await client.over()
        assert asked.status(meter).state is State.FAILED
    await good_messages_go_through(installation)
    assert installation.cloud.running, installation.cloud.log_text()


def ids_of_commands(connection: sa.Connection) -> list[bytes]:
    return [bytes(name) for name in connection.execute(sa.select(schema.command.c.id)).scalars()]


# ---- towards the gateway ---------------------------------------------------------------------------------------------


def gateway_refusals(installation: Installation) -> Counter[str]:
    """Return what the gateway says in its log that it refused, by reason."""
    lines = [json.loads(line) for line in installation.gateways["gw-1"].err_path.read_text().splitlines()]
    return Counter(line["reason"] for line in lines if line["event"] == "message.refused")


def forged(installation: Installation) -> list[tuple[Reason, Kind, bytes]]:
    """Return what an attacker could send down to gw-1: the reason it is refused for, the kind of its topic, the bytes.

    Each would open the relay, change the money, or let the gateway forget what it has to send.
    """
    keys, meter, now_ms = installation.keys, installation.all_meters()[0], installation.now_ms()
    stranger = SigningKey(bytes(32), purpose=Purpose.CLOUD_COMMAND, party="cloud")
    command = Command(
        id=b"forged command--",
        meter=meter,
        version=2**40,
        issued_at_ms=now_ms,
        not_after_ms=now_ms + 3_600_000,
        issuer="attacker",
        effect=Disconnect(),
    )
    payloads = {
        Kind.COMMAND: codec.encode_message(command),
        Kind.FACTS: codec.encode_message(Facts(facts=[encode_down_fact(EntryFact(account="A-1", entry=b"\x80"))])),
        Kind.ACK: codec.encode_message(Ack(epoch=9, position=9, committed=[bytes(32)], quarantined=[])),
        Kind.WELCOME: codec.encode_message(
            Welcome(nonce=bytes(16), cloud_utc_ms=now_ms, epoch=9, window=1, restores=[], floors=[])
        ),
    }
    signers = {
        Kind.COMMAND: keys.command,
        Kind.FACTS: keys.credit,
        Kind.ACK: keys.ack,
        Kind.WELCOME: keys.ack,
    }

    def at(kind: Kind, gateway: str = "gw-1") -> Address:
        return Address(UTILITY, Direction.DOWN, kind, gateway)

    made: list[tuple[Reason, Kind, bytes]] = []
    for kind, payload in payloads.items():
        true = seal(payload, at(kind), signers[kind])
        purposes = [key for other, key in signers.items() if key is not signers[kind]]
        made += [(Reason.UNKNOWN_KEY, kind, seal(payload, at(kind), stranger))]
        made += [(Reason.WRONG_PURPOSE, kind, seal(payload, at(kind), key)) for key in purposes]
        made += [(Reason.BAD_SIGNATURE, kind, seal(payload, at(kind, "gw-2"), signers[kind]))]
        made += [(Reason.BAD_SIGNATURE, other, true) for other in payloads if other is not kind]
        made += [(Reason.BAD_SIGNATURE, kind, true[:-1] + bytes([true[-1] ^ 1]))]
        made += [(Reason.UNSUPPORTED_VERSION, kind, seal(b"\x82\x02" + payload[2:], at(kind), signers[kind]))]
        made += [(Reason.TOO_LONG, kind, true + bytes(limits.MESSAGE_BYTES_MAX))]
        made += [(Reason.MALFORMED, kind, true + b"\x00"), (Reason.MALFORMED, kind, b"")]
    return made


@pytest.mark.req("B-1", "F-3", "A-7")
async def test_nothing_forged_changes_anything_on_a_gateway(installation: Installation, attacker: Watched) -> None:
    meter = installation.all_meters()[0]
    async with requester(installation) as client:
        client.ask(Limit(9_000_000), meter)
        await client.over()
        before = memory_of(installation)
        made = forged(installation)
        tree = installation.tree
        await throw(attacker, [(tree.down("gw-1", kind), sealed) for _, kind, sealed in made])
        expected = Counter(reason.value for reason, _, _ in made)
        await installation.until(
            lambda: gateway_refusals(installation).total() >= len(made), what="the refusal of everything"
        )
        assert gateway_refusals(installation) == expected
        assert memory_of(installation) == before
        assert installation.state(meter)["energised"]
        # It still obeys the cloud, and its readings still arrive.
        client.ask(Disconnect(), meter)
        await client.over()
        assert not installation.state(meter)["energised"]
    await good_messages_go_through(installation)


@pytest.mark.req("B-1", "F-3")
async def test_true_commands_that_come_too_late_are_refused_and_the_cloud_is_told(
    installation: Installation, attacker: Watched
) -> None:
    meter, now_ms = installation.all_meters()[0], installation.now_ms()
    at = Address(UTILITY, Direction.DOWN, Kind.COMMAND, "gw-1")

    def command(name: bytes, *, version: int, not_after_ms: int) -> Command:
        return Command(
            id=name,
            meter=meter,
            version=version,
            issued_at_ms=now_ms - 7_200_000,
            not_after_ms=not_after_ms,
            issuer="acme",
            effect=Disconnect(),
        )

    async with requester(installation) as client:
        client.ask(Reconnect(), meter)
        await client.over()
        late = {
            Stage.SUPERSEDED: command(b"overtaken-------", version=1, not_after_ms=now_ms + 3_600_000),
            Stage.EXPIRED: command(b"expired---------", version=2**62, not_after_ms=now_ms - 3_600_000),
        }
        topic = installation.tree.down("gw-1", Kind.COMMAND)
        sealed = [seal_message(item, at, installation.keys.command) for item in late.values()]
        await throw(attacker, [(topic, item) for item in sealed])
        wanted = {(item.id, stage.value) for stage, item in late.items()}
        await installation.until_committed(
            lambda connection: wanted <= receipts_in(connection), what="the receipts of what came too late"
        )
    assert installation.state(meter)["energised"]


def receipts_in(connection: sa.Connection) -> set[tuple[bytes, str]]:
    """Return command and stage of every receipt."""
    table = schema.receipt.c
    return {(bytes(row.command), row.stage) for row in connection.execute(sa.select(table.command, table.stage))}


@pytest.mark.req("B-1", "K-2")
async def test_random_bytes_stop_no_gateway(installation: Installation, attacker: Watched) -> None:
    rng = random.Random(5)
    down = [installation.tree.down("gw-1", kind) for kind in (Kind.WELCOME, Kind.ACK, Kind.FACTS, Kind.COMMAND)]
    before = memory_of(installation)
    sends = [(rng.choice(down), rng.randbytes(rng.randrange(300))) for _ in range(RANDOM_COUNT // 3)]
    # Nobody hears what is sent before the gateway has subscribed, which it does before it says hello.
    await installation.until_committed(
        lambda connection: any(item.hello_at_ms for item in presence(connection, UTILITY)), what="the gateway's hello"
    )
    await throw(attacker, sends)
    await installation.until(
        lambda: gateway_refusals(installation).total() >= len(sends), what="the refusal of everything"
    )
    assert memory_of(installation) == before
    await good_messages_go_through(installation)


def memory_of(installation: Installation) -> tuple[object, ...]:
    """Return what a gateway remembers besides readings: commands, holds, entries of accounts."""
    disk = read_disk(installation.store_path("gw-1"), "gw-1")
    return disk.commands, disk.holds, disk.entries


@pytest.mark.req("A-7", "B-3")
async def test_no_forged_acknowledgement_lets_a_gateway_forget(lay_out: Install) -> None:
    installation = await lay_out(Plan(utility=UTILITY, period_s=1))
    await installation.start(installation.sim, installation.broker)
    await installation.start(*installation.gateways.values())
    path = installation.store_path("gw-1")

    def pending() -> list[bytes]:
        return [name for name, (state, _) in read_disk(path, "gw-1").batches.items() if state == "pending"]

    await installation.until(lambda: len(pending()) > 3, what="batches to send")
    made = forged_acks(installation, pending())
    async with connected_session(installation.broker_port, "attacker") as attacker:
        await throw(attacker, [(installation.tree.down("gw-1", Kind.ACK), sealed) for sealed in made])
        await installation.until(
            lambda: gateway_refusals(installation).total() >= len(made), what="the refusal of everything"
        )
    disk = read_disk(path, "gw-1")
    assert {state for state, _ in disk.batches.values()} == {"pending"}
    await installation.start(installation.cloud)
    wanted = set(disk.batches)
    await installation.until_committed(
        lambda connection: wanted <= digests_of(connection), what="the commit of all that was pending"
    )


def forged_acks(installation: Installation, digests: Sequence[bytes]) -> list[bytes]:
    """Return acknowledgements of these batches that the cloud never gave."""
    ack = Ack(epoch=1, position=1, committed=list(digests)[: limits.DIGESTS_PER_ACK_MAX], quarantined=[])
    payload = codec.encode_message(ack)
    here = Address(UTILITY, Direction.DOWN, Kind.ACK, "gw-1")
    elsewhere = Address(UTILITY, Direction.DOWN, Kind.ACK, "gw-2")
    keys = installation.keys
    stranger = SigningKey(bytes(32), purpose=Purpose.CLOUD_ACK, party="cloud")
    genuine = seal(payload, here, keys.ack)
    return [
        seal(payload, here, stranger),
        seal(payload, here, keys.command),
        seal(payload, here, keys.gateways["gw-1"]),
        seal(payload, elsewhere, keys.ack),
        genuine[:-1] + bytes([genuine[-1] ^ 1]),
    ]


def digests_of(connection: sa.Connection) -> set[bytes]:
    return {bytes(name) for name in connection.execute(sa.select(schema.message.c.digest)).scalars()}


# ---- replay ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("B-1", "C-1", "F-3")
async def test_a_whole_conversation_that_is_played_again_changes_nothing(installation: Installation) -> None:
    meter = installation.all_meters()[0]
    everything = (f"{installation.tree.root}/#",)
    async with (
        connected_session(installation.broker_port, "tape", subscriptions=everything, publish_window=200) as tape,
        requester(installation) as client,
    ):
        await talk(installation, client, meter)
        recorded: list[Send] = []
        while tape.session.intake_messages_count:
            recorded += [(message.topic, message.payload) for message in await tape.receive(1)]
        before = await installation.transact(rows_of)
        commands = memory_of(installation)
        kinds = {topic.rpartition("/")[2] for topic, _ in recorded}
        assert kinds >= {"urgent", "bulk", "ack", "command", "request", "status", "facts"}

        async with connected_session(installation.broker_port, "player", publish_window=200) as player:
            await throw(player, recorded)
        after_replay = client.ask(Ping(), meter)
        await client.over(after_replay)
    # What the replay brought about is settled once what was asked after it is over, in the same lanes.
    await good_messages_go_through(installation)
    after = await installation.transact(rows_of)
    assert before.items() <= after.items()
    assert len([name for name, _ in after if name == "command"]) == len([n for n, _ in before if n == "command"]) + 1
    memory = read_disk(installation.store_path("gw-1"), "gw-1")
    assert len(memory.commands) == len(commands[0]) + 1  # type: ignore[arg-type]
    assert (memory.holds, memory.entries) == commands[1:]
    assert installation.state(meter)["energised"]


async def talk(installation: Installation, client: Requester, meter: str) -> None:
    """Let relay go off and on again, and a fact go down."""
    now_ms = installation.now_ms()
    fact = EntryFact(account="A-1", entry=b"\x80")
    await installation.transact(lambda connection: send_down(connection, UTILITY, "gw-1", fact, now_ms=now_ms))
    for effect in (Disconnect(), Reconnect()):
        client.ask(effect, meter)
        await client.over()
    await good_messages_go_through(installation)


def rows_of(connection: sa.Connection) -> dict[tuple[str, bytes], object]:
    """Return the commands with their states, and the batches."""
    command, message = schema.command.c, schema.message.c
    states = connection.execute(sa.select(command.id, command.state, command.version))
    batches = connection.execute(sa.select(message.digest, message.quarantine_reason))
    return {("command", bytes(name)): (state, version) for name, state, version in states} | {
        ("batch", bytes(digest)): reason for digest, reason in batches
    }
