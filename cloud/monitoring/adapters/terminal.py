"""The operating picture on a terminal: where gateways stand, and the copy in InfluxDB made anew.

What an operator gets wrong is said in one line and changes nothing.
"""

from pathlib import Path

import click
import msgspec
import sqlalchemy as sa

from cloud.config import influx_of, load_config
from cloud.terminal import file_argument, transact


@click.command(
    short_help="Write the copy in InfluxDB anew, all or a period.",
    epilog="Example: wattpost cloud recopy cloud.toml --from 2026-11-01 --until 2026-11-08",
    help="Write the copy for looking at (InfluxDB) anew from the database: all of it, or the points of a period. "
    "Everything else goes on meanwhile; broken off, it can be run again. Ends with 1 if anything was left out.",
)
@file_argument
@click.option("--from", "from_text", metavar="INSTANT", help="First day or instant, UTC; from the beginning without.")
@click.option(
    "--until", "until_text", metavar="INSTANT", help="Day or instant to stop before, UTC; without, to the end."
)
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON.")
def recopy(file: Path, from_text: str | None, until_text: str | None, *, as_json: bool) -> None:
    """Write the copy anew."""
    from cloud.monitoring.adapters.recopy_command import run_recopy  # noqa: PLC0415 - its packages are slow to load

    run_recopy(file, from_text=from_text, until_text=until_text, as_json=as_json)


@click.command(
    short_help="Say where a gateway stands, for the map.",
    # Numbers below zero are no options.
    context_settings={"ignore_unknown_options": True},
    epilog="Example: wattpost cloud place cloud.toml gw-0001 -1.2921 36.8219",
    help="Say where GATEWAY stands, in degrees (WGS 84; north and east are positive), for the map; "
    "or give a CSV file with the columns gateway, latitude, longitude.",
)
@file_argument
@click.argument("gateway", required=False)
@click.argument("latitude", required=False)
@click.argument("longitude", required=False)
@click.option("--from-file", "listed", type=click.Path(path_type=Path), help="CSV file; all of it is taken or nothing.")
def place(file: Path, gateway: str | None, latitude: str | None, longitude: str | None, listed: Path | None) -> None:
    """Put gateways on the map."""
    from cloud.monitoring.adapters.places import (  # noqa: PLC0415
        UnknownGatewayError,
        place_from_text,
        read_places,
        set_places,
    )

    if (listed is None) is (gateway is None or latitude is None or longitude is None):
        raise click.UsageError("give either GATEWAY LATITUDE LONGITUDE or --from-file")
    config = load_config(file)
    if listed is not None:
        places = read_places(listed)
    else:
        try:
            places = [place_from_text(gateway or "", latitude or "", longitude or "")]
        except ValueError as error:
            raise click.ClickException(f"{error}; nothing was changed") from None

    def work(connection: sa.Connection) -> None:
        set_places(connection, config.utility, places)

    try:
        transact(config, work)
    except UnknownGatewayError as error:
        raise click.ClickException(
            f"no gateway {error}; register its key or assign meters to it first; nothing was changed"
        ) from None
    click.echo(f"{len(places)} gateways placed")


@click.command(
    short_help="Show the service levels to be met.",
    epilog="Example: wattpost cloud targets cloud.toml",
    help="Show the service levels that are to be met, and who says so.",
)
@file_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON, deadlines in seconds.")
def targets(file: Path, *, as_json: bool) -> None:
    """Print the targets as a table."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from cloud.monitoring.adapters.targets import load_targets  # noqa: PLC0415

    found = load_targets(load_config(file).monitoring.targets_file)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    table = Table(title="service levels", box=None)
    table.add_column("target", no_wrap=True)
    for column in ("goal", "sourced", "source"):
        table.add_column(column)
    for target in found:
        scope = "" if target.scope == "all" else f" ({target.scope})"
        metric = target.metric.replace("_", " ")
        within = _duration(target.deadline_s)
        goal = f"{target.percent:g} % in {within}: {metric}{scope}, by {target.window}"
        table.add_row(target.id, goal, "yes" if target.sourced else "no", target.source)
    Console().print(table, markup=False)


def _duration(seconds: int) -> str:
    for unit, length in (("h", 3_600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


@click.command(
    short_help="Set up buckets or retention policies in InfluxDB.",
    epilog="Example: wattpost cloud influx cloud.toml --admin-token-file admin.token",
    help="Make what FILE needs in InfluxDB: a database with its retention policies, or buckets; and change how long "
    "points stay if FILE says otherwise now. Run it again after each such change.",
)
@file_argument
@click.option(
    "--admin-token-file",
    default="",
    help="InfluxDB 2: file with a token that may do this.  [default: influx.token_file]",
)
@click.option(
    "--admin-username", default="", help="InfluxDB 1: an account that may do this.  [default: influx.username]"
)
@click.option("--admin-password-file", default="", help="File with its password.")
def influx(file: Path, admin_token_file: str, admin_username: str, admin_password_file: str) -> None:
    """Set up InfluxDB."""
    from cloud.monitoring.adapters.influx_setup import Admin, set_up  # noqa: PLC0415 - its packages are slow to load

    config = load_config(file)
    for done in set_up(influx_of(config, file), Admin(admin_token_file, admin_username, admin_password_file)):
        click.echo(done)


COMMANDS: tuple[click.Command, ...] = (recopy, influx, place, targets)
"""To be added to a group."""
