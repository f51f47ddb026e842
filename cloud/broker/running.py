"""What every broker of ours has in common: where it listens and what may be said of it."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Final, Literal

from wire.runtime.errors import ConfigError

# Below the kernel's range for outgoing connections: a client that keeps dialling a dead loopback broker inside that
# range may one day be connected to itself, and then hold the port against the broker.
PORT_MIN: Final = 20_000
PORT_MAX: Final = 31_999
ATTEMPTS_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBroker:
    """A broker that accepts connections."""

    program: Literal["mosquitto", "amqtt"]
    host: str
    port: int
    """Listens without TLS."""
    tls_port: int | None = None
    """Listens with TLS; None if nothing does."""
    protocol: Literal["5", "3.1.1"]
    """The newest MQTT version it speaks."""
    statement: str
    """One line for the operator: what this broker is and what it cannot do."""


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port(host: str, port: int, *, rng: Random) -> int:
    """Return `port` if it can be bound at `host`, or for 0 one that can.

    Raises:
        ConfigError: Something else listens there, or `host` is no address of this machine.
    """
    if port != 0:
        _bind(host, port)
        return port
    for _ in range(ATTEMPTS_MAX - 1):
        with suppress(ConfigError):
            port = rng.randint(PORT_MIN, PORT_MAX)
            _bind(host, port)
            return port
    port = rng.randint(PORT_MIN, PORT_MAX)
    _bind(host, port)
    return port


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise ConfigError(
                f"{host}:{port}",
                f"the broker cannot listen there ({exc.strerror})",
                "stop what listens there, or set another port",
            ) from exc
