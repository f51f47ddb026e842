"""What the cloud's handlers are told by their operator, in one TOML file."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cloud.database import require_url
from wire.limits import DIGESTS_PER_ACK_MAX
from wire.runtime.clock import clock_from_text
from wire.runtime.errors import ConfigError
from wire.runtime.mqtt import TlsFiles

Name = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9-]+$")]
Room = Literal["headend", "commands", "prepaid", "meterdata", "monitoring"]


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages come from."""

    run: Literal["auto", "mosquitto", "amqtt", "none"] = "auto"
    """Broker to start beside the handlers: Mosquitto where it is installed, else amqtt; none to use one that runs."""
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 1883
    """0 takes a free one where a broker is started."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Of a broker that is not started here."""
    state_folder: str = "var/broker"
    tls: TlsFiles | None = None


class Influx(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The copy for looking at."""

    url: str
    bucket: str = "wattpost"
    """For the v1 dialect DATABASE or DATABASE/RETENTION."""
    dialect: Literal["v2", "v1"] = "v2"
    org: str = "wattpost"
    token_file: str = ""


class Prepaid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How accounts are kept."""

    close_lag_days: Annotated[int, Meta(ge=1, le=60)] = 3
    """An account is closed each day at the end of a day so long ago, where its register points are in."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    utility: Name
    topic_root: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9/-]+$")] = "wp/1"
    database: str = "sqlite:///var/cloud.db"
    """`sqlite:///FILE` or `postgresql+asyncpg://USER@HOST/NAME`."""
    keys_folder: str
    """Private keys cloud-ack.key, cloud-command.key, cloud-credit.key."""
    rooms: Annotated[tuple[Room, ...], Meta(min_length=1)] = (
        "headend",
        "commands",
        "prepaid",
        "meterdata",
        "monitoring",
    )
    """What this process does; several processes can share the work, each with the rooms it is given."""
    commands_kept_days: Annotated[int, Meta(ge=40, le=36_500)] = 400
    """Requests and commands are forgotten so long after their deadline."""
    group_batches_max: Annotated[int, Meta(ge=1, le=DIGESTS_PER_ACK_MAX)] = 64
    """Batches committed together at most; one acknowledgement may have to name them all."""
    clock: str = ""
    """Empty for the machine's clock; RATE@REAL=WALL for a simulated installation."""
    broker: Broker = Broker()
    prepaid: Prepaid = Prepaid()
    influx: Influx | None = None


TEMPLATE = """\
# Configuration of Wattpost's cloud handlers. `wattpost cloud check FILE` says whether it holds.
utility = "demo"                                 # one topic tree each
database = "sqlite:///var/cloud.db"              # or postgresql+asyncpg://wattpost@localhost/wattpost
keys_folder = "keys"                             # cloud-ack.key, cloud-command.key, cloud-credit.key
rooms = ["headend", "commands", "prepaid", "meterdata", "monitoring"]  # what this process does
commands_kept_days = 400                         # requests and commands, after their deadline
group_batches_max = 64                           # batches committed together at most

[broker]
run = "auto"                                     # start Mosquitto, or amqtt where it is not installed; "none": one runs
host = "127.0.0.1"
port = 1883
state_folder = "var/broker"
# [broker.tls]                                   # of a broker that runs elsewhere; PEM files
# cafile = "ca.crt"
# certfile = "cloud.crt"
# keyfile = "cloud.key"

[prepaid]
close_lag_days = 3                               # accounts are closed daily, so long after the day's end

# [influx]                                       # the copy for looking at; leave out for none
# url = "http://127.0.0.1:8086"
# bucket = "wattpost"
# org = "wattpost"
# token_file = "influx.token"
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
        raise ConfigError(str(path), str(error), "compare with `wattpost cloud template`") from error
    except msgspec.DecodeError as error:
        raise ConfigError(str(path), f"not TOML: {error}", "mend the line it names") from error
    require_url(config.database)
    try:
        clock_from_text(config.clock)
    except ValueError as error:
        raise ConfigError(str(path), f"clock: {error}", "leave it out, or write RATE@REAL=WALL") from error
    return config
