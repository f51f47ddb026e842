"""Colours that a colour-blind operator tells apart, and scales that say in words what a colour says.

The palette is that of Okabe and Ito (2008). A colour never stands alone: every scale comes with words and with lines
at its limits.
"""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.models import dashboard

ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#777777"
PALETTE: Final = (ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE, GREY)

WELL: Final = SKY
LOOK: Final = ORANGE
ACT: Final = VERMILLION
PLAIN: Final = GREY
"""What is no matter of well or not."""
_FAR: Final = 1e15
"""Beyond all that is shown: Grafana 11 takes a range without an end for one that ends at 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From where on a number asks for a look, and from where on for action; below `look` it is well.

    With `act` below `look` it is the other way round: small numbers are bad, and well begins at `look`.
    """

    look: float
    act: float
    words: tuple[str, str, str] = ("all well", "look", "act now")
    """For well, look and act."""

    @property
    def falls(self) -> bool:
        """Whether small numbers are the bad ones."""
        return self.act < self.look

    def thresholds(self) -> dashboard.ThresholdsConfig:
        """Return the scale as colours."""
        low, middle, high = (ACT, self.act, self.look) if self.falls else (WELL, self.look, self.act)
        steps = [(None, low), (middle, LOOK), (high, WELL if self.falls else ACT)]
        return dashboard.ThresholdsConfig(
            mode=dashboard.ThresholdsMode.ABSOLUTE,
            steps=[dashboard.Threshold(value=value, color=colour) for value, colour in steps],
        )

    def mappings(self) -> list[dashboard.ValueMapping]:
        """Return the scale as words in place of numbers; the first range that holds a number counts."""
        well, look, act = self.words
        named = {WELL: well, LOOK: look, ACT: act}
        steps = reversed(self.thresholds().steps)
        return [
            dashboard.RangeMap(
                options=dashboard.DashboardRangeMapOptions(
                    from_val=-_FAR if step.value is None else step.value,
                    to=_FAR,
                    result=dashboard.ValueMappingResult(text=named[step.color], color=step.color, index=index),
                )
            )
            for index, step in enumerate(steps)
        ]

    def told(self) -> str:
        """Return the scale as a sentence."""
        side = "below" if self.falls else "from"
        return f"Orange {side} {self.look:g}, vermillion {side} {self.act:g}."


def plain() -> dashboard.ThresholdsConfig:
    """Return thresholds of a number that is no matter of well or not."""
    return dashboard.ThresholdsConfig(
        mode=dashboard.ThresholdsMode.ABSOLUTE, steps=[dashboard.Threshold(value=None, color=PLAIN)]
    )
