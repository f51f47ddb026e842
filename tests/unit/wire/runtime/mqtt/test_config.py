"""The session's configuration as an operator writes it."""

from pathlib import Path

import msgspec
import pytest

from wire.runtime.errors import ConfigError
from wire.runtime.mqtt.config import MqttConfig, TlsFiles, read_password, ssl_context

TOML = """
host = "broker.example"
port = 8883
client_id = "gw-0001"
subscriptions = ["wp/1/g/gw-0001/down/#"]
[tls]
cafile = "ca.crt"
"""


def test_a_section_of_toml_becomes_a_configuration() -> None:
    config = msgspec.toml.decode(TOML, type=MqttConfig)
    assert config.tls == TlsFiles(cafile="ca.crt")
    assert config.protocol == "5"
    assert not config.clean_start


@pytest.mark.parametrize(
    "line", ["port = 0", "port = 70000", "keep_alive_s = 0", "client_id = ''", "protocol = '4'", "qos = 1"]
)
def test_what_is_out_of_bounds_or_unknown_is_refused(line: str) -> None:
    name = line.partition(" ")[0]
    kept = "\n".join(row for row in TOML.splitlines() if not row.startswith(name))
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(f"{line}\n{kept}", type=MqttConfig)


def test_files_that_cannot_be_used_are_named_with_a_remedy(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    absent = str(tmp_path / "absent.pem")
    for path in (str(garbage), absent):
        with pytest.raises(ConfigError) as refused:
            ssl_context(TlsFiles(cafile=path))
        assert refused.value.path == path
        assert refused.value.remedy
    with pytest.raises(ConfigError):
        read_password(absent)


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("open sesame\nremark\n")
    assert read_password(str(file)) == "open sesame"
