"""Our DLMS client on a blocking TCP socket: the least shell that a link and an association need."""

import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.wrapper import WrapperClient

T = TypeVar("T")
_SILENCE_SECONDS_MAX: Final = 30.0
_CHUNK_BYTES: Final = 65_536


def _now_ms() -> int:
    return int(monotonic() * 1000)


class SocketClient:
    """One link over one connection."""

    def __init__(self, connection: socket.socket, link: ClientLink) -> None:
        self._connection = connection
        self._link = link
        self.sends = 0

    def run(self, exchange: Generator[bytes, bytes, T]) -> T:
        """Carry a conversation to its end and return what came of it."""
        try:
            apdu = next(exchange)
            while True:
                answer = self._until(self._link.send(apdu, now_ms=_now_ms()))
                assert isinstance(answer, Received)
                apdu = exchange.send(answer.apdu)
        except StopIteration as end:
            value: T = end.value
            return value

    def connect(self) -> None:
        """Begin a session of the link."""
        assert isinstance(self._until(self._link.connect(now_ms=_now_ms())), Connected)

    def disconnect(self) -> None:
        """End it."""
        assert isinstance(self._until(self._link.disconnect(now_ms=_now_ms())), Disconnected)

    def _until(self, events: tuple[LinkEvent, ...]) -> LinkEvent:
        """Do what the link says until something comes of it."""
        while True:
            for event in events:
                match event:
                    case SendBytes(data=data):
                        self._connection.sendall(data)
                        self.sends += 1
                    case Failed(error=error):
                        raise error
                    case _:
                        return event
            events = self._wait()

    def _wait(self) -> tuple[LinkEvent, ...]:
        deadline_ms = self._link.next_deadline_ms()
        left_s = _SILENCE_SECONDS_MAX if deadline_ms is None else max(0.001, (deadline_ms - _now_ms()) / 1000)
        self._connection.settimeout(left_s)
        try:
            came = self._connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            return self._link.on_timer(now_ms=_now_ms())
        if not came:
            raise ConnectionError("the server closed the connection")
        return self._link.receive(came, now_ms=_now_ms())


@contextmanager
def socket_client(port: int, kind: str, *, client: int, server: StationAddress) -> Iterator[SocketClient]:
    """Open a connection to a port of this machine, with a link of a kind, "wrapper" or "hdlc", on it."""
    link = HdlcClient(client, server) if kind == "hdlc" else WrapperClient(client, server.upper)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        ours = SocketClient(connection, link)
        ours.connect()
        yield ours
        ours.disconnect()
