"""Where gateways stand, one by one or from a CSV file.

It decides what a valid place is; the map is drawn from `gateway_state`.
"""

import csv
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from wire.address import is_name
from wire.keys import Purpose
from wire.runtime.errors import ConfigError

COLUMNS: Final = ("gateway", "latitude", "longitude")
LATITUDE_MAX: Final = 90
LONGITUDE_MAX: Final = 180
_E6: Final = 1_000_000


class UnknownGatewayError(LookupError):
    """Raised when nothing is known of a gateway."""


class Place(NamedTuple):
    """Where a gateway stands, in millionths of a degree (WGS 84)."""

    gateway: str
    latitude_e6: int
    longitude_e6: int


def place_from_text(gateway: str, latitude: str, longitude: str) -> Place:
    """Return a place as people write it, in decimal degrees.

    Raises:
        ValueError: It is none.
    """
    if not is_name(gateway):
        raise ValueError(f"{gateway!r} is not 1 to 32 of A-Z a-z 0-9 -")
    return Place(
        gateway,
        _degrees_e6("latitude", latitude, LATITUDE_MAX),
        _degrees_e6("longitude", longitude, LONGITUDE_MAX),
    )


def read_places(path: Path) -> list[Place]:
    """Return the places in a file.

    Raises:
        ConfigError: It cannot be read, or a line does not hold; says which.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            if tuple(next(rows, ())) != COLUMNS:
                raise ConfigError(str(path), "the first line is another", f"write {','.join(COLUMNS)}")
            return [_listed(path, rows.line_num, row) for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), str(error), "name a readable CSV file in UTF-8") from error


def set_places(connection: sa.Connection, utility: str, places: Sequence[Place]) -> None:
    """Remember where gateways stand, in place of what was known before.

    Raises:
        UnknownGatewayError: One of them has no key, no meters, and was never heard.
    """
    known = _known_gateways(connection, utility)
    for place in places:
        if place.gateway not in known:
            raise UnknownGatewayError(place.gateway)
    upsert(connection, schema.place, [{"utility": utility} | place._asdict() for place in places])


def _known_gateways(connection: sa.Connection, utility: str) -> set[str]:
    key, assignment, gateway = schema.key.c, schema.assignment.c, schema.gateway.c
    queries = (
        sa.select(key.party).where(key.utility == utility, key.purpose == Purpose.GATEWAY.value),
        sa.select(assignment.gateway).where(assignment.utility == utility),
        sa.select(gateway.name).where(gateway.utility == utility),
    )
    return set(connection.execute(sa.union(*queries)).scalars())


def _listed(path: Path, line: int, row: list[str]) -> Place:
    try:
        gateway, latitude, longitude = (word.strip() for word in row)
        return place_from_text(gateway, latitude, longitude)
    except ValueError as error:
        raise ConfigError(f"{path}, line {line}", str(error), "correct the line; nothing was changed") from error


def _degrees_e6(name: str, text: str, limit: int) -> int:
    try:
        degrees = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} {text!r} is no decimal number of degrees") from None
    if not (degrees.is_finite() and -limit <= degrees <= limit):
        raise ValueError(f"{name} {text} does not lie between -{limit} and {limit} degrees")
    return round(degrees * _E6)
