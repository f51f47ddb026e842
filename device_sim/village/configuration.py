"""What the programs of the village are told, as the texts of their configuration files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from device_sim.core.village_plan import BOARD_UNIT
from device_sim.village.cast import DLMS_PROFILE, PROFILES, Cast, House

if TYPE_CHECKING:
    from pathlib import Path

    from device_sim.core.village import LineSpec
    from wire.runtime.clock import AcceleratedClock

UTILITY: Final = "village"
PERIOD_S: Final = 900
"""Capture period, site seconds: 15 minutes."""
ANSWER_MS_MAX: Final = 350
"""How long a meter may take, real ms: a dead one holds its line up for so long, well within a period."""
DLMS_ANSWER_MS_MAX: Final = 600
DLMS_RETRIES_MAX: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to set up."""

    folder: Path
    gateway_count: int
    meter_count: int
    seed: int
    broker: str
    """auto, mosquitto or amqtt."""
    clock: AcceleratedClock

    @property
    def clock_text(self) -> str:
        """The clock as configurations and commands name it."""
        return f"{self.clock.rate}@{self.clock.real_origin_ms}={self.clock.wall_origin_ms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The broker that was started."""

    program: str
    port: int
    protocol: str


def cloud_text(plan: Plan) -> str:
    """Return what the cloud is told."""
    database = f"sqlite:///{plan.folder / 'cloud.db'}"
    return (
        f"utility = {_quoted(UTILITY)}\n"
        f"database = {_quoted(database)}\n"
        'keys_folder = "keys-cloud"\n'
        'rooms = ["headend", "commands", "prepaid", "meterdata"]\n'
        f"clock = {_quoted(plan.clock_text)}\n"
        "\n[broker]\n"
        f"run = {_quoted(plan.broker)}\n"
        'host = "127.0.0.1"\n'
        "port = 0\n"
        f"state_folder = {_quoted(str(plan.folder / 'broker'))}\n"
    )


def gateway_text(plan: Plan, gateway: str, broker: Broker, *, cutter: str) -> str:
    """Return what a gateway is told, but for its lines."""
    return (
        f"utility = {_quoted(UTILITY)}\n"
        f"key_file = {_quoted(f'keys-{gateway}/{gateway}.key')}\n"
        'trusted_folder = "trusted"\n'
        f"period_s = {PERIOD_S}\n"
        "health_s = 30\n"
        f"clock = {_quoted(plan.clock_text)}\n"
        "\n[store]\n"
        f"path = {_quoted(f'{gateway}.db')}\n"
        "\n[broker]\n"
        f"host = {_quoted(cutter.rpartition(':')[0])}\n"
        f"port = {cutter.rpartition(':')[2]}\n"
        f"protocol = {_quoted(broker.protocol)}\n"
        "reconnect_delay_ms_max = 1500\n"
    )


def line_text(cast: Cast, line: LineSpec, address: str) -> str:
    """Return a line as its gateway is told of it."""
    host, _, port = address.rpartition(":")
    place = f'type = "tcp", host = "{host}", port = {port}'
    houses = [house for house in cast.houses.values() if house.line == line.id]
    if not line.transport.is_dlms:
        meters = "".join(_modbus_meter_text(house) for house in houses)
        settings = f"answer_ms_max = {ANSWER_MS_MAX}\n"
        return f'\n[[lines]]\nid = "bus"\n{settings}connection = {{ {place}, framing = "rtu" }}\n{meters}'
    meters = "".join(_dlms_meter_text(house, is_hdlc=line.transport.is_hdlc) for house in houses)
    protocol = "dlms-hdlc" if line.transport.is_hdlc else "dlms-wrapper"
    settings = f'protocol = "{protocol}"\nanswer_ms_max = {DLMS_ANSWER_MS_MAX}\nretries_max = {DLMS_RETRIES_MAX}\n'
    return f'\n[[lines]]\nid = "dlms"\n{settings}connection = {{ {place} }}\n{meters}'


def _modbus_meter_text(house: House) -> str:
    assert house.kind is not None, "it is no DLMS meter"
    return (
        f"\n[[lines.meters]]\nid = {_quoted(house.meter)}\nprofile = {_quoted(PROFILES[house.kind])}\n"
        f"unit = {house.unit}\n"
        f'relay = {{ profile = "relay-coils-16", unit = {BOARD_UNIT}, output = {house.coil} }}\n'
    )


def _dlms_meter_text(house: House, *, is_hdlc: bool) -> str:
    secrets = f"meters-{house.gateway}/{house.meter}"
    return (
        f"\n[[lines.meters]]\nid = {_quoted(house.meter)}\nprofile = {_quoted(DLMS_PROFILE)}\n"
        f"[lines.meters.dlms]\n{'address' if is_hdlc else 'logical'} = {house.unit}\n"
        f'[lines.meters.dlms.reading]\nsecret_file = "{secrets}.reader"\n'
        f'[lines.meters.dlms.control]\nsecret_file = "{secrets}.utility"\n'
        f'encryption_key_file = "{secrets}.guek"\nauthentication_key_file = "{secrets}.gak"\n'
    )


def _quoted(text: str) -> str:
    return json.dumps(text)
