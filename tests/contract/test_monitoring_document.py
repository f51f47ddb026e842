"""`docs/monitoring.md` lists what the catalogue has."""

from cloud.monitoring.core.catalogue import MEASUREMENTS
from tests.rig.catalogue_table import DOCUMENT, current


def test_the_document_lists_what_is_written() -> None:
    text = DOCUMENT.read_text()
    assert text == current(text), "docs/monitoring.md is out of date: run `python -m tests.rig.catalogue_table`"
    assert all(f"### `{shape.name}`" in text for shape in MEASUREMENTS)
