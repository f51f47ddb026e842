"""The session over a real Mosquitto, with a network in between that is cut, frozen and restored."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.rig.brokers import Gate, mosquitto
from tests.rig.ports import free_port
from tests.rig.sessions import connected_session, until, watched_session
from wire.runtime.errors import BusyError, PublishRefusedError, UnavailableError
from wire.runtime.mqtt import Cause, Connected, Lost, Will

pytestmark = pytest.mark.usefixtures("no_blocking_calls")

NOT_AUTHORIZED = 0x87
PACKET_TOO_LARGE = 0x95


def numbered(count: int) -> list[bytes]:
    return [f"message {number}".encode() for number in range(count)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(tmp_path: Path, protocol: str) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(broker.running.port, "sender", protocol=protocol) as sender,
        connected_session(gate.port, "taker", protocol=protocol, subscriptions=("t",)) as taker,
    ):
        for payload in numbered(3):
            await sender.session.publish("t", payload)
        first, *rest = await taker.receive(3, ack=False)
        taker.session.ack([first])
        # A PUBACK of the taker's own publish tells that the broker has read the acknowledgement before it.
        await taker.session.publish("elsewhere", b"")
        gate.drop()

        again = await taker.receive(2, ack=False)
        assert [message.payload for message in again] == [message.payload for message in rest]
        assert all(message.duplicate for message in again)
        assert (await taker.next(Lost)).was_connected
        assert (await taker.next(Connected)).session_present


async def test_acknowledging_messages_of_an_earlier_connection_does_nothing(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(broker.running.port, "sender") as sender,
        connected_session(gate.port, "taker", subscriptions=("t",)) as taker,
    ):
        for payload in numbered(2):
            await sender.session.publish("t", payload)
        stale = await taker.receive(2, ack=False)
        gate.drop()
        await taker.receive(2, ack=False)
        taker.session.ack(stale)
        assert taker.session.intake_messages_count == 2
        await taker.session.publish("elsewhere", b"")
        gate.drop()
        assert [message.payload for message in await taker.receive(2)] == numbered(2)


async def test_a_broker_killed_with_its_state_is_found_again_and_subscribed_to(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, subscriptions=("a/+", "b")) as owner,
    ):
        pid = broker.pid
        os.kill(pid, signal.SIGKILL)
        assert (await owner.next(Lost)).was_connected
        assert not (await owner.next(Connected)).session_present
        assert broker.pid != pid
        for topic in ("a/1", "b"):
            await owner.session.publish(topic, b"")
        assert [message.topic for message in await owner.receive(2)] == ["a/1", "b"]


async def test_a_consumer_that_does_not_acknowledge_holds_a_bounded_number(tmp_path: Path) -> None:
    count, held_max, window = 5_000, 100, 20
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "sender", publish_window=200) as sender,
        connected_session(
            broker.running.port, "taker", subscriptions=("t",), intake_messages_max=held_max, publish_window=window
        ) as taker,
    ):
        held_counts = []

        async def publish(payload: bytes) -> None:
            await sender.session.publish("t", payload)
            held_counts.append(taker.session.intake_messages_count)

        await asyncio.gather(*(publish(payload) for payload in numbered(count)))
        await until(lambda: taker.session.intake_messages_count >= held_max)
        assert max(held_counts) <= held_max + window

        received = await taker.receive(count)
        assert [message.payload for message in received] == numbered(count)
        assert not taker.seen(Lost)


async def test_the_bytes_held_are_bounded_too(tmp_path: Path) -> None:
    payload, held_bytes_max = bytes(50_000), 500_000
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "sender") as sender,
        connected_session(broker.running.port, "taker", subscriptions=("t",), intake_bytes_max=held_bytes_max) as taker,
    ):
        for _ in range(100):
            await sender.session.publish("t", payload)
        await until(lambda: taker.session.intake_bytes_count >= held_bytes_max)
        assert taker.session.intake_bytes_count <= held_bytes_max + 2 * len(payload)
        assert len(await taker.receive(100)) == 100


async def test_a_full_intake_outlasts_the_keep_alive(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(broker.running.port, "sender") as sender,
        connected_session(gate.port, "taker", subscriptions=("t",), intake_messages_max=10, keep_alive_s=1) as taker,
    ):
        for payload in numbered(50):
            await sender.session.publish("t", payload)
        await until(lambda: taker.session.intake_messages_count >= 10)
        await until(lambda: gate.pings_count >= 4)
        assert not taker.seen(Lost)
        assert [message.payload for message in await taker.receive(50)] == numbered(50)


async def test_who_awaits_a_publish_before_acknowledging_is_delayed_and_not_stuck(tmp_path: Path) -> None:
    count = 500
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "sender", publish_window=200) as sender,
        connected_session(
            broker.running.port, "taker", subscriptions=("t",), intake_messages_max=10, publish_timeout_s=1
        ) as taker,
    ):
        await asyncio.gather(*(sender.session.publish("t", payload) for payload in numbered(count)))
        await until(lambda: taker.session.intake_messages_count >= 10)
        first = await taker.receive(10, ack=False)
        with pytest.raises(UnavailableError):
            await taker.session.publish("elsewhere", b"")
        taker.session.ack(first)
        assert len(await taker.receive(100)) == 100
        assert not taker.seen(Lost)


async def test_a_refused_publish_is_seen_and_the_session_goes_on(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path, acl=("topic readwrite open/#",)) as broker,
        connected_session(broker.running.port, subscriptions=("open/#",)) as owner,
    ):
        with pytest.raises(PublishRefusedError) as refused:
            await owner.session.publish("closed/door", b"")
        assert refused.value.code == NOT_AUTHORIZED
        await owner.session.publish("open/door", b"")
        assert [message.topic for message in await owner.receive(1)] == ["open/door"]


async def test_with_the_older_protocol_a_refused_publish_looks_accepted(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path, acl=("topic readwrite open/#",)) as broker,
        connected_session(broker.running.port, protocol="3.1.1", subscriptions=("#",)) as owner,
    ):
        await owner.session.publish("closed/door", b"")
        await owner.session.publish("open/door", b"")
        assert [message.topic for message in await owner.receive(1)] == ["open/door"]


async def test_too_long_a_payload_is_refused_here_and_costs_no_connection(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, payload_bytes_max=2_000_000) as owner,
    ):
        for bytes_count in (2_000_001, 1_500_000):  # over our own limit, and over the broker's
            with pytest.raises(PublishRefusedError) as refused:
                await owner.session.publish("t", bytes(bytes_count))
            assert refused.value.code == PACKET_TOO_LARGE
        await owner.session.publish("t", bytes(1_000_000))
        assert not owner.seen(Lost)


async def test_the_will_is_sent_for_a_client_cut_off_and_not_for_one_that_leaves(tmp_path: Path) -> None:
    will = Will(topic="will", payload=b"gone")
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, "heir", subscriptions=("will", "mark")) as heir,
    ):
        async with connected_session(broker.running.port, "leaves", will=will):
            pass
        await heir.session.publish("mark", b"")
        assert [message.topic for message in await heir.receive(1)] == ["mark"]
        async with Gate(broker.running.port) as gate, connected_session(gate.port, "cut off", will=will):
            gate.drop()
            assert [message.payload for message in await heir.receive(1)] == [b"gone"]


async def test_a_broker_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    async with watched_session(port, subscriptions=("t",)) as owner:
        lost = await owner.next(Lost)
        assert (lost.cause, lost.was_connected) == (Cause.UNREACHABLE, False)
        assert str(port) in lost.detail
        assert lost.remedy
        with pytest.raises(UnavailableError):
            await owner.session.publish("t", b"")
        async with mosquitto(tmp_path, port=port):
            await owner.next(Connected)
            await owner.session.publish("t", b"here")
            assert [message.payload for message in await owner.receive(1)] == [b"here"]


async def test_a_connection_dead_without_a_sign_is_noticed_and_replaced(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(gate.port, keep_alive_s=1, connect_timeout_s=1) as owner,
    ):
        gate.freeze()
        assert (await owner.next(Lost)).cause is Cause.SILENT
        assert (await owner.next(Lost)).cause is Cause.TIMEOUT
        gate.thaw()
        await owner.next(Connected)


async def test_publishes_on_their_way_fail_the_moment_the_connection_ends(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(gate.port, publish_window=2) as owner,
    ):
        gate.freeze()
        on_their_way = [owner.session.try_publish("t", payload) for payload in numbered(2)]
        waiting = [asyncio.create_task(owner.session.publish("t", payload)) for payload in numbered(3)]
        with pytest.raises(BusyError):
            owner.session.try_publish("t", b"")
        gate.drop()
        results = await asyncio.gather(*on_their_way, *waiting, return_exceptions=True)
        assert [type(result) for result in results] == [UnavailableError] * 5


async def test_a_publish_without_an_answer_ends_in_its_time_out_and_keeps_its_place(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        Gate(broker.running.port) as gate,
        connected_session(gate.port, publish_window=1, publish_timeout_s=1) as owner,
    ):
        gate.freeze()
        with pytest.raises(UnavailableError):
            await owner.session.publish("t", b"")
        with pytest.raises(BusyError):
            owner.session.try_publish("t", b"")
        gate.thaw()
        await owner.session.publish("t", b"")


async def test_a_client_ousted_by_one_of_the_same_name_is_told_and_comes_back(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker, connected_session(broker.running.port, "twin") as first:
        async with connected_session(broker.running.port, "twin", reconnect_delay_ms_max=5_000):
            assert "client id" in (await first.next(Lost)).remedy
        await first.next(Connected)


async def test_what_the_owner_raises_leaves_the_session_as_it_is(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker:
        with pytest.raises(KeyError, match="mine"):
            async with connected_session(broker.running.port):
                raise KeyError("mine")
