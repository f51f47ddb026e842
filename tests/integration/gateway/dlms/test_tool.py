"""The field tool does with one meter what the gateway does, and says what to look at when it cannot."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.firmware import make_image
from device_sim.core.is15959.meter import Is15959Meter
from gateway.config import TEMPLATE
from tests.integration.gateway.dlms.gateway_side import write_secrets
from tests.integration.gateway.dlms.site import Line, SiteClock, hdlc_line, make_sim_meter, over_tcp
from wire.keys import Purpose
from wire.runtime.clock import SystemClock
from wire.runtime.keyring import make_key

METER = """
[[lines]]
id = "line-2"
protocol = "dlms-hdlc"
connection = {{ type = "tcp", host = "127.0.0.1", port = {port} }}
answer_ms_max = 400

[[lines.meters]]
id = "SM-1"
profile = "is15959-d1"
[lines.meters.dlms]
address = 17
[lines.meters.dlms.reading]
secret_file = "{reader}"
[lines.meters.dlms.control]
secret_file = "{settings}"
encryption_key_file = "{encryption}"
authentication_key_file = "{authentication}"
[lines.meters.dlms.firmware]
secret_file = "{firmware}"
encryption_key_file = "{firmware-encryption}"
authentication_key_file = "{authentication}"
"""


@dataclass
class Tool:
    folder: Path
    sim: Is15959Meter
    line: Line

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        script = Path(sys.executable).parent / "wattpost"
        process = await asyncio.create_subprocess_exec(
            str(script),
            *("gateway", "meter", str(self.folder / "gateway.toml"), "SM-1", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> dict[str, Any]:
        code, out, err = await self.run(*arguments, "--json")
        assert code == 0, err
        result: dict[str, Any] = json.loads(out)
        return result


@asynccontextmanager
async def a_tool(folder: Path, **settings: Any) -> AsyncIterator[Tool]:
    clock = SiteClock()
    # The tool goes by the machine's clock, so the meter has to live in the present.
    clock.ahead_ms = SystemClock().wall_ms() - clock.wall_ms()
    sim = make_sim_meter(clock, days=1, **settings)
    line = hdlc_line(clock, {17: sim})
    make_key(folder / "keys", name="gw-0001", purpose=Purpose.GATEWAY, party="gw-0001")
    files = write_secrets(folder / "secrets")
    async with over_tcp(line) as listening:
        text = TEMPLATE.split("\n[[lines]]")[0] + METER.format(port=listening.port, **files)
        (folder / "gateway.toml").write_text(text)
        yield Tool(folder, sim, line)


async def test_present_values_and_any_attribute_are_read(tmp_path: Path) -> None:
    async with a_tool(tmp_path) as tool:
        shown = await tool.json("read")
        values = {value["obis"]: value for value in shown["values"]}
        assert len(values) == 10
        energy = values["1.0.1.8.0.255"]
        assert (energy["value"], energy["unit"]) == (tool.sim.measuring.import_wh, "Wh")
        shown = await tool.json("read", "1:0.0.96.1.0.255:2", "1.0.99.99.0.255", "8:0.0.1.0.0.255:3")
        serial, unknown, zone = shown["values"]
        assert "30303030303030" in str(serial["value"]) or serial["value"] == "00000001"
        assert "object undefined" in unknown["refused"]
        assert zone["value"] == -330
        code, out, _ = await tool.run("read", "1.0.1.8.0.255")
        assert code == 0
        assert "obis=1.0.1.8.0.255" in out


async def test_relay_limit_and_setup_are_shown_and_changed(tmp_path: Path) -> None:
    async with a_tool(tmp_path) as tool:
        assert await tool.json("relay") == {"meter": "SM-1", "closed": True, "state": "connected"}
        assert (await tool.json("relay", "open"))["closed"] is False
        assert not tool.sim.relay.is_closed
        assert (await tool.json("relay", "close"))["closed"] is True
        assert (await tool.json("limit", "2500"))["limit_w"] == 2_500
        assert (await tool.json("limit"))["limit_w"] == 2_500
        setup = await tool.json("configure", "--capture-period", "1800", "--payment", "prepaid")
        assert (setup["capture_period_s"], setup["payment"]) == (1_800, "prepaid")


async def test_clock_profile_and_log_are_read(tmp_path: Path) -> None:
    async with a_tool(tmp_path, clock_offset_ms=90_000) as tool:
        clock = await tool.json("clock")
        assert abs(clock["offset_ms"] - 90_000) < 2_000
        clock = await tool.json("clock", "--set")
        assert abs(clock["offset_after_ms"]) < 2_000
        tool.sim.occur(Event.MAGNET)
        entries = (await tool.json("log", "other"))["entries"]
        assert (entries[-1]["number"], entries[-1]["name"]) == (201, "magnet present")
        block = await tool.json("profile", "block", "--days", "0.5")
        assert [column["unit"] for column in block["columns"]][:2] == ["V", "Wh"]
        assert 47 <= len(block["rows"]) <= 49


async def test_an_image_is_pushed_and_runs(tmp_path: Path) -> None:
    async with a_tool(tmp_path, verify_ms=10, activate_ms=10) as tool:
        (tmp_path / "v2.bin").write_bytes(make_image("2.0.0", Random(1).randbytes(5_000)))
        done = await tool.json("image", "v2.bin", "--identifier", "FW-2", "--activate")
        assert (done["stage"], tool.sim.firmware.version) == ("active", "2.0.0")


async def test_what_fails_is_one_line_with_a_remedy_and_a_code(tmp_path: Path) -> None:
    async with a_tool(tmp_path) as tool:
        (tmp_path / "secrets" / "reader.txt").write_text("wrong-password")
        code, out, err = await tool.run("read")
        assert (code, out) == (77, "")
        assert err.startswith("Error: refused: meter SM-1: ")
        assert "look at the secret" in err
        assert "wrong-password" not in err
        tool.line.dead.add(17)
        code, _, err = await tool.run("relay")
        assert code == 69
        assert "look at the meter's power" in err
        (tmp_path / "secrets" / "encryption.txt").write_text("no key at all")
        code, _, err = await tool.run("relay")
        assert code == 78
        assert "holds no key of 16 bytes" in err
        assert "no key at all" not in err


async def test_a_meter_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with a_tool(tmp_path) as tool:
        text = (tmp_path / "gateway.toml").read_text()
        (tmp_path / "gateway.toml").write_text(text.replace('"SM-1"', '"SM-2"'))
        code, _, err = await tool.run("read")
        assert code == 78
        assert "use one of SM-2" in err


@pytest.mark.parametrize("command", ["read", "clock", "relay", "limit", "configure", "image", "log", "profile"])
async def test_every_command_shows_an_example(tmp_path: Path, command: str) -> None:
    tool = Tool(tmp_path, None, None)  # type: ignore[arg-type]
    code, out, _ = await tool.run(command, "--help")
    assert code == 0
    assert "Example: wattpost gateway meter" in " ".join(out.split())
