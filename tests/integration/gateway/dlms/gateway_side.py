"""Our side of the tests: meters as configured, and drivers for them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import Secrets
from dlms.link.parameters import UTMOST, LinkParameters
from dlms.link.server import HdlcServerLine
from gateway.adapters.dlms.access import DlmsMeter, make_meter
from gateway.adapters.dlms.carriers import Carrier, SerialCarrier, TcpCarrier, UdpCarrier
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.driver import DlmsDriver, DriverPorts, LineSettings
from gateway.adapters.dlms.entries import DlmsEntry, RoleEntry
from gateway.adapters.modbus import SerialLine, TcpLine
from gateway.adapters.profile_files import load_profiles
from gateway.core.acquisition import Task, VisitEvent
from gateway.core.dlms_profiles import DlmsProfile
from gateway.ports import Shelf
from tests.integration.gateway.dlms.site import (
    ANSWER_MS,
    Line,
    MemoryShelf,
    SiteClock,
    hdlc_line,
    make_sim_meter,
    over_pty,
    over_tcp,
    over_udp,
    wrapper_line,
)


def the_profile() -> DlmsProfile:
    profile = load_profiles()["is15959-d1"]
    assert isinstance(profile, DlmsProfile)
    return profile


def write_secrets(folder: Path, given: Secrets | None = None) -> dict[str, str]:
    """Write a meter's secrets into files and return their names."""
    told = given or Secrets()
    texts = {
        "reader": told.reader_password.decode(),
        "settings": told.settings_secret.decode(),
        "firmware": "hex:" + told.firmware_secret.hex(),
        "encryption": told.encryption.hex(),
        "firmware-encryption": told.firmware_encryption.hex(),
        "authentication": told.authentication.hex(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, text in texts.items():
        path = folder / f"{name}.txt"
        path.write_text(text + "\n")
        paths[name] = str(path)
    return paths


def roles(files: dict[str, str], **changes: Any) -> dict[str, RoleEntry]:
    """Return the entries of all roles; `changes` go into those of control and firmware."""
    keys = {"authentication_key_file": files["authentication"], **changes}
    return {
        "reading": RoleEntry(secret_file=files["reader"]),
        "control": RoleEntry(secret_file=files["settings"], encryption_key_file=files["encryption"], **keys),
        "firmware": RoleEntry(secret_file=files["firmware"], encryption_key_file=files["firmware-encryption"], **keys),
    }


def our_meter(name: str, files: dict[str, str], address: int | None = 1, **entry: Any) -> DlmsMeter:
    told = {**roles(files), **entry}
    return make_meter(name, DlmsEntry(address=address, **told), the_profile(), gateway="gw-1")


def our_driver(
    carrier: Carrier,
    clock: SiteClock,
    shelf: Shelf,
    *meters: DlmsMeter,
    is_hdlc: bool = True,
    answer_ms_max: int = ANSWER_MS,
    **settings: Any,
) -> DlmsDriver:
    return DlmsDriver(
        carrier,
        LineSettings(is_hdlc=is_hdlc, answer_ms_max=answer_ms_max, **settings),
        meters={meter.id: meter for meter in meters},
        ports=DriverPorts(clock=clock, shelf=shelf, counters=CounterBook(shelf), fresh_bytes=secrets.token_bytes),
    )


async def visited(driver: DlmsDriver, meter: str, *tasks: Task) -> list[VisitEvent]:
    return [event async for event in driver.visit(meter, tasks)]


@dataclass
class Joined:
    """A meter, its line, and our driver for it, over one kind of carrier."""

    clock: SiteClock
    sim: Is15959Meter
    line: Line
    driver: DlmsDriver
    shelf: MemoryShelf
    meter: DlmsMeter
    carrier: Carrier

    async def visit(self, *tasks: Task) -> list[VisitEvent]:
        return await visited(self.driver, self.meter.id, *tasks)

    def restarted(self) -> None:
        """Let another process take over with what is on the disk."""
        self.driver.reset()
        is_hdlc = isinstance(self.line.link, HdlcServerLine)
        is_datagrams = isinstance(self.carrier, UdpCarrier)
        self.driver = our_driver(
            self.carrier, self.clock, self.shelf, self.meter, is_hdlc=is_hdlc, is_datagrams=is_datagrams
        )


KINDS = ("hdlc-tcp", "hdlc-pty", "wrapper-tcp", "wrapper-udp")


@asynccontextmanager
async def joined(
    folder: Path,
    kind: str = "hdlc-tcp",
    *,
    entry: dict[str, Any] | None = None,
    days: float = 2,
    limits: LinkParameters = UTMOST,
    ours: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Joined]:
    """Serve a simulated meter over a carrier; `settings` are the meter's, `ours` the line's."""
    clock = SiteClock()
    sim = make_sim_meter(clock, days=days, **settings)
    files = write_secrets(folder, sim.settings.secrets)
    meter = our_meter("m1", files, 1 if kind.startswith("hdlc") else None, **(entry or {}))
    shelf = MemoryShelf()
    is_datagrams = kind == "wrapper-udp"
    line = (
        hdlc_line(clock, {1: sim}, limits)
        if kind.startswith("hdlc")
        else wrapper_line(clock, sim, is_datagrams=is_datagrams)
    )
    async with AsyncExitStack() as stack:
        carrier: Carrier
        match kind:
            case "hdlc-pty":
                carrier = SerialCarrier(
                    SerialLine(device=await stack.enter_async_context(over_pty(line)), baud=115_200)
                )
            case "wrapper-udp":
                carrier = UdpCarrier("127.0.0.1", await stack.enter_async_context(over_udp(line)))
            case _:
                listening = await stack.enter_async_context(over_tcp(line))
                carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=listening.port))
        driver = our_driver(
            carrier, clock, shelf, meter, is_hdlc=kind.startswith("hdlc"), is_datagrams=is_datagrams, **(ours or {})
        )
        side = Joined(clock, sim, line, driver, shelf, meter, carrier)
        try:
            yield side
        finally:
            side.driver.reset()
