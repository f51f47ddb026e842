"""The command `wattpost`: one word for each program, of which only the one asked for is imported.

A gateway's installation lacks the cloud's packages and the other way round, so the table below knows names and
one-line helps and nothing else. Each entry is a click command of its own; what it does is its own business.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import click

from wire.runtime.errors import EXIT_CONFIG, ConfigError

OURS = frozenset({"wire", "dlms", "prepay", "gateway", "cloud", "device_sim", "certs", "dashboards"})
"""Our own packages; if one of their modules is missing, that is a fault and no missing extra."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One sub-command."""

    target: str
    """`module:attribute` of a click command."""
    help: str
    """One line."""
    extra: str
    """The extra of this distribution that holds what it imports; empty if it needs none."""


ENTRIES = {
    "demo": Entry(target="device_sim.village.demo:main", help="Run a small village on this machine.", extra="dev"),
    "gateway": Entry(
        target="gateway.__main__:main", help="Run a gateway: read meters, obey commands.", extra="gateway"
    ),
    "cloud": Entry(target="cloud.__main__:main", help="Run the cloud's handlers.", extra="cloud"),
    "sim": Entry(target="device_sim.__main__:main", help="Run simulated meters and relays.", extra="sim"),
    "dashboards": Entry(
        target="dashboards.__main__:main",
        help="Make dashboards and alert rules, and bring them to Grafana.",
        extra="dashboards",
    ),
    "keys": Entry(target="wire.runtime.keyring:main", help="Make and show signing keys.", extra=""),
    "certs": Entry(target="certs.__main__:main", help="Make certificates for broker and clients.", extra="certs"),
}


class MissingExtraError(click.ClickException):
    """Raised when a sub-command needs packages that are not installed."""

    exit_code = EXIT_CONFIG


class LazyGroup(click.Group):
    """A group that imports a sub-command when it is invoked, and none to list them.

    Args:
        entries: The sub-commands by name.
    """

    def __init__(self, *, entries: dict[str, Entry]) -> None:
        super().__init__(
            name="wattpost",
            help="Prepaid electricity where the network is poor.",
            context_settings={"max_content_width": 100},
        )
        self._entries = entries
        click.version_option(package_name="wattpost", prog_name="wattpost")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = self._entries.get(cmd_name)
        return None if entry is None else _load(cmd_name, entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._entries.items()])


def _load(name: str, entry: Entry) -> click.Command:
    """Import a sub-command.

    Raises:
        MissingExtraError: A package it needs is not installed.
    """
    module_name, _, attribute = entry.target.partition(":")
    try:
        command = getattr(import_module(module_name), attribute)
    except ImportError as exc:
        package = (exc.name or "").partition(".")[0]
        if not package or package in OURS:
            raise
        wanted = f"wattpost[{entry.extra}]" if entry.extra else "wattpost"
        raise MissingExtraError(
            f"`wattpost {name}` needs the package {package!r}, which is not installed: run pip install '{wanted}'"
        ) from exc
    assert isinstance(command, click.Command), f"{entry.target} is no click command"
    return command


def run(arguments: Sequence[str] | None, *, entries: dict[str, Entry]) -> None:
    """Run the command line with the sub-commands `entries`; ends the process."""
    try:
        LazyGroup(entries=entries).main(None if arguments is None else list(arguments))
    except ConfigError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(exc.exit_code)


def main() -> None:
    """Run the command line of this process."""
    run(None, entries=ENTRIES)
