"""Simulated IS 15959 meters that admit client 48 in any way a test wants, as a process that tells the truth about them.

    python -m tests.rig.meter_house '{"NAME": {…}, …}'

Each has two TCP ports of its own: the wrapper, and HDLC at physical address 17. Its settings are those of
`MeterSettings` that JSON has, and
    mechanism   2 to 6, of clients 48 and 80; 2 unless told
    required    security control bits of client 48, 0x30 unless told; 0 lets it leave its requests unciphered

Prints {"ready", "ports": {NAME: {"wrapper", "hdlc"}}, "control"} and serves until it gets SIGTERM. On the control port
one JSON object a line, {"meter", "ask": …}, is answered with one JSON value: "state", or "traffic" since it was last
asked. Both are taken from the simulation, beside the protocol. `wattpost sim` plays meters as they are sold; this is
for the associations that those do not offer.
"""

import asyncio
import json
import secrets
import signal
import sys
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final

from device_sim.core.faults import Faults
from device_sim.core.is15959.associations import Client
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate
from device_sim.core.load import HouseholdLoad
from device_sim.core.profile import standard_profile
from device_sim.core.supply import Feeder, Supply
from dlms.apdu.acse import Mechanism
from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.link.address import StationAddress
from dlms.link.events import PeerDisconnected, PeerReceived, SendBytes, ServerLink
from dlms.link.server import HdlcServerLine
from dlms.link.wrapper import WrapperServer
from dlms.server.device import Access, AssociationRules
from dlms.server.port import ServerPort

OPENED_MS: Final = 1_780_315_200_000
"""Site time when the ports open: 2026-06-01 12:00 UTC."""
PHYSICAL: Final = 17
LOGICAL: Final = 1
INDIA_MIN: Final = 330
SEED: Final = 1


class Inhabitant:
    """One meter of the house: a logical device that lets client 48 in on the test's terms."""

    def __init__(self, name: str, *, mechanism: int = 2, required: int = 0x30, **settings: Any) -> None:
        profile = standard_profile()
        load = HouseholdLoad(
            profile=profile, seed=SEED, household=name, annual_kwh=1800, phase_count=1, power_max_w=7_000
        )
        self.supply = Supply(
            load=load,
            feeder=Feeder(profile=profile, seed=SEED),
            utc_offset_min=INDIA_MIN,
            cable_ohm=0.4,
            started_ms=OPENED_MS,
        )
        told = MeterSettings(nameplate=Nameplate(serial=name), mechanism=Mechanism(mechanism), **settings)
        faults = Faults((), rng=Random(SEED))
        self.meter = Is15959Meter(told, supply=self.supply, faults=faults, now_ms=OPENED_MS)
        self._required = required
        self._request_tags: set[int] = set()
        self._answer_bytes_max = 0
        self._proofs: set[tuple[int, int]] = set()

    # ---- the logical device ------------------------------------------------------------------------------------------

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        rules = self.meter.association_rules(client_sap)
        if rules is None or rules.security is None or client_sap != Client.SETTINGS:
            return rules
        security = replace(rules.security, required=self._required)
        return replace(rules, security=security, plain_context=not self._required)

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        self._proofs.add((access.mechanism, access.control))
        return self.meter.read(attribute, selection, access)

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        self._proofs.add((access.mechanism, access.control))
        self.meter.write(attribute, selection, value, access)

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        self._proofs.add((access.mechanism, access.control))
        return self.meter.invoke(method, parameters, access)

    # ---- the truth ---------------------------------------------------------------------------------------------------

    def saw(self, apdu: bytes, answer: bytes | None) -> None:
        """Keep what a request and its answer looked like."""
        self._request_tags.add(apdu[0])
        self._answer_bytes_max = max(self._answer_bytes_max, len(answer or b""))

    def state(self) -> dict[str, Any]:
        """Tell how the meter and its household stand."""
        meter = self.meter
        return {
            "clock_ms": meter.local_ms - INDIA_MIN * 60_000,
            "is_closed": meter.relay.is_closed,
            "control_state": int(meter.relay.state),
            "energised": self.supply.closed,
            "balance": meter.prepaid.balance,
            "capture_period_s": meter.due.capture_period_s,
            "programmed": meter.programming_count,
            "firmware": meter.firmware.version,
            "passive_days": [
                [day.day_id, [[list(action.start.encoded[:2]), action.selector] for action in day.actions]]
                for day in meter.calendars.passive.days
            ],
        }

    def traffic(self) -> dict[str, Any]:
        """Tell the first bytes of requests, the longest answer, and mechanism and protection of what was asked."""
        told = {
            "tags": sorted(self._request_tags),
            "answer_bytes_max": self._answer_bytes_max,
            "proofs": sorted(self._proofs),
        }
        self._request_tags, self._answer_bytes_max, self._proofs = set(), 0, set()
        return told


class House:
    """All meters, and the time they share."""

    def __init__(self, described: dict[str, dict[str, Any]]) -> None:
        self.inhabitants = {name: Inhabitant(name, **settings) for name, settings in described.items()}
        self._loop = asyncio.get_running_loop()
        self._opened_s = self._loop.time()

    def link_ms(self) -> int:
        """Return the time of links."""
        return int(self._loop.time() * 1000)

    def bring_up_to_date(self, inhabitant: Inhabitant) -> None:
        """Let a meter live up to now."""
        inhabitant.meter.advance(OPENED_MS + int((self._loop.time() - self._opened_s) * 1000))

    async def serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a test, line by line."""
        while line := await reader.readline():
            asked = json.loads(line)
            inhabitant = self.inhabitants[asked["meter"]]
            self.bring_up_to_date(inhabitant)
            told = inhabitant.state() if asked["ask"] == "state" else inhabitant.traffic()
            writer.write(json.dumps(told).encode() + b"\n")
        writer.close()


class Connection(asyncio.Protocol):
    """One client on one port."""

    def __init__(self, house: House, inhabitant: Inhabitant, link: ServerLink) -> None:
        self._house = house
        self._inhabitant = inhabitant
        self._link = link
        self._port = ServerPort({LOGICAL: inhabitant}, challenge=lambda: secrets.token_bytes(16))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        now_ms = self._house.link_ms()
        events = list(self._link.receive(data, now_ms=now_ms))
        for event in events:
            match event:
                case SendBytes():
                    self._transport.write(event.data)
                case PeerReceived(peer, apdu):
                    self._house.bring_up_to_date(self._inhabitant)
                    answer = self._port.handle(apdu, client=peer.client, server=peer.server)
                    self._inhabitant.saw(apdu, answer)
                    if answer is None:
                        events += self._link.pass_turn(peer, now_ms=now_ms)
                    else:
                        events += self._link.send(peer, answer, now_ms=now_ms)
                case PeerDisconnected():
                    self._port.close()
                case _:
                    pass


def _over_wrapper(house: House, inhabitant: Inhabitant) -> Connection:
    return Connection(house, inhabitant, WrapperServer())


def _over_hdlc(house: House, inhabitant: Inhabitant) -> Connection:
    return Connection(house, inhabitant, HdlcServerLine([StationAddress(LOGICAL, PHYSICAL)]))


async def main() -> None:
    """Serve until told to stop."""
    house = House(json.loads(sys.argv[1]))
    loop = asyncio.get_running_loop()
    ports: dict[str, dict[str, int]] = {}
    for name, each in house.inhabitants.items():
        ports[name] = {}
        for link, connection in (("wrapper", _over_wrapper), ("hdlc", _over_hdlc)):
            server = await loop.create_server(partial(connection, house, each), "127.0.0.1", 0)
            ports[name][link] = server.sockets[0].getsockname()[1]
    control = await asyncio.start_server(house.serve_control, "127.0.0.1", 0)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    print(json.dumps({"ready": True, "ports": ports, "control": control.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
