"""Which broker to run: Mosquitto where it is installed, amqtt for a demonstration where it is not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from cloud.broker.mosquitto import MosquittoConfig, find_mosquitto, run_mosquitto
from cloud.broker.running import RunningBroker
from wire.runtime.errors import ConfigError


@asynccontextmanager
async def run_broker(
    config: MosquittoConfig, *, rng: Random, find: Callable[[], Path | None] = find_mosquitto
) -> AsyncIterator[RunningBroker]:
    """Run the best broker this machine has; its `statement` and `protocol` say which it became.

    Args:
        config: For Mosquitto; amqtt only takes host and port from it.
        rng: Jitter of restarts, and the choice of a free port.
        find: How an installed Mosquitto is found.

    Raises:
        ConfigError: Mosquitto is not installed and amqtt cannot do what `config` asks for, or a port is taken.
        UnavailableError: Mosquitto does not start.
    """
    if await asyncio.to_thread(find) is not None:
        async with run_mosquitto(config, rng=rng) as running:
            yield running
        return
    if config.tls is not None or config.acl:
        raise ConfigError(
            "mosquitto",
            "not installed, and the embedded broker has neither TLS clients nor an access list",
            "install it (Debian: apt install mosquitto)",
        )
    # amqtt takes a third of a second to import, which nobody with Mosquitto should wait for.
    from cloud.broker.embedded import run_embedded  # noqa: PLC0415

    async with run_embedded(host=config.host, port=config.port, rng=rng) as running:
        yield running
