"""What a gateway is told by its operator, in one TOML file; every bound is checked before anything starts."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from gateway.adapters.dlms.entries import DlmsEntry, PushPort, UdpLine
from gateway.adapters.modbus import SerialLine, TcpLine
from wire.limits import METERS_PER_GATEWAY_MAX
from wire.runtime.clock import Clock, clock_from_text
from wire.runtime.errors import ConfigError
from wire.runtime.mqtt import TlsFiles

T = TypeVar("T")
Name = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9-]+\Z")]


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages go."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    protocol: Literal["5", "3.1.1"] = "5"
    keep_alive_s: Annotated[int, Meta(ge=5, le=3_600)] = 60
    reconnect_delay_ms_max: Annotated[int, Meta(ge=100, le=3_600_000)] = 60_000
    tls: TlsFiles | None = None


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the disk keeps."""

    path: str
    """SQLite file; put it on the best storage there is."""
    bytes_max: Annotated[int, Meta(ge=1_000_000, le=2**40)] = 512 * 1024 * 1024
    """Signed batches kept; the oldest acknowledged ones go first, then the oldest readings."""


class RelayOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The output of a relay board that feeds a meter's circuit."""

    profile: str
    unit: Annotated[int, Meta(ge=1, le=247)]
    output: Annotated[int, Meta(ge=0, le=63)]


class MeterEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A meter on a line."""

    id: Name
    profile: str
    """Name of a register map, for instance eastron-sdm120, or of a make of DLMS meters, for instance is15959-d1."""
    unit: Annotated[int, Meta(ge=1, le=247)] | None = None
    """Modbus address; a DLMS meter has `dlms` instead."""
    relay: RelayOutput | None = None
    """Of a board on the same Modbus line; a DLMS meter has its own."""
    dlms: DlmsEntry | None = None


class LineEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line with meters."""

    id: Name
    connection: SerialLine | TcpLine | UdpLine
    protocol: Literal["modbus", "dlms-hdlc", "dlms-wrapper"] = "modbus"
    meters: list[MeterEntry]
    answer_ms_max: Annotated[int, Meta(ge=20, le=30_000)] = 1_000
    """How long a meter may take to answer."""
    retries_max: Annotated[int, Meta(ge=0, le=9)] = 2
    """How often a frame that got no answer is sent again; HDLC only."""
    frame_bytes_max: Annotated[int, Meta(ge=128, le=2_030)] = 1_024
    """Information of a frame that meters are asked to grant; 128 asks for nothing, for meters that dislike it."""
    window: Annotated[int, Meta(ge=1, le=7)] = 1
    """Frames in a row that meters are asked to grant; HDLC only."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    utility: Name
    topic_root: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9/-]+\Z")] = "wp/1"
    key_file: str
    """This gateway's private key; its party is the gateway's name."""
    trusted_folder: str
    """Folder with the cloud's public keys (*.pub)."""
    period_s: Annotated[int, Meta(ge=1, le=86_400)] = 900
    """Capture period of all meters, site seconds."""
    health_s: Annotated[int, Meta(ge=10, le=86_400)] = 300
    """How often the gateway reports on itself, real seconds."""
    seal_after_ms: Annotated[int, Meta(ge=0, le=600_000)] = 2_000
    """How long readings wait for company before they are signed and sent."""
    profiles_folder: str = ""
    """Register maps of this site; empty for the program's own."""
    clock: str = ""
    """Empty for the machine's clock; RATE@REAL=WALL for a simulated site whose days are short."""
    store: Store
    broker: Broker = Broker()
    push: PushPort | None = None
    """Left out, no port is open for meters."""
    lines: list[LineEntry]


TEMPLATE = """\
# Configuration of a Wattpost gateway. `wattpost gateway check FILE` says whether it holds.
utility = "demo"                  # one topic tree each
key_file = "keys/gw-0001.key"     # made by `wattpost keys make`; its party names the gateway
trusted_folder = "trusted"        # the cloud's public keys, *.pub
period_s = 900                    # capture period, s: 15 minutes
health_s = 300                    # how often the gateway reports on itself, s
seal_after_ms = 2000              # how long readings wait for company, ms

[store]
path = "var/gateway.db"           # SQLite file, on the best storage there is
bytes_max = 536870912             # signed batches kept, bytes; the oldest acknowledged ones go first

[broker]
host = "127.0.0.1"
port = 1883
protocol = "5"                    # or "3.1.1", which cannot say that a publish was refused
# [broker.tls]                    # certificates as PEM files
# cafile = "ca.crt"
# certfile = "gw-0001.crt"
# keyfile = "gw-0001.key"

# [push]                          # a port for what DLMS meters say by themselves; none without it
# listen = "0.0.0.0:4059"         # wrapper
# tcp = true
# udp = true

[[lines]]
id = "line-1"
answer_ms_max = 1000              # how long a meter may take to answer, ms
connection = { type = "tcp", host = "127.0.0.1", port = 502, framing = "rtu" }
# connection = { type = "serial", device = "/dev/ttyUSB0", baud = 9600, parity = "N" }

[[lines.meters]]
id = "EM-000001"
profile = "eastron-sdm120"        # register map; see gateway/profiles
unit = 1
relay = { profile = "relay-coils-16", unit = 200, output = 0 }

# Smart meters with profiles, event logs and a relay of their own:
# [[lines]]
# id = "line-2"
# protocol = "dlms-hdlc"          # or "dlms-wrapper", whose connection may also be { type = "udp", ... }
# connection = { type = "serial", device = "/dev/ttyUSB1", baud = 9600 }
# answer_ms_max = 1000            # how long a meter may take to answer, ms
# retries_max = 2                 # how often a frame that got no answer is sent again
# frame_bytes_max = 1024          # frame length that meters are asked to grant, 128 to 2030
# window = 1                      # frames in a row that meters are asked to grant, 1 to 7
#
# [[lines.meters]]
# id = "SM-000001"
# profile = "is15959-d1"
# [lines.meters.dlms]
# address = 17                    # physical HDLC address; left out over the wrapper
# logical = 1                     # logical device, or wrapper port
# peer_counters = "strict"        # or "per-association", for meters that forget their counter
# [lines.meters.dlms.reading]     # who reads; client, mechanism and security as the profile has them
# secret_file = "keys/SM-000001.reader"
# [lines.meters.dlms.control]     # who writes: relay, clock, limits; without it the meter has no relay
# secret_file = "keys/SM-000001.utility"
# encryption_key_file = "keys/SM-000001.guek"
# authentication_key_file = "keys/SM-000001.gak"
# form = "glo"                    # or "ded", "general-glo", "general-ded"
# [lines.meters.dlms.firmware]    # who brings firmware; optional
# secret_file = "keys/SM-000001.firmware"
# encryption_key_file = "keys/SM-000001.firmware-guek"
# authentication_key_file = "keys/SM-000001.gak"
# [lines.meters.dlms.push]        # what it sends by itself; without this nothing of it is taken
# encryption_key_file = "keys/SM-000001.push-guek"
# authentication_key_file = "keys/SM-000001.gak"
# title = "4D4D4D0000BC614E"      # its system title; left out, the first that the keys prove is believed
# names = ["MMM12345678"]         # what it calls itself, if visits cannot find out
# security = "none"               # for a meter that pushes unprotected, instead of keys: anybody can speak for it
"""


def load_config(path: Path) -> Config:
    """Return the configuration in a file.

    Raises:
        ConfigError: It cannot be read or does not hold; says which key and what to do.
    """
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=Config)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "name a readable TOML file") from error
    except msgspec.ValidationError as error:
        remedy = "compare with `wattpost gateway template`"
        raise ConfigError(str(path), str(error), remedy) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"not TOML: {error}", "mend the line it names") from error
    _check_names(config, str(path))
    return config


def clock_of(config: Config) -> Clock:
    """Return the clock that the configuration names.

    Raises:
        ConfigError: It names none.
    """
    try:
        return clock_from_text(config.clock)
    except ValueError as error:
        raise ConfigError("clock", str(error), "leave it empty, or write RATE@REAL_MS=WALL_MS") from error


def _check_names(config: Config, path: str) -> None:
    meters = Counter(meter.id for line in config.lines for meter in line.meters)
    if meters.total() > METERS_PER_GATEWAY_MAX:
        problem = f"{meters.total()} meters, {METERS_PER_GATEWAY_MAX} allowed"
        raise ConfigError(path, problem, "share them out among several gateways")
    _refuse_twice(meters, "meter {}", path, "give every meter its own id")
    _refuse_twice(Counter(line.id for line in config.lines), "line {}", path, "give every line its own id")
    push = config.push
    if push is not None and not (0 < push.port <= 0xFFFF and (push.tcp or push.udp)):
        raise ConfigError(path, "push.listen has no such port, or neither tcp nor udp", "give 1 to 65535, and one")
    for line in config.lines:
        _check_line(line, path)
        outputs = Counter((meter.relay.unit, meter.relay.output) for meter in line.meters if meter.relay is not None)
        what = f"line {line.id}: relay (unit, output) {{}}"
        _refuse_twice(outputs, what, path, "give every meter an output of its own")


def _check_line(line: LineEntry, path: str) -> None:
    """Refuse what cannot work together on one line."""
    if line.protocol == "modbus":
        if isinstance(line.connection, UdpLine):
            raise ConfigError(path, f"line {line.id}: Modbus does not go over UDP", "use serial or tcp")
        wrong = next((meter for meter in line.meters if meter.unit is None or meter.dlms is not None), None)
        if wrong is not None:
            problem = f"meter {wrong.id} is on a Modbus line and has no unit, or has dlms"
            raise ConfigError(path, problem, f"give its unit, or line {line.id} another protocol")
        return
    if isinstance(line.connection, SerialLine if line.protocol == "dlms-wrapper" else UdpLine):
        problem = f"line {line.id}: {line.protocol} does not go over {line.connection.__struct_config__.tag}"
        raise ConfigError(path, problem, "use dlms-hdlc on serial or tcp, dlms-wrapper on tcp or udp")
    for meter in line.meters:
        if meter.dlms is None or meter.unit is not None or meter.relay is not None:
            problem = f"meter {meter.id} is on a DLMS line and has no dlms, or has a unit or a relay board"
            raise ConfigError(path, problem, "give it dlms and nothing of Modbus")
    places = Counter((meter.dlms.address, meter.dlms.logical) for meter in line.meters if meter.dlms is not None)
    what = f"line {line.id}: DLMS (address, logical) {{}}"
    _refuse_twice(places, what, path, "give every meter an address of its own")


def _refuse_twice(counted: Counter[T], what: str, path: str, remedy: str) -> None:
    for item, count in counted.items():
        if count > 1:
            raise ConfigError(path, f"{what.format(item)} stands there twice", remedy)
