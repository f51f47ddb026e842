"""`wattpost dashboards`: write the generated files, bring everything to a running Grafana, list what there is."""

import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dashboards import files
from dashboards.alerting import notification, silences
from dashboards.alerting.alert import as_json
from dashboards.alerting.rules import GROUPS
from dashboards.catalogue import all_dashboards
from dashboards.grafana_api import Grafana, GrafanaError
from dashboards.push import Content, Done, Outcome, push
from dashboards.query import DATASOURCE_UID
from wire.runtime.clock import SystemClock
from wire.runtime.errors import ConfigError

_HERE = Path(__file__).parent
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_EXIT_STALE = 1
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(help=__doc__)
def main() -> None:
    """Hold the sub-commands."""


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; say whether all files are current, and exit 1 if not.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=_HERE, help="Where to write.")
def build(*, check: bool, folder: Path) -> None:
    """Write dashboards (grafana/) and Grafana's files of provisioning (provisioning/)."""
    wanted = {folder / path: text for path, text in files.all_files().items()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    # In a folder of somebody else's there are files of somebody else's.
    ours = files.GENERATED if folder == _HERE else ()
    gone = [path for name in ours for path in sorted(folder.glob(name)) if path not in wanted]
    for path in (*stale, *gone):
        click.echo(f"{'not current' if check else 'taken away' if path in gone else 'written'}: {path}")
    if check and (stale or gone):
        click.echo("run `wattpost dashboards build`", err=True)
        sys.exit(_EXIT_STALE)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in gone:
        path.unlink()
    if not stale and not gone:
        click.echo("all files are current")


@main.command(name="list")
@click.option("--json", "as_data", is_flag=True, help="As JSON.")
def list_all(*, as_data: bool) -> None:
    """List dashboards and alert rules."""
    boards = [{"uid": board["uid"], "title": board["title"]} for board in all_dashboards().values()]
    rules = [
        {"uid": alert.uid, "title": alert.title, "group": group.title, "severity": alert.severity.value}
        for group in GROUPS
        for alert in group.alerts
    ]
    if as_data:
        click.echo(json.dumps({"dashboards": boards, "rules": rules}, indent=2))
        return
    for board in boards:
        click.echo(f"dashboard  {board['uid']:32} {board['title']}")
    for rule in rules:
        click.echo(f"rule       {rule['uid']:32} {rule['title']} ({rule['group']}, {rule['severity']})")


@main.command(name="push")
@click.argument("url")
@click.option("--token-file", type=_FILE, required=True, help="Token of a service account with the role Admin.")
@click.option("--influx-url", help="Address of InfluxDB as Grafana reaches it; without it the data source stays.")
@click.option("--influx-token-file", type=_FILE, help="A token that may read the buckets; InfluxDB 1 needs none.")
@click.option("--database", default=files.DATABASE, show_default=True, help="Database of the data source.")
@click.option(
    "--runbooks-url", envvar=files.RUNBOOKS_URL, required=True, help="Address of docs/runbooks.md for people."
)
@click.option("--time-zone", default="UTC", show_default=True, help="Of the quiet hours, by its IANA name.")
@click.option("--silences", "silences_file", type=_FILE, help="Silences, a TOML file.")
@click.option("--editable", is_flag=True, help="Let people change in Grafana what is pushed, until the next push.")
@click.option("--json", "as_data", is_flag=True, help="One JSON document at the end, and no progress.")
def push_command(
    *,
    url: str,
    token_file: Path,
    influx_url: str | None,
    influx_token_file: Path | None,
    database: str,
    runbooks_url: str,
    time_zone: str,
    silences_file: Path | None,
    editable: bool,
    as_data: bool,
) -> None:
    """Bring dashboards, data source and alerting to the Grafana at URL; again and again, if need be.

    The addresses of the contact points are taken from the variables of the environment that the files of provisioning
    name: WATTPOST_OPERATORS_EMAIL, WATTPOST_DUTY_EMAIL, WATTPOST_DUTY_WEBHOOK.

    Exit codes: 0 all is there, 65 Grafana refuses something, 69 it cannot be reached, 77 the token may not do it, 78
    something must be set first.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(url, "this is no address of a server", "write it with http:// or https://")
    influx_token = _secret(influx_token_file) if influx_token_file else ""
    content = Content(
        datasource=files.datasource(url=influx_url, database=database, token=influx_token) if influx_url else None,
        datasource_uid=DATASOURCE_UID,
        dashboards=tuple(all_dashboards().values()),
        contact_points=_addressed(as_json(notification.contact_points())),
        mute_timings=notification.mute_timings(time_zone=time_zone),
        policy=as_json(notification.policy()),
        runbooks_url=runbooks_url.rstrip("/"),
        silences=silences.load(silences_file) if silences_file else (),
    )
    token = _secret(token_file)
    now = datetime.fromtimestamp(SystemClock().wall_ms() / 1_000, UTC)
    told: list[Done] = []
    try:
        with Grafana(url, token, is_editable=editable) as grafana:
            for done in push(grafana, content, now=now):
                told.append(done)
                if not as_data:
                    _show(done)
    except GrafanaError as exc:
        _end(told, as_data=as_data, error=exc)
        sys.exit(exc.exit_code)
    _end(told, as_data=as_data, error=None)


def _show(done: Done) -> None:
    detail = f" ({done.detail})" if done.detail else ""
    click.echo(f"{done.outcome.value:10} {done.kind} {done.name}{detail}")


def _end(told: list[Done], *, as_data: bool, error: GrafanaError | None) -> None:
    if as_data:
        document: dict[str, Any] = {
            "done": [
                {"kind": done.kind, "name": done.name, "outcome": done.outcome.value, "detail": done.detail}
                for done in told
            ]
        }
        if error is not None:
            document["error"] = {"problem": error.problem, "remedy": error.remedy, "exit_code": error.exit_code}
        click.echo(json.dumps(document, indent=2))
    if error is not None:
        click.echo(f"Error: {error}", err=True)
        return
    if not as_data:
        changed = sum(done.outcome in {Outcome.CREATED, Outcome.UPDATED, Outcome.REMOVED} for done in told)
        click.echo(f"{len(told)} looked at, {changed} changed")


def _secret(path: Path) -> str:
    secret = path.read_text(encoding="utf-8").strip()
    if not secret or not secret.isprintable() or " " in secret:
        raise ConfigError(str(path), "this is no token", "write the token and nothing else into it")
    return secret


def _addressed(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the addresses of the environment in their places.

    Raises:
        ConfigError: One is not set.
    """
    missing = [name for name in notification.ADDRESSES if not os.environ.get(name)]
    if missing:
        meaning = "; ".join(f"{name}: {notification.ADDRESSES[name]}" for name in missing)
        raise ConfigError("environment", f"{', '.join(missing)} not set", f"set it ({meaning})")

    def placed(value: object) -> object:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: os.environ[match[1]], value)
        return value

    return [
        point | {"settings": {name: placed(value) for name, value in point["settings"].items()}} for point in points
    ]


if __name__ == "__main__":
    main(prog_name="wattpost dashboards")
