"""The keyring folder: one file for each key, private ones for their owner only; and the command that makes them.

A private key is `NAME.key` (purpose, party and seed), its public half `NAME.pub`; both are one line of text. Pairing
and certificates come on top of this and change nothing here.
"""

import os
import secrets
from pathlib import Path

import click

from wire.address import require_name
from wire.errors import MalformedError
from wire.keys import SEED_BYTES, PublicKey, Purpose, SigningKey
from wire.runtime.errors import ConfigError

_FIELDS_COUNT = 3


def make_key(folder: Path, *, name: str, purpose: Purpose, party: str) -> SigningKey:
    """Make a key in a folder; what is there already is never overwritten.

    Raises:
        ConfigError: A key of that name is there.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    key = SigningKey(seed, purpose=purpose, party=party)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(str(path), "a key of this name is there", "choose another name, or remove it first") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{purpose.value} {party} {seed.hex()}\n")
    public = f"{purpose.value} {party} {key.public.public.hex()}\n"
    (folder / f"{name}.pub").write_text(public, encoding="ascii")
    return key


def load_key(path: Path, *, purpose: Purpose) -> SigningKey:
    """Return the private key in a file.

    Raises:
        ConfigError: It cannot be read, is no key, or is of another purpose.
    """
    found, party, seed = _read(path, SEED_BYTES)
    if found is not purpose:
        raise ConfigError(str(path), f"this is a {found} key", f"name a {purpose} key; `wattpost keys make` makes one")
    return SigningKey(seed, purpose=purpose, party=party)


def load_public_key(path: Path) -> PublicKey:
    """Return the public key in a file.

    Raises:
        ConfigError: It cannot be read or is no key.
    """
    return PublicKey(*_read(path, SEED_BYTES))


def load_public_keys(folder: Path) -> list[PublicKey]:
    """Return all public keys in a folder.

    Raises:
        ConfigError: The folder holds none, or one that cannot be read.
    """
    keys = [load_public_key(path) for path in sorted(folder.glob("*.pub"))]
    if not keys:
        raise ConfigError(str(folder), "no public keys (*.pub) here", "copy them from the keyring of the other side")
    return keys


def _read(path: Path, size: int) -> tuple[Purpose, str, bytes]:
    remedy = "name a file that `wattpost keys make` made"
    try:
        fields = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read as a key: {error}", remedy) from error
    if len(fields) != _FIELDS_COUNT:
        raise ConfigError(str(path), "is no key file", remedy)
    try:
        purpose, party, data = Purpose(fields[0]), require_name(fields[1]), bytes.fromhex(fields[2])
    except (ValueError, MalformedError) as error:
        raise ConfigError(str(path), f"is no key file: {error}", remedy) from error
    if len(data) != size:
        raise ConfigError(str(path), f"holds {len(data)} bytes where {size} belong", remedy)
    return purpose, party, data


@click.group(help="Make and show signing keys.")
def main() -> None:
    """Group the commands about keys."""


@main.command(
    epilog="Example: wattpost keys make keys --purpose gateway --party gw-0001",
    help="Make a key pair in FOLDER: NAME.key stays here, NAME.pub goes to the other side.",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--purpose", type=click.Choice([purpose.value for purpose in Purpose]), required=True)
@click.option("--party", default="cloud", show_default=True, help="Gateway or client that the key speaks for.")
@click.option("--name", default="", help="Of the files; by default the party, for the cloud's keys the purpose.")
def make(folder: Path, purpose: str, party: str, name: str) -> None:
    """Make a key pair."""
    try:
        require_name(party)
    except MalformedError as error:
        raise ConfigError("--party", str(error), "use letters, digits and hyphens") from error
    file_name = name or (purpose if party == "cloud" else party)
    key = make_key(folder, name=file_name, purpose=Purpose(purpose), party=party)
    click.echo(f"{folder / file_name}.key  {purpose} key of {party}, id {key.kid.hex()}")


@main.command(epilog="Example: wattpost keys show keys", help="List the public keys in FOLDER.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def show(folder: Path) -> None:
    """List public keys."""
    for key in load_public_keys(folder):
        click.echo(f"{key.kid.hex()}  {key.purpose:14} {key.party}")
