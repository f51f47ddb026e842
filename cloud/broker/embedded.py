"""amqtt in our own process, for a machine without Mosquitto: a demonstration on loopback and nothing else.

It decides that nobody outside this machine can reach it, because amqtt isolates clients from one another too badly to
be reached. It forgets messages in flight; our protocol sends them again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import structlog
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import BrokerConfig, ListenerConfig  # type: ignore[import-untyped]
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from cloud.broker.running import RunningBroker, free_port, is_loopback
from wire.runtime.errors import ConfigError

STATEMENT: Final = (
    "amqtt in this process, for demonstrations on this machine only: MQTT 3.1.1, forgets messages in flight, "
    "keeps no client from another's topics; install mosquitto for anything else"
)

_log = structlog.get_logger("cloud.broker")


class AdmitAll(BaseAuthPlugin):  # type: ignore[misc]
    """Admits everybody as a known client, because amqtt throws the sessions of anonymous ones away."""

    async def authenticate(self, *, session: Session) -> bool:
        session.is_anonymous = False
        return True


class _Broker(Broker):  # type: ignore[misc]
    """amqtt, but for the connections it forgets to close when a client speaks another MQTT version or breaks off."""

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(config)
        self._writers: set[asyncio.StreamWriter] = set()

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        self._writers.add(writer)
        try:
            await super().stream_connected(reader, writer, listener_name)
        except OSError as exc:
            _log.debug("broker.connection_broke", program="amqtt", error=str(exc))
        finally:
            self._writers.discard(writer)
            writer.close()

    async def shutdown(self) -> None:
        await super().shutdown()
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def run_embedded(*, rng: Random, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RunningBroker]:
    """Run amqtt in this event loop and give where it listens.

    Raises:
        ConfigError: `host` can be reached from outside, or the port is taken.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"{host}:{port}",
            "the embedded broker does not listen where others could reach it",
            "use a loopback address, or install mosquitto",
        )
    port = await asyncio.to_thread(free_port, host, port, rng=rng)
    broker = _Broker(
        BrokerConfig(
            listeners={"default": ListenerConfig(bind=f"{host}:{port}")},
            plugins={f"{AdmitAll.__module__}.{AdmitAll.__qualname__}": {}},
        )
    )
    # It warns about every odd packet of a peer, thousands in a bad minute; what matters shows at the clients.
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    await broker.start()
    _log.warning("broker.started", program="amqtt", port=port, statement=STATEMENT)
    try:
        yield RunningBroker(program="amqtt", host=host, port=port, protocol="3.1.1", statement=STATEMENT)
    finally:
        await broker.shutdown()
