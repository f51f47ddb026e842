import re
from pathlib import Path

import pytest

from cloud.meterdata.core.meter_day import ChannelKey
from cloud.monitoring.core import fields

TABLE = re.findall(
    r"^\| (\d+)-(\d+):(\d+)\.(\d+)\.(\d+)\.(\d+) \| `(\w+)` \|$",
    Path("docs/monitoring.md").read_text(),
    flags=re.MULTILINE,
)
UNITS = {name: code for code, name in fields._UNIT_NAMES.items() if name}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[-1])
def test_the_documented_field_is_the_one_that_is_written(row: tuple[str, ...]) -> None:
    *obis, name = row
    unit = UNITS.get(name.rpartition("_")[2], 255)
    assert fields.field_name(ChannelKey(bytes(map(int, obis)), 0, unit)) == name


def test_every_quantity_is_documented() -> None:
    assert len(TABLE) == len(fields._QUANTITIES) + len(fields._SINGLE) + 1  # the current of the neutral
