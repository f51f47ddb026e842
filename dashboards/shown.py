"""How a number or a word is shown: its unit, its bounds, its colours, its words, and where a click leads.

One description serves a whole panel and single columns of it, which Grafana writes in two different forms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.models import common, dashboard

from dashboards.colours import PLAIN, WELL, Scale, plain

NONE: Final = "none"
"""The unit of a plain number."""
TEXT: Final = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How values are shown."""

    unit: str = NONE
    """Of Grafana's list, or `suffix: x`."""
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    scale: Scale | None = None
    in_words: bool = False
    """Whether the scale's words stand in place of the number."""
    words: Mapping[str, str] | None = None
    """What stands in place of single values."""
    nothing: str = ""
    """What stands where nothing was counted, and that is well."""
    colour: str | None = None
    """Of a value that has no scale."""
    link: str | None = None
    link_title: str = "Open"
    title: str | None = None
    """What it is called, where the column's name is not good enough."""
    right: bool = False
    """Whether it has an axis of its own, on the right."""
    width: int | None = None
    """Of a table's column, in pixels."""

    def mappings(self) -> list[dashboard.ValueMapping]:
        """Return words in place of values."""
        mappings: list[dashboard.ValueMapping] = []
        if self.words:
            results = {
                value: dashboard.ValueMappingResult(text=word, index=index)
                for index, (value, word) in enumerate(self.words.items())
            }
            mappings.append(dashboard.ValueMap(options=results))
        if self.nothing:
            result = dashboard.ValueMappingResult(text=self.nothing, color=WELL, index=len(mappings))
            match = dashboard.SpecialValueMatch.NULL_AND_NAN
            options = dashboard.DashboardSpecialValueMapOptions(match=match, result=result)
            mappings.append(dashboard.SpecialValueMap(options=options))
        if self.scale is not None and self.in_words:
            mappings.extend(self.scale.mappings())
        return mappings

    def colouring(self) -> dashboard.FieldColor:
        """Return where the colour comes from."""
        if self.scale is not None:
            return dashboard.FieldColor(mode=dashboard.FieldColorModeId.THRESHOLDS)
        return dashboard.FieldColor(mode=dashboard.FieldColorModeId.FIXED, fixed_color=self.colour or PLAIN)

    def links(self) -> list[dashboard.DashboardLink]:
        """Return where a click leads."""
        if self.link is None:
            return []
        return [
            dashboard.DashboardLink(title=self.link_title, type_val=dashboard.DashboardLinkType.LINK, url=self.link)
        ]

    def defaults(self, custom: object, *, empty: str) -> dashboard.FieldConfig:
        """Return it as what a whole panel does.

        Args:
            custom: What the kind of panel adds.
            empty: What stands where there is no value.
        """
        return dashboard.FieldConfig(
            display_name=self.title,
            unit=self.unit,
            decimals=self.decimals,
            min_val=self.least,
            max_val=self.most,
            mappings=self.mappings(),
            thresholds=self.scale.thresholds() if self.scale is not None else plain(),
            color=self.colouring(),
            links=self.links(),
            no_value=empty,
            custom=custom,
        )

    def override(self, column: str, *, in_table: bool = False) -> dashboard.DashboardFieldConfigSourceOverrides:
        """Return it as what one column or series does."""
        told: dict[str, object | None] = {
            "unit": self.unit,
            "decimals": self.decimals,
            "min": self.least,
            "max": self.most,
            "mappings": self.mappings() or None,
            "thresholds": self.scale.thresholds() if self.scale is not None else None,
            "color": None if in_table and self.scale is None else self.colouring(),
            "links": self.links() or None,
            "displayName": self.title,
            "custom.axisPlacement": common.AxisPlacement.RIGHT if self.right else None,
            "custom.width": self.width,
            "custom.cellOptions": common.TableColorTextCellOptions() if in_table and self.scale is not None else None,
        }
        return override("byName", column, told)


def override(
    matcher: str, value: str, properties: Mapping[str, object | None]
) -> dashboard.DashboardFieldConfigSourceOverrides:
    """Return properties of the fields that a matcher finds; what is None is left as it is."""
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val=matcher, options=value),
        properties=[
            dashboard.DynamicConfigValue(id_val=name, value=told)
            for name, told in properties.items()
            if told is not None
        ],
    )
