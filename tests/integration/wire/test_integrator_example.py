"""The client in docs/examples, which shares no code with ours, is understood by ours and understands it."""

import ast
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from tests.rig.brokers import mosquitto
from tests.rig.parties import CLIENT, PARTIES, REGISTRY, UTILITY, address_of
from tests.rig.ports import LOOPBACK
from wire.address import Kind
from wire.messages import Disconnect, Effect, Ping, Read, Reconnect, Request, State, Status, open_message, seal_message
from wire.topics import TopicTree

EXAMPLE = Path(__file__).parent.parent.parent.parent / "docs" / "examples" / "integrator.py"
TREE = TopicTree(UTILITY)
SECONDS_MAX = 30


@dataclass(frozen=True, slots=True)
class Stage:
    """A broker on which the example has just sent its request, and the cloud's place in it is ours."""

    cloud: aiomqtt.Client
    example: asyncio.subprocess.Process
    request: Request

    async def say(self, state: State, *, detail: str = "", at_ms: int = 0) -> None:
        """Send the example a status."""
        status = Status(
            request=self.request.id,
            command=bytes(16),
            meter=self.request.meters[0],
            state=state,
            at_ms=self.request.issued_at_ms + at_ms,
            detail=detail,
            relay_closed=False if state is State.EXECUTED else None,
        )
        sealed = seal_message(status, address_of(Kind.STATUS), PARTIES["cloud-ack"].key)
        await self.cloud.publish(TREE.client(CLIENT, Kind.STATUS), sealed, qos=1)

    async def finished(self) -> list[dict[str, object]]:
        """Return what the example printed once it ended well."""
        out, error = await asyncio.wait_for(self.example.communicate(), SECONDS_MAX)
        assert self.example.returncode == 0, error.decode()
        return [json.loads(line) for line in out.splitlines()]


@asynccontextmanager
async def _stage(folder: Path, effect: str) -> AsyncIterator[Stage]:
    (folder / "seed").write_text(PARTIES["integrator"].seed.hex() + "\n")
    (folder / "cloud").write_text(PARTIES["cloud-ack"].key.public.public.hex() + "\n")
    async with (
        mosquitto(folder / "broker") as broker,
        aiomqtt.Client(LOOPBACK, broker.running.port, identifier="cloud") as cloud,
    ):
        await cloud.subscribe(TREE.request_filter(), qos=1)
        example = await asyncio.create_subprocess_exec(
            sys.executable, EXAMPLE, "--host", LOOPBACK, "--port", str(broker.running.port),
            "--utility", UTILITY, "--client", CLIENT, "--meter", "m-1", "--effect", effect,
            "--key-seed-file", folder / "seed", "--cloud-key-file", folder / "cloud",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            message = await asyncio.wait_for(anext(aiter(cloud.messages)), SECONDS_MAX)
            assert isinstance(message.payload, bytes)
            request, _ = open_message(message.payload, TREE.parse(str(message.topic)), REGISTRY)
            assert isinstance(request, Request)
            yield Stage(cloud, example, request)
        finally:
            if example.returncode is None:
                example.kill()
                await example.wait()


@pytest.mark.parametrize(
    ("name", "effect"),
    [("disconnect", Disconnect()), ("reconnect", Reconnect()), ("read", Read([])), ("ping", Ping())],
    ids=["disconnect", "reconnect", "read", "ping"],
)
async def test_its_request_opens_and_its_statuses_are_printed(tmp_path: Path, name: str, effect: Effect) -> None:
    async with _stage(tmp_path, name) as stage:
        assert stage.request.effect == effect
        assert stage.request.meters == ["m-1"]
        assert stage.request.not_after_ms - stage.request.issued_at_ms == 300_000
        for at_ms, state in enumerate((State.ACCEPTED, State.SENT, State.EXECUTED)):
            await stage.say(state, at_ms=at_ms)
        printed = await stage.finished()
    assert [status["state"] for status in printed] == ["accepted", "sent", "executed"]
    assert printed[-1]["relay_closed"] is False


async def test_it_repeats_the_same_bytes_until_a_final_status(tmp_path: Path) -> None:
    async with _stage(tmp_path, "disconnect") as stage:
        await stage.say(State.ACCEPTED)
        again = await asyncio.wait_for(anext(aiter(stage.cloud.messages)), SECONDS_MAX)
        assert isinstance(again.payload, bytes)
        assert open_message(again.payload, TREE.parse(str(again.topic)), REGISTRY)[0] == stage.request
        await stage.say(State.REFUSED, detail="not-allowed")
        printed = await stage.finished()
    assert printed[-1]["detail"] == "not-allowed"


async def test_it_believes_no_status_of_another_key(tmp_path: Path) -> None:
    async with _stage(tmp_path, "disconnect") as stage:
        status = Status(
            request=stage.request.id, command=bytes(16), meter="m-1", state=State.EXECUTED,
            at_ms=stage.request.issued_at_ms, detail="forged", relay_closed=False,
        )  # fmt: skip
        forged = bytearray(seal_message(status, address_of(Kind.STATUS), PARTIES["cloud-ack"].key))
        forged[-1] ^= 1
        await stage.cloud.publish(TREE.client(CLIENT, Kind.STATUS), bytes(forged), qos=1)
        await stage.say(State.FAILED, at_ms=1)
        printed = await stage.finished()
    assert [status["state"] for status in printed] == ["failed"]


def test_it_imports_nothing_of_ours() -> None:
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(EXAMPLE.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    ours = {"wire", "dlms", "prepay", "gateway", "cloud", "device_sim", "certs", "dashboards", "tests"}
    assert not {name.split(".")[0] for name in names} & ours
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"cbor2", "gmqtt", "nacl"}
