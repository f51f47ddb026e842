"""The command `wattpost certs`: a certificate authority in a folder, for development and small sites.

Decides what people type and read; the files are the business of `folder`.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from certs.certificates import Kind, hosts_of, kind_of, name_of
from certs.folder import Issued, listed, make_authority, make_client, make_server, revoke
from wire.runtime.clock import SystemClock

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group(help="Make certificates for the broker and those who connect to it, from an authority in a folder.")
def main() -> None:
    """Group the commands about certificates."""


@main.command(
    epilog="Example: wattpost certs authority authority",
    help="Make an authority in FOLDER: ca.crt goes to everybody, ca.key stays here, ca.crl goes to the broker.",
)
@folder_argument
@click.option("--name", default="Wattpost authority", show_default=True, help="What its certificate calls it.")
def authority(folder: Path, name: str) -> None:
    """Make an authority."""
    _say(make_authority(folder, name=name, now=_now()))


@main.command(
    epilog="Example: wattpost certs server authority --name broker --host mqtt.example.org --host 192.0.2.7",
    help="Make a server's NAME.crt and NAME.key in FOLDER.",
)
@folder_argument
@click.option("--name", required=True, help="What the server and its files are called.")
@click.option("--host", "hosts", multiple=True, required=True, help="Where clients reach it; may be given again.")
def server(folder: Path, name: str, hosts: tuple[str, ...]) -> None:
    """Make a server's certificate."""
    _say(make_server(folder, name=name, hosts=hosts, now=_now()))


@main.command(
    epilog="Example: wattpost certs client authority --name gw-0001",
    help="Make a client's NAME.crt and NAME.key in FOLDER. The broker knows the client by this name: give a gateway "
    "its own, an integrator its own.",
)
@folder_argument
@click.option("--name", required=True, help="Of the gateway or integrator: 1 to 32 letters, digits, hyphens.")
def client(folder: Path, name: str) -> None:
    """Make a client's certificate."""
    _say(make_client(folder, name=name, now=_now()))


@main.command(
    "revoke",
    epilog="Example: wattpost certs revoke authority --name gw-0001",
    help="Revoke a certificate: it goes on the list ca.crl, which the broker has to be given again, and its files are "
    "set aside, so that the name can have another one.",
)
@folder_argument
@click.option("--name", required=True, help="Whose certificate.")
def revoke_command(folder: Path, name: str) -> None:
    """Revoke a certificate."""
    serial = revoke(folder, name=name, now=_now())
    click.echo(f"{name} revoked, serial {serial:x}; give {folder / 'ca.crl'} to the broker and restart it")


@main.command(epilog="Example: wattpost certs show authority", help="List the certificates in FOLDER.")
@folder_argument
def show(folder: Path) -> None:
    """List certificates."""
    for issued in listed(folder):
        kind = kind_of(issued.certificate)
        hosts = f"  {' '.join(hosts_of(issued.certificate))}" if kind is Kind.SERVER else ""
        click.echo(f"{kind:9}  until {_end(issued)}  {name_of(issued.certificate)}{hosts}")


def _say(issued: Issued) -> None:
    what = "made" if issued.is_new else "is there already"
    click.echo(f"{issued.path} {what}, valid until {_end(issued)}")


def _end(issued: Issued) -> str:
    return issued.certificate.not_valid_after_utc.date().isoformat()


def _now() -> datetime:
    return datetime.fromtimestamp(SystemClock().wall_ms() // 1_000, tz=UTC)


if __name__ == "__main__":
    main()
