"""Where a broker may listen."""

import random
import socket

import pytest

from cloud.broker.running import PORT_MAX, PORT_MIN, free_port, is_loopback
from wire.runtime.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "broker.example", ""])
def test_everything_else_is_reachable_from_outside(host: str) -> None:
    assert not is_loopback(host)


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    assert PORT_MIN <= free_port("127.0.0.1", 0, rng=random.Random()) <= PORT_MAX


def test_a_taken_port_is_the_operators_to_change() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError):
            free_port("127.0.0.1", taken.getsockname()[1], rng=random.Random(0))
