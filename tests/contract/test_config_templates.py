"""The printed templates show every key, and hold."""

from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import cloud.config
import gateway.config
from wire.runtime.errors import ConfigError


@pytest.mark.parametrize("module", [cloud.config, gateway.config])
def test_the_template_of_a_service_is_a_configuration_that_holds(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(module.TEMPLATE, encoding="utf-8")

    assert module.load_config(path).utility == "demo"


@pytest.mark.parametrize("module", [cloud.config, gateway.config])
def test_the_template_names_every_key(module: ModuleType) -> None:
    # Of a simulated site, and told by the command that makes one.
    for_simulations = {"clock"}
    rarely_set = {"topic_root", "profiles_folder", "keep_alive_s", "reconnect_delay_ms_max", "dialect", "protocol"}
    structs = [item for item in vars(module).values() if isinstance(item, type) and issubclass(item, msgspec.Struct)]
    keys = {key for struct in structs if struct.__module__ == module.__name__ for key in struct.__struct_fields__}

    missing = {key for key in keys if key not in module.TEMPLATE} - for_simulations - rarely_set

    assert missing == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("utility = 'a b'", "utility"),
        ("nonsense", "not TOML"),
        ("unknown = 1", "unknown"),
    ],
)
def test_a_wrong_configuration_is_one_line_with_a_remedy(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        gateway.config.load_config(path)

    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
