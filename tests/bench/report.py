"""What a benchmark says: lines with a ratio, what it is a ratio of, the aim and what was measured; as a table or JSON.

An aim that is missed is shown as missed and fails nothing: a shared machine is no judge.
"""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a ratio should be."""

    bound: float
    at_least: bool
    """Whether more is better; else less is."""

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    what: str
    measured: float
    unit: str
    against: str = ""
    """What the baseline is; empty for a plain fact."""
    baseline: float | None = None
    """In `unit`."""
    ratio: float | None = None
    aim: Aim | None = None
    spread: float | None = None
    """Half the range of the ratio between the quartiles of the rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one benchmark found."""

    title: str
    compared: str
    """One sentence: what with what."""
    lines: Sequence[Line]


def show(section: Section, console: Console) -> None:
    """Print a section as a table."""
    table = Table(title=section.title, caption=section.compared, title_justify="left", caption_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("baseline", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("aim", justify="right")
    for line in section.lines:
        table.add_row(
            line.what,
            f"{_rounded(line.measured)} {line.unit}",
            f"{_rounded(line.baseline)} {line.unit}\n{line.against}" if line.baseline is not None else line.against,
            _ratio(line),
            _verdict(line),
        )
    console.print(table)


def write_json(sections: Iterable[Section], path: Path) -> None:
    """Write all sections with what ran them."""
    content = {
        "machine": machine(),
        "sections": [
            {
                "title": section.title,
                "compared": section.compared,
                "lines": [
                    asdict(line)
                    | {"met": line.aim.is_met(line.ratio) if line.aim is not None and line.ratio is not None else None}
                    for line in section.lines
                ],
            }
            for section in sections
        ],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, str | int | float]:
    """Return what one must know of the machine to read the numbers."""
    model = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": model[0] if model else platform.machine(),
        "cores": os.cpu_count() or 0,
        "load_average": round(os.getloadavg()[0], 1),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _rounded(number: float) -> str:
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _ratio(line: Line) -> str:
    if line.ratio is None:
        return ""
    spread = f" ± {_rounded(line.spread)}" if line.spread is not None else ""
    return _rounded(line.ratio) + spread


def _verdict(line: Line) -> str:
    if line.aim is None or line.ratio is None:
        return ""
    return f"[green]{line.aim} met[/]" if line.aim.is_met(line.ratio) else f"[red]{line.aim} missed[/]"
