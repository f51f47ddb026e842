"""The session over amqtt, which speaks MQTT 3.1.1 and forgets what is in flight.

It may take a message before the subscription that was sent ahead of it, or lose one to a connection that has ended. So
these tests do what our protocol does: they send again what did not arrive.
"""

import asyncio
from contextlib import suppress

from tests.rig.blocking import blocking_calls_fail
from tests.rig.brokers import Gate, amqtt
from tests.rig.ports import free_port
from tests.rig.sessions import DEADLINE_S, Watched, connected_session, watched_session
from wire.runtime.errors import UnavailableError
from wire.runtime.mqtt import Cause, Connected, Lost

RESEND_S = 0.5


async def send_until_received(sender: Watched, taker: Watched, topics: list[str]) -> None:
    """Publish an empty message on each topic, again and again, until `taker` has had all of them."""
    missing = dict.fromkeys(topics)
    async with asyncio.timeout(DEADLINE_S):
        while missing:
            for topic in missing:
                with suppress(UnavailableError):
                    await sender.session.publish(topic, b"")
            with suppress(TimeoutError):
                async with asyncio.timeout(RESEND_S):
                    while missing:
                        batch = await taker.session.next_batch()
                        taker.session.ack(batch)
                        for message in batch:
                            missing.pop(message.topic, None)


async def test_messages_pass_and_a_cut_connection_is_replaced() -> None:
    # amqtt blocks in its own start; what is watched here is our session.
    async with amqtt() as broker, Gate(broker.port) as gate:
        with blocking_calls_fail(["wire"]):
            async with connected_session(gate.port, protocol="3.1.1", subscriptions=("a/+",)) as owner:
                await send_until_received(owner, owner, [f"a/{number}" for number in range(100)])
                gate.drop()
                assert (await owner.next(Lost)).was_connected
                await owner.next(Connected)
                await send_until_received(owner, owner, ["a/again"])


async def test_what_was_sent_while_the_session_was_away_is_kept_for_it() -> None:
    async with amqtt() as broker, connected_session(broker.port, "sender", protocol="3.1.1") as sender:
        async with connected_session(broker.port, "taker", protocol="3.1.1", subscriptions=("t",)) as taker:
            await send_until_received(sender, taker, ["t"])
        # The first of these may still go to the connection that has just ended; the last does not.
        for number in range(30):
            await sender.session.publish("t", bytes([number]))
            await asyncio.sleep(0.01)
        async with watched_session(broker.port, "taker", protocol="3.1.1", subscriptions=("t",)) as taker:
            assert (await taker.next(Connected)).session_present
            payload = b""
            while payload != bytes([29]):
                (message,) = await taker.receive(1)
                payload = message.payload


async def test_a_broker_that_comes_back_empty_is_subscribed_to_again() -> None:
    port = free_port()
    async with watched_session(port, protocol="3.1.1", subscriptions=("t",)) as owner:
        for _ in range(2):
            async with amqtt(port=port):
                assert not (await owner.next(Connected)).session_present
                await send_until_received(owner, owner, ["t"])
            await owner.next(Lost)


async def test_the_newer_protocol_fails_with_a_remedy_that_names_it() -> None:
    async with amqtt() as broker, watched_session(broker.port, protocol="5", connect_timeout_s=1) as owner:
        lost = await owner.next(Lost)
        assert lost.cause in {Cause.CLOSED, Cause.TIMEOUT}
        assert "MQTT version" in lost.remedy


async def test_a_slow_consumer_is_bounded_against_it_too() -> None:
    held_max = 100
    async with (
        amqtt() as broker,
        connected_session(broker.port, "sender", protocol="3.1.1") as sender,
        connected_session(
            broker.port, "taker", protocol="3.1.1", subscriptions=("t",), intake_messages_max=held_max
        ) as taker,
    ):
        await send_until_received(sender, taker, ["t"])
        for _ in range(1_000):
            await sender.session.publish("t", b"")
            assert taker.session.intake_messages_count <= held_max
