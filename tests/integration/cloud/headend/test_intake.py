"""What the database does not take from one message keeps no other message out, and does not come for ever."""

from collections.abc import Sequence

import sqlalchemy as sa

from cloud import schema
from cloud.database import Database, open_database
from cloud.effects import Publish
from cloud.headend.adapters.intake import Intake
from cloud.keys import register_key
from cloud.migrations import require_current
from cloud.registry import Registry
from tests.rig.reporting import UTILITY
from wire.address import Address, Direction, Kind
from wire.facts import Health, Metric
from wire.keys import PinnedKeys, Purpose, SigningKey
from wire.messages import Ack, make_batch, open_message, seal_message
from wire.runtime.clock import SystemClock
from wire.runtime.mqtt import Message
from wire.topics import TopicTree

TREE = TopicTree(UTILITY)
ACK_KEY = SigningKey(bytes([1]) * 32, purpose=Purpose.CLOUD_ACK, party="cloud")
GATEWAYS = ("gw-1", "gw-2", "gw-3")
KEYS = {name: SigningKey(name.encode().ljust(32, b"."), purpose=Purpose.GATEWAY, party=name) for name in GATEWAYS}


def batch_of(number: int, gateway: str, meter: str) -> Message:
    health = Health(boot=bytes(8), tick_ms=1, meter=meter, metrics=[Metric("reads", 1)])
    batch = make_batch([health], store=bytes(8), index=1)
    sealed = seal_message(batch, Address(UTILITY, Direction.UP, Kind.BATCH, gateway), KEYS[gateway])
    return Message(
        topic=TREE.up(gateway, "bulk"),
        payload=sealed,
        qos=1,
        retain=False,
        duplicate=False,
        sequence=number,
        packet_id=number,
    )


def acks(published: Sequence[Publish]) -> dict[str, Ack]:
    found: dict[str, Ack] = {}
    for effect in published:
        gateway = effect.topic.split("/")[-3]
        address = Address(UTILITY, Direction.DOWN, Kind.ACK, gateway)
        ack, _ = open_message(effect.sealed, address, PinnedKeys([ACK_KEY.public]))
        assert isinstance(ack, Ack)
        found[gateway] = ack
    return found


async def refuse_meter(database: Database, meter: str) -> None:
    """Let the database refuse what is said of a meter."""

    def settle(connection: sa.Connection) -> None:
        for key in KEYS.values():
            register_key(connection, UTILITY, key.public)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"ALTER TABLE health ADD CONSTRAINT refused CHECK (meter <> '{meter}')"))
        else:
            connection.execute(
                sa.text(
                    f"CREATE TRIGGER refused BEFORE INSERT ON health WHEN NEW.meter = '{meter}' "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            )

    await database.transact(settle)


async def test_a_batch_that_the_database_does_not_take_is_kept_aside_and_the_others_committed(
    database_url: str,
) -> None:
    async with open_database(database_url) as database:
        await require_current(database)
        await refuse_meter(database, "m-odd")
        clock = SystemClock()
        registry = Registry(database, UTILITY, clock)
        intake = Intake(database, tree=TREE, registry=registry, key=ACK_KEY, clock=clock, on_committed=lambda: None)
        group = [batch_of(1, "gw-1", "m-1"), batch_of(2, "gw-2", "m-odd"), batch_of(3, "gw-3", "m-3")]
        told = acks(await intake.handle(group))

        assert {name: len(ack.committed) for name, ack in told.items()} == {"gw-1": 1, "gw-2": 0, "gw-3": 1}
        assert [item.reason for item in told["gw-2"].quarantined] == ["malformed"]
        # It comes again: nothing changes.
        assert acks(await intake.handle(group)).keys() == set(GATEWAYS)
        query = sa.select(schema.message.c.gateway, schema.message.c.quarantine_reason)
        stored = await database.transact(lambda connection: connection.execute(query).all())
        assert sorted(tuple(row) for row in stored if row.quarantine_reason is not None) == [("gw-2", "malformed")]
        assert len(stored) == len(GATEWAYS)
