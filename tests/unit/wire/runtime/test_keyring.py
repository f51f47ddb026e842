"""Keys in a folder: made once, private to their owner, and never taken for keys of another purpose."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from wire.keys import Purpose
from wire.runtime.errors import ConfigError
from wire.runtime.keyring import load_key, load_public_key, load_public_keys, main, make_key


def test_a_key_that_was_made_can_be_loaded_and_signs_as_before(tmp_path: Path) -> None:
    made = make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")

    loaded = load_key(tmp_path / "gw-1.key", purpose=Purpose.GATEWAY)

    assert loaded.public == made.public
    assert made.public.verifies(b"message", loaded.sign(b"message"))


def test_the_public_half_says_the_same_without_the_secret(tmp_path: Path) -> None:
    made = make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")

    assert load_public_key(tmp_path / "gw-1.pub") == made.public
    assert load_public_keys(tmp_path) == [made.public]


def test_only_the_owner_can_read_a_private_key(tmp_path: Path) -> None:
    make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")

    assert (tmp_path / "gw-1.key").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    made = make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")

    with pytest.raises(ConfigError, match="is there"):
        make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")
    assert load_public_key(tmp_path / "gw-1.pub") == made.public


def test_a_key_of_another_purpose_is_refused_with_a_remedy(tmp_path: Path) -> None:
    make_key(tmp_path, name="gw-1", purpose=Purpose.GATEWAY, party="gw-1")

    with pytest.raises(ConfigError, match="name a cloud-ack key"):
        load_key(tmp_path / "gw-1.key", purpose=Purpose.CLOUD_ACK)


@pytest.mark.parametrize("text", ["", "gateway gw-1", "gateway gw-1 xyz", "gateway gw-1 00", "other gw-1 " + "00" * 32])
def test_what_is_no_key_file_is_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.key"
    path.write_text(text, encoding="ascii")

    with pytest.raises(ConfigError, match=r"broken\.key"):
        load_key(path, purpose=Purpose.GATEWAY)


def test_a_folder_without_public_keys_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="copy them"):
        load_public_keys(tmp_path)


def test_the_command_makes_and_shows_keys(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")

    made = CliRunner().invoke(main, ["make", folder, "--purpose", "integrator", "--party", "billing"])
    shown = CliRunner().invoke(main, ["show", folder])

    assert made.exit_code == 0, made.output
    assert "integrator" in shown.output
    assert "billing" in shown.output
    assert (tmp_path / "keys" / "billing.key").exists()
