"""Other people's MQTT clients talk to our session and hear it."""

import asyncio
from pathlib import Path
from typing import Any

import aiomqtt
import gmqtt  # type: ignore[import-untyped]
import pytest

from tests.rig.brokers import mosquitto
from tests.rig.ports import LOOPBACK
from tests.rig.sessions import connected_session

PAYLOADS = [b"", b"\x00\xff", bytes(range(256)) * 40]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_aiomqtt_and_our_session_understand_each_other(tmp_path: Path, protocol: str) -> None:
    version = aiomqtt.ProtocolVersion.V5 if protocol == "5" else aiomqtt.ProtocolVersion.V311
    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, protocol=protocol, subscriptions=("to/us",)) as owner,
        aiomqtt.Client(LOOPBACK, broker.running.port, identifier="foreign", protocol=version) as foreign,
    ):
        await foreign.subscribe("to/them", qos=1)
        for payload in PAYLOADS:
            await foreign.publish("to/us", payload, qos=1)
            await owner.session.publish("to/them", payload)
        assert [message.payload for message in await owner.receive(len(PAYLOADS))] == PAYLOADS
        heard = [await anext(aiter(foreign.messages)) for _ in PAYLOADS]
        assert [message.payload for message in heard] == PAYLOADS


async def test_gmqtt_and_our_session_understand_each_other(tmp_path: Path) -> None:
    heard: asyncio.Queue[tuple[bytes, dict[str, Any]]] = asyncio.Queue()
    subscribed = asyncio.Event()

    async def on_message(_c: object, _topic: str, payload: bytes, _qos: int, properties: dict[str, Any]) -> int:
        heard.put_nowait((payload, properties))
        return 0

    async with (
        mosquitto(tmp_path) as broker,
        connected_session(broker.running.port, subscriptions=("to/us",)) as owner,
    ):
        foreign = gmqtt.Client("foreign")
        foreign.on_message = on_message
        foreign.on_subscribe = lambda *_: subscribed.set()
        await foreign.connect(LOOPBACK, broker.running.port)
        try:
            foreign.subscribe("to/them", qos=1)
            await subscribed.wait()
            for payload in PAYLOADS:
                foreign.publish("to/us", payload, qos=1)
                await owner.session.publish(
                    "to/them", payload, response_topic="to/us", correlation=b"\x01", content_type="x", expiry_s=60
                )
            assert [message.payload for message in await owner.receive(len(PAYLOADS))] == PAYLOADS
            for payload in PAYLOADS:
                body, properties = await heard.get()
                assert body == payload
                assert properties["response_topic"] == ["to/us"]
                assert properties["correlation_data"] == [b"\x01"]
                assert properties["content_type"] == ["x"]
        finally:
            await foreign.disconnect()
