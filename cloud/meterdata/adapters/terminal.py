"""Meter data on a terminal: last values, a day, gateways; tables for people, JSON for programs.

Which database to ask is the business of whoever mounts these commands.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

import click
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from cloud.database import open_database
from cloud.meterdata.adapters import queries
from cloud.meterdata.core.meter_day import ChannelKey, Reading
from cloud.terminal import run_on_database

T = TypeVar("T")

_EPOCH = date(1970, 1, 1)
_OBIS = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def make_commands(
    database_url: Callable[[], str], utility_name: Callable[[], str] = lambda: "demo"
) -> list[click.Command]:
    """Return the commands `latest`, `profile`, `gateways` and `export`, to be added to a group.

    Args:
        database_url: Asked when a command runs.
        utility_name: Whose meters are meant where `--utility` does not say; asked likewise.
    """
    of_utility = click.option("--utility", default=utility_name, show_default="the configured", help="Whose meters.")

    def ask(question: Callable[[sa.Connection], T]) -> T:
        return run_on_database(_ask(database_url(), question))

    @click.command()
    @click.argument("meter")
    @of_utility
    @_as_json
    def latest(meter: str, utility: str, *, as_json: bool) -> None:
        """Show the last values of METER."""
        values = ask(lambda connection: queries.latest_values(connection, utility, meter))
        rows = [
            {
                "obis": obis_text(value.channel.obis),
                "value": value.value,
                "scaler": value.channel.scaler,
                "unit": value.channel.unit,
                "utc": _utc_text(value.utc_ms),
                "estimated_time": value.estimated,
                "quality": value.quality,
                "conflict": value.conflict,
            }
            for value in values
        ]
        _show(f"last values of {meter}", rows, as_json=as_json)

    @click.command()
    @click.argument("meter")
    @click.argument("day", type=click.DateTime(formats=["%Y-%m-%d"]))
    @of_utility
    @_as_json
    def profile(meter: str, day: datetime, utility: str, *, as_json: bool) -> None:
        """Show what METER reported of DAY (YYYY-MM-DD, UTC)."""
        index = (day.date() - _EPOCH).days
        found = ask(lambda connection: queries.day_profile(connection, utility, meter, index))
        _show(f"{meter} on {day.date()}", [_reading_row(reading) for reading in found], as_json=as_json)

    @click.command()
    @of_utility
    @_as_json
    def gateways(utility: str, *, as_json: bool) -> None:
        """Show when each gateway was last heard of."""
        rows = [
            {
                "gateway": item.gateway,
                "present": item.present,
                "seen": _utc_text(item.seen_at_ms),
                "hello": _utc_text(item.hello_at_ms),
                "boot": "" if item.boot is None else item.boot.hex(),
                "software": item.software,
            }
            for item in ask(lambda connection: queries.presence(connection, utility))
        ]
        _show("gateways", rows, as_json=as_json)

    return [latest, profile, gateways, _export_command(database_url, of_utility)]


def _export_command(database_url: Callable[[], str], of_utility: Callable[[Any], Any]) -> click.Command:
    @click.command()
    @click.option("--obis", default="1-0:1.8.0.255", show_default=True, help="Which channel.")
    @of_utility
    def export(obis: str, utility: str) -> None:
        """Print every reading of a channel: one line of JSON for each meter.

        A reading is [UTC in ms, value, scaler, whether something else was stated too]; `values` counts all channels.
        """
        logical_name = _obis_bytes(obis)
        question = partial(queries.exported, utility=utility, obis=logical_name)
        for item in run_on_database(_ask(database_url(), question)):
            readings = [
                (reading.utc_ms, reading.value, reading.channel.scaler, bool(reading.others))
                for reading in item.readings
            ]
            click.echo(json.dumps({"meter": item.meter, "values": item.counts.values, "readings": readings}))

    return export


def obis_text(obis: bytes) -> str:
    """Return a logical name as people write it, A-B:C.D.E.F (IEC 62056-6-1)."""
    a, b, c, d, e, f = obis
    return f"{a}-{b}:{c}.{d}.{e}.{f}"


def _obis_bytes(text: str) -> bytes:
    match = _OBIS.fullmatch(text)
    groups = [int(group) for group in match.groups()] if match is not None else [256]
    if max(groups) > 255:
        raise click.BadParameter("write six numbers up to 255 as A-B:C.D.E.F", param_hint="--obis")
    return bytes(groups)


async def _ask(url: str, question: Callable[[sa.Connection], T]) -> T:
    async with open_database(url) as database:
        return await database.transact(question)


def _reading_row(reading: Reading) -> dict[str, Any]:
    channel: ChannelKey = reading.channel
    return {
        "utc": _utc_text(reading.utc_ms),
        "obis": obis_text(channel.obis),
        "value": reading.value,
        "scaler": channel.scaler,
        "unit": channel.unit,
        "estimated_time": reading.estimated,
        "quality": reading.quality,
        "others": [fact.value for fact in reading.others],
        "gateway": reading.source.gateway,
        "boot": reading.source.boot.hex(),
        "tick_ms": reading.tick_ms,
    }


def _utc_text(utc_ms: int) -> str:
    if utc_ms == 0:
        return ""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _show(title: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"{title}: nothing")
        return
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)
