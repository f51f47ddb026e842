"""The village on a terminal: a picture that moves, and at the end a summary; without a terminal, plain lines.

It draws a `Scene` and decides nothing about it. It fits 80 columns by 24 lines and uses more where there is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from device_sim.village.cast import CURRENCY
from device_sim.village.closing import Result, summary_rows
from device_sim.village.scene import Light, Scene

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from device_sim.village.cast import House

_GLYPHS: Final = {
    Light.LIT: ("●", "bold bright_yellow"),
    Light.NO_CREDIT: ("○", "bold red"),
    Light.DISCONNECTED: ("◌", "bold bright_blue"),
}
_DEAD: Final = ("✕", "bold magenta")
_FRAME: Final = "grey50"
_MIDDLE_LINES: Final = 7
"""Of the panels in the middle on a terminal of 24 lines."""
_TIME_WIDTH: Final = 14
_BAR_WIDTH_MAX: Final = 10
_WAITING_PER_BLOCK: Final = 30
_SKY: Final = {
    "night": "bold bright_blue",
    "dawn": "bold bright_magenta",
    "morning": "bold bright_cyan",
    "afternoon": "bold bright_yellow",
    "evening": "bold magenta",
}


def draw(scene: Scene, console: Console) -> RenderableType:
    """Return the picture for a console of its size."""
    middle = _MIDDLE_LINES + max(console.height - 24, 0) // 4
    layout = Layout()
    layout.split_column(
        Layout(_heading(scene), size=1),
        Layout(_houses(scene, console.width), size=len(scene.cast.gateways) + 4),
        Layout(name="middle", size=middle),
        Layout(_news(scene), name="news", minimum_size=3),
        Layout(_footer(scene, console.width), size=1),
    )
    layout["middle"].split_row(Layout(_households(scene, middle - 2), ratio=3), Layout(_counters(scene), ratio=2))
    return layout


def _heading(scene: Scene) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    houses, gateways = len(scene.cast.houses), len(scene.cast.gateways)
    part = scene.calendar.part_of_day(scene.now_ms)
    line.add_row(
        Text.assemble(
            (" Wattpost ", "bold black on bright_yellow"), f" a village: {houses} houses, {gateways} gateways"
        ),
        Text(f"{scene.calendar.text(scene.now_ms)}, {part} ", _SKY[part]),
    )
    return line


def _houses(scene: Scene, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for gateway in scene.gateways():
        state = Text("online", "green") if gateway.is_online else Text("offline", "bold red")
        if gateway.is_cut:
            state = Text("no network", "bold red")
        lights = Text(" " if width < 100 else "  ").join(
            Text(*_glyph(scene, house)) for house in scene.cast.of_gateway(gateway.name)
        )
        style = "bold red" if gateway.is_cut else "grey62"
        waiting = Text(f"{gateway.waiting:>4} to send {_bar(gateway.waiting)}", style)
        table.add_row(Text(gateway.name, "bold"), _padded(state, 10), lights, waiting)
    legend = Text("  ").join(
        Text.assemble((glyph, style), f" {name}")
        for (glyph, style), name in (
            *((_GLYPHS[light], light.value) for light in Light),
            (_DEAD, "meter dead"),
        )
    )
    return Panel(Group(table, Text(), legend), title="houses", title_align="left", border_style=_FRAME)


def _bar(waiting: int) -> str:
    return "▮" * min(-(-waiting // _WAITING_PER_BLOCK), _BAR_WIDTH_MAX)


def _padded(text: Text, width: int) -> Text:
    text.pad_right(max(width - len(text), 0))
    return text


def _glyph(scene: Scene, house: House) -> tuple[str, str]:
    return _DEAD if house.meter in scene.dead else _GLYPHS[scene.lights.get(house.meter, Light.LIT)]


def _households(scene: Scene, lines: int) -> RenderableType:
    cast = scene.cast
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    first = (cast.spender, cast.islander, cast.smart)
    for house in (*first, *(house for house in cast.prepaid if house not in first))[:lines]:
        light = scene.lights.get(house.meter, Light.LIT)
        table.add_row(
            f"{house.family}, {house.gateway}",
            _balance(scene, house),
            Text(*_glyph(scene, house)) + Text("" if light is Light.LIT else f" {light.value}", "red"),
        )
    return Panel(table, title=f"prepaid balance, {CURRENCY}", title_align="left", border_style=_FRAME)


def _balance(scene: Scene, house: House) -> Text:
    """Return what the cloud computes; of a gateway without network it can only say what it was."""
    minor = scene.balances.get(house.meter)
    if minor is None:
        return Text("")
    if not scene.is_online(house.gateway):
        return Text(f"was {minor / 100:,.2f}", "grey62")
    return Text(f"{minor / 100:,.2f}", "red" if minor <= 0 else "green")


def _counters(scene: Scene) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("readings taken", Text(f"{scene.taken:,}", "bold"))
    table.add_row("in the database", Text(f"{scene.committed:,}", "bold"))
    table.add_row("commands executed", Text(f"{scene.commands_executed:,}", "bold"))
    failed = Text(f"{scene.commands_failed:,}", "bold red" if scene.commands_failed else "bold")
    table.add_row("commands failed", failed)
    table.add_row("outages survived", Text(f"{scene.outages_survived:,}", "bold"))
    return Panel(table, title="counters", title_align="left", border_style=_FRAME)


class _NewsLines:
    """The latest news, as many as there is room for, the newest last."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        lines: list[Text] = []
        for news in reversed(self._scene.news):
            style = "" if lines else "bold"
            wrapped = Text(news.text, style).wrap(console, max(options.max_width - _TIME_WIDTH, 10))
            times = [Text(news.time.ljust(_TIME_WIDTH), "grey62")] + [Text(" " * _TIME_WIDTH)] * (len(wrapped) - 1)
            # Whole pieces only: half a sentence tells nothing.
            if len(lines) + len(wrapped) > height:
                break
            lines[:0] = [Text.assemble(time, text) for time, text in zip(times, wrapped, strict=True)]
        yield Text("\n").join(lines)


def _news(scene: Scene) -> RenderableType:
    return Panel(_NewsLines(scene), title="what just happened", title_align="left", border_style=_FRAME)


def _footer(scene: Scene, width: int) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(
        ProgressBar(total=1.0, completed=min(scene.share, 1.0), width=max(width // 2, 20)),
        Text(scene.phase or "Ctrl-C ends it", "bold" if scene.phase else "grey62"),
    )
    return line


def summary(result: Result) -> RenderableType:
    """Return what the demo measured, for the end."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    for name, value in summary_rows(result):
        table.add_row(name, Text(str(value), "bold"))
    problems = result.problems()
    verdict = (
        Text("Something is not as it should be.", "bold red")
        if problems
        else Text("Nothing lost, nothing doubled.", "bold green")
    )
    return Panel(Group(table, Text(), verdict), title="counted at both ends", title_align="left", expand=False)
