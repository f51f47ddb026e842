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
    database: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "wattpost"
    """With retention policies `detail` and `history`; on InfluxDB 2 buckets DATABASE/detail and DATABASE/history."""
    dialect: Literal["v2", "v1"] = "v2"
    org: str = "wattpost"
    token_file: str = ""
    """For v2: a token that may write the two buckets."""
    username: str = ""
    password_file: str = ""
    """For v1, where it asks for them."""
    gzip: bool = False
    """Whether lines are compressed on their way, which takes more processor time than a local network is worth."""
    meters: bool = True
    """Whether each meter has series of its own; beyond some 50,000 only gateways should: `docs/monitoring.md`."""
    detail_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    history_days: Annotated[int, Meta(ge=30, le=36_500)] = 1_100


class Monitoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operating picture."""

    handler: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,32}$")] = ""
    """What this process is called in the picture; empty for the machine's name."""
    sample_s: Annotated[int, Meta(ge=10, le=3_600)] = 60
    """How often the network is looked at; five minutes where there are thousands of gateways."""
    balances_s: Annotated[int, Meta(ge=60, le=86_400)] = 3_600
    """How often all balances are computed."""
    silent_s: Annotated[int, Meta(ge=10, le=604_800)] = 3_600
    """A gateway or meter not heard for so long is silent."""
    interval_s: Annotated[int, Meta(ge=10, le=86_400)] = 900
    """Length of the intervals that are to be collected from each meter."""
    samples_kept_days: Annotated[int, Meta(ge=1, le=3_650)] = 8
    """Samples stay so long in the database, to be written again."""
    targets_file: str = ""
    """Service levels to be met; empty for those that come with the program."""


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
    monitoring: Monitoring = Monitoring()
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

[monitoring]
handler = ""                                     # this process in the picture; empty for the machine's name
sample_s = 60                                    # how often the network is looked at; 300 for thousands of gateways
balances_s = 3600                                # how often all balances are computed
silent_s = 3600                                  # not heard for so long is silent
interval_s = 900                                 # length of the intervals to be collected from each meter
samples_kept_days = 8                            # how long samples can be written again
targets_file = ""                                # service levels; empty for those that come with the program

# [influx]                                       # the copy for looking at; leave out for none
# url = "http://127.0.0.1:8086"
# database = "wattpost"                          # InfluxDB 2: buckets wattpost/detail and wattpost/history
# dialect = "v2"                                 # v1: the older endpoint, with username and password_file
# org = "wattpost"
# token_file = "influx.token"
# gzip = false                                   # true over a slow or metered line
# meters = true                                  # false beyond some 50,000 meters: series of gateways only
# detail_days = 30
# history_days = 1100
"""


def influx_of(config: Config, path: Path) -> Influx:
    """Return where the copy for looking at is.

    Raises:
        ConfigError: There is none.
    """
    if config.influx is None:
        raise ConfigError(str(path), "has no table [influx]", "add it; `wattpost cloud template` shows one")
    return config.influx


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
