"""What happens in the village, and when: beats, each due at a share of the time and after what it follows.

Pure: it is told how much time has passed and what has been seen, and says what to do now. What is done, and how it is
seen, is left to the demo.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Act(StrEnum):
    """What can be done to the village."""

    DISCONNECT = "disconnect"
    """An integrator disconnects the debtor."""
    RECONNECT = "reconnect"
    PAY_SPENDER = "pay-spender"
    CUT_NETWORK = "cut-network"
    PAY_ISLANDER = "pay-islander"
    RESTORE_NETWORK = "restore-network"
    PAY_SMART = "pay-smart"
    BREAK_METER = "break-meter"
    REPAIR_METER = "repair-meter"


class Seen(StrEnum):
    """What a visitor must have seen for the story to have happened; the value says it."""

    SPENDER_DARK = "a house ran out of credit and its gateway switched it off"
    SPENDER_LIT = "it paid and had light again"
    DEBTOR_DARK = "a house was disconnected on an integrator's word"
    DEBTOR_LIT = "it was reconnected"
    GATEWAY_GONE = "the cloud noticed that a gateway had no network"
    ISLANDER_DARK = "a house ran out of credit while its gateway had no network, and was switched off all the same"
    ISLANDER_LIT = "its payment reached it once the network was back"
    GATEWAY_BACK = "the gateway came back and sent what it had kept"
    SMART_DARK = "a house ran out of credit and its DLMS meter opened its own switch"
    SMART_LIT = "it paid, and its meter closed the switch again"
    METER_LOST = "a dead meter was reported"
    METER_FOUND = "it was found again after its repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Something that is done once."""

    act: Act
    share: float
    """Of the whole time: not before."""
    after: Seen | None = None
    """Waits for this ..."""
    share_max: float = 1.0
    """... but not longer than this share of the time; above 1 if the story may go on for it."""


BEATS: Final = (
    Beat(act=Act.DISCONNECT, share=0.10),
    Beat(act=Act.PAY_SPENDER, share=0.24, after=Seen.SPENDER_DARK, share_max=0.36),
    Beat(act=Act.RECONNECT, share=0.28, after=Seen.DEBTOR_DARK, share_max=0.36),
    Beat(act=Act.BREAK_METER, share=0.32),
    Beat(act=Act.CUT_NETWORK, share=0.40),
    Beat(act=Act.PAY_ISLANDER, share=0.50, after=Seen.ISLANDER_DARK, share_max=0.60),
    Beat(act=Act.PAY_SMART, share=0.52, after=Seen.SMART_DARK, share_max=0.66),
    Beat(act=Act.RESTORE_NETWORK, share=0.60, after=Seen.ISLANDER_DARK, share_max=0.66),
    # A gateway is sure only after three attempts, which it spaces so that they cost the neighbours little.
    Beat(act=Act.REPAIR_METER, share=0.72, after=Seen.METER_LOST, share_max=1.3),
)
SPENDER_OUT_SHARE: Final = 0.15
"""When the spender's first credit is to end, as a share of the time."""
ISLANDER_OUT_SHARE: Final = 0.47
"""When the islander's is: well within the outage."""
SMART_OUT_SHARE: Final = 0.42
"""When that of the house with the DLMS meter is."""


class Story:
    """Keeps track of what has been done.

    Args:
        duration_s: Real seconds from the first beat to the end.
    """

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._left = list(BEATS)

    def due(self, elapsed_s: float, seen: frozenset[Seen]) -> list[Act]:
        """Return what is to be done now; each act is returned once."""
        share = elapsed_s / self._duration_s
        acts: list[Act] = []
        for beat in list(self._left):
            if share < beat.share:
                continue
            if beat.after is None or beat.after in seen or share >= beat.share_max:
                self._left.remove(beat)
                acts.append(beat.act)
        return acts


def unseen(seen: frozenset[Seen]) -> list[Seen]:
    """Return what is missing from the story, in its order."""
    return [each for each in Seen if each not in seen]
