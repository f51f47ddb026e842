"""What a gateway is told by its operator, in one TOML file; every bound is checked before anything starts."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

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
    """Name of a register map, for instance eastron-sdm120."""
    unit: Annotated[int, Meta(ge=1, le=247)]
    relay: RelayOutput | None = None


class LineEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line with meters."""

    id: Name
    connection: SerialLine | TcpLine
    meters: list[MeterEntry]
    answer_ms_max: Annotated[int, Meta(ge=20, le=30_000)] = 1_000
    """How long a meter may take to answer."""


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
    for line in config.lines:
        outputs = Counter((meter.relay.unit, meter.relay.output) for meter in line.meters if meter.relay is not None)
        what = f"line {line.id}: relay (unit, output) {{}}"
        _refuse_twice(outputs, what, path, "give every meter an output of its own")


def _refuse_twice(counted: Counter[T], what: str, path: str, remedy: str) -> None:
    for item, count in counted.items():
        if count > 1:
            raise ConfigError(path, f"{what.format(item)} stands there twice", remedy)
