"""Gateways are put on the map; what is wrong is refused in one line and changes nothing."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cloud import schema
from cloud.__main__ import main
from cloud.database import open_database


class Terminal:
    """The command `wattpost cloud place` with a configuration."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self._url = database_url
        self._file = folder / "cloud.toml"
        self._file.write_text(f'utility = "hillside"\ndatabase = "{database_url}"\nkeys_folder = "keys"\n')

    def run(self, command: str, *words: str) -> Result:
        return CliRunner().invoke(main, [command, str(self._file), *words])

    def places(self) -> dict[str, tuple[int, int]]:
        table = schema.place.c
        query = sa.select(table.gateway, table.latitude_e6, table.longitude_e6)

        async def ask() -> dict[str, tuple[int, int]]:
            async with open_database(self._url) as database:
                rows = await database.transact(lambda connection: connection.execute(query).all())
            return {row.gateway: (row.latitude_e6, row.longitude_e6) for row in rows}

        return asyncio.run(ask())


@pytest.fixture
def terminal(tmp_path: Path, database_url: str) -> Terminal:
    terminal = Terminal(tmp_path, database_url)
    assert terminal.run("assign", "gw-1", "EM-1").exit_code == 0
    assert terminal.run("assign", "gw-2", "EM-2").exit_code == 0
    assert terminal.run("place", "gw-1", "-1.2921", "36.8219").output == "1 gateways placed\n"
    return terminal


def test_a_gateway_is_placed_and_placed_anew(terminal: Terminal) -> None:
    assert terminal.places() == {"gw-1": (-1_292_100, 36_821_900)}
    assert terminal.run("place", "gw-1", "90", "-180").exit_code == 0
    assert terminal.places() == {"gw-1": (90_000_000, -180_000_000)}


def test_gateways_are_placed_from_a_file(terminal: Terminal) -> None:
    path = terminal.folder / "places.csv"
    path.write_text("gateway,latitude,longitude\ngw-1,1.5,2\ngw-2,-33.9249, 18.4241\n\n")
    assert terminal.run("place", "--from-file", str(path)).output == "2 gateways placed\n"
    assert terminal.places() == {"gw-1": (1_500_000, 2_000_000), "gw-2": (-33_924_900, 18_424_100)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("gw-1 90.1 0", "latitude 90.1 does not lie between -90 and 90"),
        ("gw-1 0 -181", "longitude -181 does not lie between -180 and 180"),
        ("gw-1 nan 0", "latitude nan does not lie between"),
        ("gw-1 north 0", "latitude 'north' is no decimal number"),
        ("gw_1 0 0", "'gw_1' is not 1 to 32 of"),
        ("gw-9 0 0", "no gateway gw-9"),
        ("gw-1 0", "give either GATEWAY LATITUDE LONGITUDE or --from-file"),
        ("", "give either GATEWAY LATITUDE LONGITUDE or --from-file"),
        ("gw-1 0 0 --from-file places.csv", "give either GATEWAY LATITUDE LONGITUDE or --from-file"),
    ],
)
def test_a_wrong_place_is_refused_in_a_line(terminal: Terminal, words: str, said: str) -> None:
    result = terminal.run("place", *words.split())
    assert isinstance(result.exception, SystemExit)
    assert said in result.output.splitlines()[-1]
    assert terminal.places() == {"gw-1": (-1_292_100, 36_821_900)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway,lat,lon\n", "the first line is another"),
        ("", "the first line is another"),
        ("gateway,latitude,longitude\ngw-2,1,2\ngw-1,91,0\n", "line 3: latitude 91 does not lie"),
        ("gateway,latitude,longitude\ngw-2,1\n", "line 2"),
        ("gateway,latitude,longitude\ngw-2,1,2\ngw-9,1,2\n", "no gateway gw-9"),
    ],
)
def test_a_list_with_a_wrong_line_places_none(terminal: Terminal, text: str, said: str) -> None:
    path = terminal.folder / "places.csv"
    path.write_text(text)
    result = terminal.run("place", "--from-file", str(path))
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"
    assert terminal.places() == {"gw-1": (-1_292_100, 36_821_900)}
