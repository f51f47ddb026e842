"""One meter behind two TCP ports, for the clients that are compared; a process of its own.

    python -m tests.bench.dlms_meters

Prints the ports as JSON: `wrapper` and `hdlc`. Serves until its standard input ends or it is killed.
"""

import asyncio
import json
import secrets
import signal

from dlms.apdu.acse import Mechanism
from dlms.link.address import StationAddress
from dlms.link.events import PeerDisconnected, PeerReceived, SendBytes, ServerLink
from dlms.link.server import HdlcServerLine
from dlms.link.wrapper import WrapperServer
from dlms.security.counters import PeerCounterPolicy, PeerCounters
from dlms.server.port import ServerPort
from tests.bench.dlms_question import CLIENT_SAP, KEYS, LOGICAL, METER_TITLE, PHYSICAL
from tests.rig.dlms_meter import RigMeter, rules_for

CHUNK_BYTES = 65_536


class _Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, meter: RigMeter, link: ServerLink) -> None:
        self._link = link
        self._port = ServerPort({LOGICAL: meter}, challenge=lambda: secrets.token_bytes(16))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        events = list(self._link.receive(data, now_ms=now_ms))
        for event in events:
            match event:
                case SendBytes():
                    self._transport.write(event.data)
                case PeerReceived(peer, apdu):
                    answer = self._port.handle(apdu, client=peer.client, server=peer.server)
                    if answer is None:
                        events += self._link.pass_turn(peer, now_ms=now_ms)
                    else:
                        events += self._link.send(peer, answer, now_ms=now_ms)
                case PeerDisconnected():
                    self._port.close()
                case _:
                    pass


async def main() -> None:
    """Serve until told to stop."""
    rules = rules_for(
        mechanism=Mechanism.HIGH_GMAC,
        secret=b"",
        keys=KEYS,
        title=METER_TITLE,
        peer_counters=PeerCounters(PeerCounterPolicy.PER_ASSOCIATION),
    )
    meter = RigMeter("bench", {CLIENT_SAP: rules})
    loop = asyncio.get_running_loop()
    wrapper = await loop.create_server(lambda: _Answering(meter, WrapperServer()), "127.0.0.1", 0)
    station = StationAddress(LOGICAL, PHYSICAL)
    hdlc = await loop.create_server(lambda: _Answering(meter, HdlcServerLine([station])), "127.0.0.1", 0)
    ports = {name: server.sockets[0].getsockname()[1] for name, server in (("wrapper", wrapper), ("hdlc", hdlc))}
    print(json.dumps({"ready": True, **ports}), flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
