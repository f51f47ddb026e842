"""Real brokers for tests: one of its own for each test, on a free port of loopback, gone when the test is.

Also what tests do to them: kill them, freeze them, stand in front of them.
"""

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud.broker.embedded import run_embedded
from cloud.broker.mosquitto import BrokerTls, Mosquitto, MosquittoConfig
from cloud.broker.running import RunningBroker
from tests.rig.ports import LOOPBACK, free_port

PINGREQ = b"\xc0\x00"


@asynccontextmanager
async def mosquitto(
    state_dir: Path, *, port: int = 0, acl: tuple[str, ...] = (), tls: BrokerTls | None = None
) -> AsyncIterator[Mosquitto]:
    """Run Mosquitto; its `running` says where, its `pid` is what to kill.

    Args:
        state_dir: Where its state lies; the same folder again finds it again.
        port: 0 for a free one.
        acl: Lines of the access list.
        tls: A TLS listener beside the plain one.
    """
    config = MosquittoConfig(state_dir=state_dir, port=port or free_port(), acl=acl, tls=tls)
    async with Mosquitto(config, rng=random.Random(0)) as child:
        yield child


@asynccontextmanager
async def amqtt(*, port: int = 0) -> AsyncIterator[RunningBroker]:
    """Run amqtt in this event loop."""
    async with run_embedded(port=port or free_port(), rng=random.Random(0)) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """A certificate authority and what it issued, as PEM files."""

    cafile: Path
    server_certfile: Path
    server_keyfile: Path
    client_certfile: Path
    client_keyfile: Path


def make_certificates(folder: Path, *, client_name: str = "gw-0001") -> Certificates:
    """Make a new authority, a server's certificate for loopback and a client's with `client_name` as its name.

    Args:
        folder: Where the files go.
        client_name: Common name of the client's certificate.
    """
    ca = folder / "ca.crt"
    ca_key = folder / "ca.key"
    _openssl("req", "-x509", *_new_key(ca_key), "-out", ca, "-days", "2", "-subj", "/CN=Test authority")
    _issue(folder, "server", ca, ca_key, subject="/CN=127.0.0.1", extension="subjectAltName=IP:127.0.0.1,DNS:localhost")
    _issue(folder, "client", ca, ca_key, subject=f"/CN={client_name}", extension="extendedKeyUsage=clientAuth")
    return Certificates(
        cafile=ca,
        server_certfile=folder / "server.crt",
        server_keyfile=folder / "server.key",
        client_certfile=folder / "client.crt",
        client_keyfile=folder / "client.key",
    )


def _new_key(path: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _issue(folder: Path, name: str, ca: Path, ca_key: Path, *, subject: str, extension: str) -> None:
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(extension + "\n", encoding="ascii")
    _openssl("req", "-new", *_new_key(folder / f"{name}.key"), "-out", request, "-subj", subject)
    signer = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2")
    _openssl("x509", "-req", "-in", request, "-out", folder / f"{name}.crt", *signer, "-extfile", extensions)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Gate:
    """A TCP relay in front of a broker that can go silent without closing anything: a half-open connection.

    Args:
        port: The broker's.
    """

    def __init__(self, port: int) -> None:
        self._target_port = port
        self._opened = asyncio.Event()
        self._opened.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.pings_count = 0
        """MQTT pings that clients sent."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def drop(self) -> None:
        """Cut every connection without a farewell; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing pass any more; connections stay open and new ones are accepted."""
        self._opened.clear()

    def thaw(self) -> None:
        """Let everything pass again."""
        self._opened.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            writer.close()
            return
        self._writers.add(far_writer)
        for source, sink, is_upstream in ((reader, far_writer, True), (far_reader, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, is_upstream=is_upstream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_upstream: bool) -> None:
        try:
            while data := await source.read(65_536):
                self.pings_count += is_upstream and data == PINGREQ
                await self._opened.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
