"""The session over amqtt, which speaks MQTT 3.1.1 and forgets what is in flight."""

import pytest

from tests.rig.blocking import blocking_calls_fail
from tests.rig.brokers import Gate, amqtt
from tests.rig.ports import free_port
from tests.rig.sessions import connected_session, watched_session
from wire.runtime.mqtt import Cause, Connected, Lost


async def test_messages_pass_and_a_cut_connection_is_replaced() -> None:
    # amqtt blocks in its own start; what is watched here is our session.
    async with amqtt() as broker, Gate(broker.port) as gate:
        with blocking_calls_fail(["wire"]):
            async with connected_session(gate.port, protocol="3.1.1", subscriptions=("a/+",)) as owner:
                for number in range(100):
                    await owner.session.publish(f"a/{number}", bytes([number]))
                received = await owner.receive(100)
                assert [message.payload for message in received] == [bytes([number]) for number in range(100)]
                gate.drop()
                await owner.next(Connected)
                await owner.session.publish("a/again", b"")
                assert [message.topic for message in await owner.receive(1)] == ["a/again"]


async def test_what_was_sent_while_the_session_was_away_is_kept_for_it() -> None:
    async with amqtt() as broker, connected_session(broker.port, "sender", protocol="3.1.1") as sender:
        async with connected_session(broker.port, "taker", protocol="3.1.1", subscriptions=("t",)) as taker:
            await sender.session.publish("t", b"subscribed")
            await taker.receive(1)
        await sender.session.publish("t", b"kept")
        async with watched_session(broker.port, "taker", protocol="3.1.1", subscriptions=("t",)) as taker:
            assert (await taker.next(Connected)).session_present
            assert [message.payload for message in await taker.receive(1)] == [b"kept"]


async def test_a_broker_that_comes_back_empty_is_subscribed_to_again() -> None:
    port = free_port()
    async with watched_session(port, protocol="3.1.1", subscriptions=("t",)) as owner:
        for _ in range(2):
            async with amqtt(port=port):
                assert not (await owner.next(Connected)).session_present
                await owner.session.publish("t", b"")
                assert [message.topic for message in await owner.receive(1)] == ["t"]
            await owner.next(Lost)


async def test_the_newer_protocol_fails_with_a_remedy_that_names_it() -> None:
    async with amqtt() as broker, watched_session(broker.port, protocol="5", connect_timeout_s=1) as owner:
        lost = await owner.next(Lost)
        assert lost.cause in {Cause.CLOSED, Cause.TIMEOUT}
        assert "MQTT version" in lost.remedy


@pytest.mark.parametrize("count", [2_000])
async def test_a_slow_consumer_is_bounded_against_it_too(count: int) -> None:
    async with (
        amqtt() as broker,
        connected_session(broker.port, "sender", protocol="3.1.1") as sender,
        connected_session(
            broker.port, "taker", protocol="3.1.1", subscriptions=("t",), intake_messages_max=100
        ) as taker,
    ):
        for _ in range(count):
            await sender.session.publish("t", b"")
        assert taker.session.intake_messages_count <= 120
