"""Foreign DLMS clients before our simulated meters: how they are let in, what they are asked, what the truth is.

Decides associations, secrets, and the invocation counter, which goes on from session to session as the meter demands.
`village` runs meters as they are sold, `house` those of `meter_house`, each as a process of its own.
"""

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.is15959.associations import Client
from device_sim.core.is15959.settings import Secrets
from tests.rig.foreign import ROOT, ask
from tests.rig.meter_house import LOGICAL, PHYSICAL
from tests.rig.processes import ManagedProcess, wattpost_process

GURUX: Final = ("gurux", "gurux_client.py")
DLMS_COSEM: Final = ("dlms-cosem", "dlms_cosem_client.py")
LINKS: Final = ("wrapper", "hdlc")
CLIENT_TITLE: Final = b"HES00001"
SECONDS_MAX: Final = 20
VILLAGE_OPENED_MS: Final = 1_780_315_200_000
"""Site time when a village starts: 2026-06-01 12:00 UTC."""
VILLAGE_RATE: Final = 20
"""Its time is so many times as fast, so that an image is verified within a quarter of a second."""

Step = dict[str, Any]
Result = dict[str, Any]


class MeterAtTest:
    """One meter as foreign clients find it."""

    def __init__(self, name: str, lines: Mapping[str, Mapping[str, Any]], secrets: Secrets) -> None:
        """Take a meter's name, where it is found over each link, and its secrets."""
        self.name = name
        self._lines = lines
        self._secrets = secrets
        self._counters: Counter[Client] = Counter()

    def question(self, client: Client, link: str, *steps: Step, **changes: Any) -> dict[str, Any]:
        """Return what a foreign client is asked; `changes` go before what the association is by itself."""
        known: dict[str, Any] = {"client_sap": int(client)}
        secrets = self._secrets
        match client:
            case Client.READER:
                known |= {"authentication": "lls", "secret": secrets.reader_password.hex()}
            case Client.SETTINGS:
                known |= {"secret": secrets.settings_secret.hex(), "encryption_key": secrets.encryption.hex()}
            case Client.FIRMWARE:
                known |= {"secret": secrets.firmware_secret.hex(), "encryption_key": secrets.firmware_encryption.hex()}
            case _:
                pass
        if "encryption_key" in known:
            known |= {"authentication": "hls", "security": "both", "title": CLIENT_TITLE.hex()}
            known |= {"authentication_key": secrets.authentication.hex()}
            known |= {"invocation_counter": self._counters[client] + 1}
        return {**self._lines[link], "timeout_s": SECONDS_MAX, **known, **changes, "steps": steps}

    def converse(
        self, program: tuple[str, str], client: Client, link: str, *steps: Step, **changes: Any
    ) -> list[Result]:
        """Let a foreign client associate, do the steps and leave; return what came of each step in between."""
        whole = ({"do": "associate"}, *steps, {"do": "release"})
        answer = ask(*program, self.question(client, link, *whole, **changes))
        self._counters[client] = answer["invocation_counter"]
        begun, *results, ended = answer["results"]
        assert begun["ok"], begun
        assert ended["ok"], ended
        assert len(results) == len(steps)
        return list(results)

    def values(self, program: tuple[str, str], client: Client, link: str, *steps: Step, **changes: Any) -> list[Any]:
        """As `converse`, where every step has to succeed; return their values."""
        results = self.converse(program, client, link, *steps, **changes)
        assert all(result["ok"] for result in results), results
        return [result["value"] for result in results]

    def refusal(
        self, program: tuple[str, str], client: Client, link: str, *steps: Step, **changes: Any
    ) -> dict[str, Any]:
        """Return how a foreign client is refused when it does these steps, the last of which fails."""
        answer = ask(*program, self.question(client, link, *steps, **changes))
        *done, last = answer["results"]
        assert all(result["ok"] for result in done), done
        assert not last["ok"], last
        return dict(last)


class MeterInHouse(MeterAtTest):
    """A meter of `tests.rig.meter_house`."""

    def __init__(self, name: str, ports: Mapping[str, int], control: int) -> None:
        lines = {link: {"link": link, "port": port, "server_sap": LOGICAL} for link, port in ports.items()}
        lines["hdlc"]["physical"] = PHYSICAL
        super().__init__(name, lines, Secrets())
        self._control = control

    def tell(self, asked: str) -> dict[str, Any]:
        """Return the truth about the meter: "state" or "traffic"."""
        return _told(self._control, meter=self.name, ask=asked)


class MeterInVillage(MeterAtTest):
    """A meter of a village that `wattpost sim` runs, with the village's truth log."""

    def __init__(self, name: str, line: Mapping[str, Any], control: int, truth: Path) -> None:
        super().__init__(name, {str(line["link"]): line}, secrets_of(name))
        self._control = control
        self._truth = truth

    def state(self) -> dict[str, Any]:
        """Return how meter and household stand, and what the meter's clock shows, in Unix ms, as `clock_ms`."""
        told = self.command("state")
        (state,) = told["meters"]
        return {**state, **state["dlms"], "clock_ms": told["site_ms"] + state["dlms"]["clock_offset_ms"]}

    def command(self, command: str, **more: Any) -> dict[str, Any]:
        """Have the simulation do something to the meter, and return what it says."""
        told = _told(self._control, command=command, meter=self.name, **more)
        assert told["ok"], told
        return told

    def log(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the entries of the truth log about this meter of a kind, those with the fields wanted."""
        assert _told(self._control, command="truth")["ok"]
        entries = map(json.loads, self._truth.read_text().splitlines())
        wanted |= {"kind": kind, "meter": self.name}
        return [entry for entry in entries if wanted.items() <= entry.items()]

    def rows(self, profile: str, first_s: float, last_s: float) -> list[list[int]]:
        """Return what the meter captured from one instant to another: Unix ms, then the numbers in their order."""
        return [as_row(entry) for entry in self.log("row", profile=profile) if first_s <= entry["stamp_s"] <= last_s]


def as_row(entry: dict[str, Any]) -> list[int]:
    """Return time in Unix ms and numbers of an entry of the truth log."""
    return [entry["stamp_s"] * 1000, *(value[0] for value in entry["values"].values())]


def _told(port: int, **asked: Any) -> dict[str, Any]:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection:
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile("rb") as lines:
            told: dict[str, Any] = json.loads(lines.readline())
            return told


@contextmanager
def house(folder: Path, meters: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, MeterInHouse]]:
    """Run meters of these settings; yield them by name."""
    process = ManagedProcess(
        [sys.executable, "-m", "tests.rig.meter_house", json.dumps(meters)],
        name="meter-house",
        folder=folder,
        env={"PYTHONPATH": str(ROOT)},
    )
    try:
        ready = process.start_ready()
        yield {name: MeterInHouse(name, ports, ready["control"]) for name, ports in ready["ports"].items()}
    finally:
        process.close()


@contextmanager
def village(folder: Path, meters: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, MeterInVillage]]:
    """Run a village with each of these meters twice, on an HDLC line and a wrapper line; yield them as NAME-LINK.

    Args:
        folder: Where its files go.
        meters: What the description says of them besides name, line, unit and consumption.
    """
    description, truth = folder / "village.toml", folder / "truth.jsonl"
    parts = ["seed = 1\nutc_offset_min = 330\nhistory_days = 2\n"]
    places = {f"{name}-{link}": (link, 17 + number) for number, name in enumerate(meters) for link in LINKS}
    parts += [f'[[lines]]\nid = "{link}"\ntransport = "{link}-tcp"\n' for link in LINKS]
    for name, (link, unit) in places.items():
        told = meters[name.removesuffix(f"-{link}")]
        parts.append(f'[[dlms_meters]]\nid = "{name}"\nline = "{link}"\nunit = {unit}\nannual_kwh = 1800\n')
        parts += [f"{key} = {json.dumps(value)}\n" for key, value in told.items()]
    description.write_text("".join(parts))
    clock = f"{VILLAGE_RATE}@{time.time_ns() // 1_000_000}={VILLAGE_OPENED_MS}"
    process = wattpost_process(
        "sim", "run", description, "--truth", truth, "--clock", clock, name="village", folder=folder
    )
    try:
        process.start()
        ready = process.wait_ready()
        ports = {link: int(ready["lines"][link].rpartition(":")[2]) for link in LINKS}
        control = int(ready["control"].rpartition(":")[2])
        yield {
            name: MeterInVillage(name, _place(link, ports[link], unit), control, truth)
            for name, (link, unit) in places.items()
        }
    finally:
        process.close()


def _place(link: str, port: int, unit: int) -> dict[str, Any]:
    """Return where a meter is: a unit is a physical address under HDLC, and a wrapper port."""
    where = {"server_sap": LOGICAL, "physical": unit} if link == "hdlc" else {"server_sap": unit}
    return {"link": link, "port": port, **where}
