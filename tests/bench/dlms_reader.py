"""Our DLMS client in whole sessions over a blocking socket, as a gateway's worker would drive it; a process of its own.

    python -m tests.bench.dlms_reader --repeat N
    python -m tests.bench.dlms_reader --decode N

Takes a question as JSON on standard input and answers as the scripts in `tests/foreign` do, so that all are asked and
measured alike: processor seconds of this process for one session, connecting included, start and imports not.
"""

import json
import secrets
import select
import socket
import sys
import time
from collections.abc import Generator
from typing import Any, TypeVar

from dlms.apdu.acse import Mechanism
from dlms.client.association import ClientAssociation
from dlms.client.settings import AssociationSettings
from dlms.cosem.profile_generic import Row
from dlms.errors import LinkError, LinkTimeoutError
from dlms.link.address import StationAddress
from dlms.link.client import HdlcClient
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from dlms.link.wrapper import WrapperClient
from dlms.security.counters import ReservedCounter
from dlms.security.keys import Keys
from tests.bench.dlms_question import FIRST_MS, LAST_MS
from tests.rig.dlms_meter import COLUMNS, PROFILE, ROWS, moment

T = TypeVar("T")
CHUNK_BYTES = 65_536


class SocketLink:
    """A link on a blocking socket."""

    def __init__(self, link: ClientLink, port: int) -> None:
        self._link = link
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes_sent = 0
        self.bytes_received = 0
        self.exchanges = 0

    def close(self) -> None:
        self._socket.close()

    def connect(self) -> None:
        self._until_end(self._link.connect(now_ms=_now_ms()))

    def disconnect(self) -> None:
        self._until_end(self._link.disconnect(now_ms=_now_ms()))

    def run(self, exchange: Generator[bytes, bytes, T]) -> T:
        """Carry a conversation to its end."""
        try:
            request = next(exchange)
            while True:
                events = (
                    self._link.send(request, now_ms=_now_ms()) if request else self._link.keep_waiting(now_ms=_now_ms())
                )
                end = self._until_end(events)
                assert isinstance(end, Received)
                request = exchange.send(end.apdu)
        except StopIteration as end:
            value: T = end.value
            return value

    def _until_end(self, events: tuple[LinkEvent, ...]) -> Connected | Disconnected | Received:
        while True:
            for event in events:
                match event:
                    case SendBytes():
                        self._socket.sendall(event.data)
                        self.exchanges += 1
                        self.bytes_sent += len(event.data)
                    case Failed():
                        raise event.error
                    case Received(is_unsolicited=True):
                        pass
                    case _:
                        return event
            events = self._wait()

    def _wait(self) -> tuple[LinkEvent, ...]:
        deadline_ms = self._link.next_deadline_ms()
        seconds = None if deadline_ms is None else max(0.0, (deadline_ms - _now_ms()) / 1000)
        if not select.select([self._socket], [], [], seconds)[0]:
            return self._link.on_timer(now_ms=_now_ms())
        data = self._socket.recv(CHUNK_BYTES)
        if not data:
            raise LinkError("the server closed the connection")
        self.bytes_received += len(data)
        return self._link.receive(data, now_ms=_now_ms())


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def link_for(question: dict[str, Any]) -> ClientLink:
    """Return the link that a question names."""
    if question["link"] == "hdlc":
        return HdlcClient(question["client_sap"], StationAddress(question["server_sap"], question["physical"]))
    return WrapperClient(question["client_sap"], question["server_sap"])


def settings_for(question: dict[str, Any]) -> AssociationSettings:
    """Return the settings that a question asks for."""
    return AssociationSettings(
        client_sap=question["client_sap"],
        server_sap=question["server_sap"],
        mechanism=Mechanism.HIGH_GMAC,
        keys=Keys(bytes.fromhex(question["encryption_key"]), bytes.fromhex(question["authentication_key"])),
        system_title=bytes.fromhex(question["title"]),
        pdu_bytes_max=question["pdu_bytes_max"],
    )


def read_day(link: SocketLink, association: ClientAssociation) -> tuple[Row, ...]:
    """Run one whole session and return the rows of the day, with their times as times."""
    link.connect()
    link.run(association.open())
    rows = link.run(association.get(ROWS, PROFILE.by_range(COLUMNS[0], moment(FIRST_MS), moment(LAST_MS))))
    link.run(association.close())
    link.disconnect()
    return rows


def _repeat(question: dict[str, Any], times: int) -> dict[str, Any]:
    settings = settings_for(question)
    counters = ReservedCounter(1, lambda _: None)

    def session() -> tuple[SocketLink, tuple[Row, ...]]:
        link = SocketLink(link_for(question), question["port"])
        association = ClientAssociation(settings, challenge=secrets.token_bytes(16), counters=counters)
        rows = read_day(link, association)
        link.close()
        return link, rows

    link, rows = session()  # warms up
    begun = time.process_time()
    for _ in range(times):
        session()
    seconds = (time.process_time() - begun) / times
    tallies = {"bytes_sent": link.bytes_sent, "bytes_received": link.bytes_received, "exchanges": link.exchanges}
    return {"sessions": times, "cpu_s": seconds, "rows": [len(rows)], **tallies}


def _decode(question: dict[str, Any], times: int) -> dict[str, Any]:
    data = bytes.fromhex(question["hex"])
    rows = ROWS.decode(data)
    begun = time.process_time()
    for _ in range(times):
        ROWS.decode(data)
    return {"decodings": times, "cpu_s": (time.process_time() - begun) / times, "rows": len(rows)}


def main(arguments: list[str]) -> None:
    """Do what the command line wants of the question on standard input."""
    kind, times = arguments
    act = {"--repeat": _repeat, "--decode": _decode}[kind]
    json.dump(act(json.load(sys.stdin), int(times)), sys.stdout)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LinkTimeoutError as error:
        raise SystemExit(f"the meter does not answer: {error}") from error
