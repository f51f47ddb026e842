"""How a panel shows a field: what its configuration says of names, units, words and colours, as far as ours uses it.

Grafana merges the defaults of a panel with the overrides that match a field; thresholds and value mappings turn a value
into a colour and a text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.rig.grafana.queries import Frame, Value

PLAIN: Final = "#777777"
_SUFFIXES: Final = {
    "percent": " %", "watt": " W", "watth": " Wh", "kwatth": " kWh", "volt": " V", "amp": " A", "hertz": " Hz",
    "degree": "°", "reqps": " req/s", "cps": " c/s", "none": "", "short": "", "string": "", "locale": "",
}  # fmt: skip
_LADDERS: Final[Mapping[str, tuple[tuple[float, str], ...]]] = {
    "s": ((86_400, " d"), (3_600, " h"), (60, " min"), (1, " s"), (0.001, " ms")),
    "ms": ((86_400_000, " d"), (3_600_000, " h"), (60_000, " min"), (1_000, " s"), (1, " ms")),
    "bytes": ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "decbytes": ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1, " B")),
    "watt": ((1e6, " MW"), (1e3, " kW"), (1, " W")),
    "watth": ((1e6, " MWh"), (1e3, " kWh"), (1, " Wh")),
    "d": ((1, " d"),),
}


@dataclass(slots=True)
class FieldConfig:
    """What holds for one field of a panel."""

    name: str
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the field is called."""
        return str(self.properties.get("displayName") or self.name)

    @property
    def is_hidden(self) -> bool:
        return bool(self.properties.get("custom.hidden", False))

    def text(self, value: Value) -> str:
        """Return a value as a person reads it."""
        mapped = self._mapped(value)
        if mapped is not None and mapped.get("text"):
            return str(mapped["text"])
        if value is None:
            return str(self.properties.get("noValue") or "-")
        return value if isinstance(value, str) else self._number(float(value))

    def colour(self, value: Value) -> str:
        """Return a value's colour."""
        mapped = self._mapped(value)
        if mapped is not None and mapped.get("color"):
            return str(mapped["color"])
        told = self.properties.get("color") or {}
        if told.get("mode") != "thresholds" or not isinstance(value, (int, float)):
            return str(told.get("fixedColor") or PLAIN)
        return colour_of(self.steps(), float(value))

    def steps(self) -> list[Mapping[str, Any]]:
        """Return the thresholds, ascending."""
        return list((self.properties.get("thresholds") or {}).get("steps", ()))

    def _number(self, value: float) -> str:
        unit = str(self.properties.get("unit") or "")
        if unit.startswith("currency"):
            return f"{self._digits(value)} {unit.removeprefix('currency')}"
        if unit.startswith("suffix:"):
            return f"{self._digits(value)} {unit.removeprefix('suffix:').strip()}"
        if unit.startswith(("dateTime", "time:")):
            return datetime.fromtimestamp(value / 1_000, UTC).strftime("%d %b %H:%M")
        if unit == "percentunit":
            return f"{100 * value:.1f} %"
        ladder = _LADDERS.get(unit)
        if ladder is None:
            return self._digits(value) + _SUFFIXES.get(unit, f" {unit}")
        size, suffix = next((step for step in ladder if abs(value) >= step[0]), ladder[-1])
        return self._digits(value / size) + suffix

    def _digits(self, value: float) -> str:
        decimals = self.properties.get("decimals")
        if decimals is None:
            decimals = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{decimals}f}".replace(",", "\N{THIN SPACE}")

    def _mapped(self, value: Value) -> Mapping[str, Any] | None:
        for mapping in self.properties.get("mappings") or ():
            options = mapping["options"]
            match mapping["type"]:
                case "value":
                    found = options.get(_key(value))
                case "range":
                    found = options["result"] if _within(value, options) else None
                case "special":
                    found = options["result"] if value is None and options["match"] in {"null", "null+nan"} else None
                case "regex":
                    matches = isinstance(value, str) and re.search(options["pattern"].strip("/"), value)
                    found = options["result"] if matches else None
                case _:
                    raise AssertionError(f"no such mapping: {mapping['type']}")
            if found is not None:
                result: Mapping[str, Any] = found
                return result
        return None


def field_config(panel: Mapping[str, Any], name: str, *, kind: str = "number") -> FieldConfig:
    """Return what holds for a field.

    Args:
        panel: As a dashboard's JSON has it.
        name: Of the field, or of the series.
        kind: number, string or time.
    """
    told = panel.get("fieldConfig") or {}
    properties = _flat(told.get("defaults") or {})
    for override in told.get("overrides", ()):
        matcher, wanted = override["matcher"]["id"], override["matcher"].get("options")
        if _matches(matcher, str(wanted), name, kind):
            properties |= {item["id"]: item.get("value") for item in override["properties"]}
    if kind == "time":
        properties["unit"] = "dateTimeAsIso"
    return FieldConfig(name, properties)


def _matches(matcher: str, wanted: str, name: str, kind: str) -> bool:
    match matcher:
        case "byName":
            return wanted == name
        case "byType":
            return wanted == kind
        case "byRegexp":
            return re.search(wanted.strip("/"), name) is not None
        case _:
            raise AssertionError(f"no such matcher: {matcher}")


def series_name(frame: Frame, alias: str) -> str:
    """Return what a series is called by the alias of its query."""
    tags = dict(frame.labels)
    name = alias or f"{frame.name} {' '.join(f'{tag}: {value}' for tag, value in sorted(tags.items()))}".strip()

    def told(match: re.Match[str]) -> str:
        wanted = match[1] or match[2]
        return frame.name if wanted == "col" else tags.get(wanted.removeprefix("tag_"), "")

    return re.sub(r"\$(\w+)|\[\[(\w+)\]\]", told, name)


def colour_of(steps: list[Mapping[str, Any]], value: float) -> str:
    """Return the colour of the last step that a value reaches."""
    reached = [step for step in steps if step.get("value") is None or value >= step["value"]]
    return str(reached[-1]["color"]) if reached else PLAIN


def _flat(defaults: Mapping[str, Any]) -> dict[str, Any]:
    custom = defaults.get("custom") or {}
    return dict(defaults) | {f"custom.{name}": value for name, value in custom.items()}


def _key(value: Value) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _within(value: Value, options: Mapping[str, Any]) -> bool:
    if not isinstance(value, (int, float)):
        return False
    # A missing end counts as 0, as in Grafana 11; newer ones take it for infinity.
    return (options.get("from") or 0) <= value <= (options.get("to") or 0)
