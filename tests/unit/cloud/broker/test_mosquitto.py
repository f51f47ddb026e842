"""The configuration written for Mosquitto."""

from pathlib import Path

import pytest

from cloud.broker.mosquitto import BrokerTls, MosquittoConfig, mosquitto_conf
from wire.runtime.errors import ConfigError

TLS = BrokerTls(cafile=Path("ca.crt"), certfile=Path("server.crt"), keyfile=Path("server.key"))


def lines_of(config: MosquittoConfig, *, user: str | None = None) -> list[str]:
    return mosquitto_conf(config, port=1883, tls_port=8883, user=user).splitlines()


def test_it_listens_on_loopback_saves_its_state_and_has_bounds() -> None:
    lines = lines_of(MosquittoConfig(state_dir=Path("state")))
    assert "listener 1883 127.0.0.1" in lines
    assert "persistence_location state/" in lines
    assert "autosave_interval 5" in lines
    values = dict(line.partition(" ")[::2] for line in lines)
    for bound in ("max_queued_messages", "max_inflight_messages", "max_packet_size", "max_queued_bytes"):
        assert int(values[bound]) > 0
    assert not any("#" in line for line in lines)


def test_a_tls_listener_wants_certificates_and_an_access_list_is_named() -> None:
    lines = lines_of(MosquittoConfig(state_dir=Path("state"), tls=TLS, acl=("pattern read g/%u/#",)))
    assert "listener 8883 127.0.0.1" in lines
    assert "require_certificate true" in lines
    assert "acl_file state/acl" in lines


def test_only_root_names_an_account() -> None:
    config = MosquittoConfig(state_dir=Path("state"))
    assert not any(line.startswith("user ") for line in lines_of(config))
    assert lines_of(config, user="root")[0] == "user root"


@pytest.mark.parametrize(
    "config",
    [
        MosquittoConfig(state_dir=Path("state\nallow_anonymous true")),
        MosquittoConfig(state_dir=Path("state"), acl=("topic read a\ntopic write #",)),
    ],
)
def test_no_value_smuggles_in_a_line(config: MosquittoConfig) -> None:
    with pytest.raises(ConfigError):
        lines_of(config)


def test_the_listener_without_tls_stays_on_this_machine() -> None:
    with pytest.raises(ConfigError, match="admits everybody"):
        lines_of(MosquittoConfig(state_dir=Path("state"), host="0.0.0.0"))
