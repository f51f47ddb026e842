"""The tables of measurements and event kinds in `docs/monitoring.md`, written from the catalogue.

    python -m tests.rig.catalogue_table

What stands between the two marks is written; all else in the document is left alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud.monitoring.core.catalogue import MEASUREMENTS, Measurement
from cloud.monitoring.core.event_kinds import KINDS, EventKind

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "monitoring.md"
_BEGIN: Final = "<!-- Written by `python -m tests.rig.catalogue_table` from cloud/monitoring/core/catalogue.py. -->\n"
_END: Final = "<!-- End of what is written. -->\n"


def current(document: str) -> str:
    """Return the document with its tables as they should be."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    assert rest, "docs/monitoring.md lacks the mark where the tables begin"
    assert after, "docs/monitoring.md lacks the mark where the tables end"
    written = "\n".join(_tables())
    return f"{before}{_BEGIN}\n{written}\n\n{_END}{after}"


def _tables() -> Iterator[str]:
    yield "| measurement | kept in | tags | what it is |"
    yield "|---|---|---|---|"
    for shape in MEASUREMENTS:
        yield f"| `{shape.name}` | `{shape.retention.value}` | {_tags(shape)} | {shape.about} |"
    for shape in MEASUREMENTS:
        yield f"\n### `{shape.name}`\n"
        yield "| field | unit | what it is |"
        yield "|---|---|---|"
        if shape.has_channels:
            yield "| a field for each channel | | what the meter showed; the names stand below |"
        for name, field in shape.fields.items():
            yield f"| `{name}` | {'text' if field.is_text else field.unit} | {field.about} |"
    yield "\n### Kinds of events\n"
    yield "| kind | codes (IEC 61968-9) |"
    yield "|---|---|"
    for kind in EventKind:
        codes = [code for code, of in KINDS.items() if of is kind and not code.startswith("0.")]
        yield f"| `{kind.value}` | {', '.join(codes) or 'any other'} |"


def _tags(shape: Measurement) -> str:
    always = ", ".join(f"`{tag}`" for tag in shape.tags)
    sometimes = ", ".join(f"`{tag}`" for tag in shape.tags_sometimes)
    return f"{always}; sometimes {sometimes}" if sometimes else always


def main() -> None:
    """Write the tables."""
    DOCUMENT.write_text(current(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
