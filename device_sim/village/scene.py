"""What can be seen of the village at a moment, and what just changed in it, in a visitor's words.

It is told what the simulator, the cloud and the integrator say, and decides what that means; it asks nobody and draws
nothing. Light and darkness come from the houses themselves, presence and stored readings from the cloud.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from device_sim.village.story import Act, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_sim.village.cast import Cast, House

NEWS_MAX: Final = 100
EVENT_METER_LOST: Final = "3.1.0.85"
DETAIL_NO_ANSWER: Final = "no answer"
"""A gateway also reports meters that it left alone too long, with the same code."""
EVENT_METER_FOUND: Final = "3.1.0.216"
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_PARTS_OF_DAY: Final = ((5, "night"), (8, "dawn"), (12, "morning"), (17, "afternoon"), (20, "evening"), (24, "night"))


class Light(StrEnum):
    """How a house looks from the street."""

    LIT = "lit"
    NO_CREDIT = "no credit"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class News:
    """Something that just happened."""

    time: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """A gateway as the picture shows it."""

    name: str
    is_online: bool
    is_cut: bool
    waiting: int
    """Readings taken and not yet in the database."""


@dataclass(slots=True)
class Calendar:
    """Tells site time as villagers do."""

    first_day_ms: int
    """Local midnight before the village began, Unix ms."""
    utc_offset_min: int

    def text(self, at_ms: int) -> str:
        """Return day and time, like `Day 2 14:35`."""
        day, rest_ms = divmod(at_ms - self.first_day_ms, _DAY_MS)
        hours, minutes = divmod(rest_ms // _MINUTE_MS, 60)
        return f"Day {day + 1} {hours:02}:{minutes:02}"

    def part_of_day(self, at_ms: int) -> str:
        hour = (at_ms - self.first_day_ms) % _DAY_MS // (60 * _MINUTE_MS)
        return next(name for until, name in _PARTS_OF_DAY if hour < until)


def calendar_at(started_ms: int, utc_offset_min: int) -> Calendar:
    """Return a calendar whose first day is that of `started_ms`."""
    local_ms = started_ms + utc_offset_min * _MINUTE_MS
    return Calendar(started_ms - local_ms % _DAY_MS, utc_offset_min)


@dataclass(slots=True)
class Scene:
    """The village as it is seen.

    Args:
        cast: Who lives there.
        calendar: How to tell the time.
        tell: Called with each piece of news.
    """

    cast: Cast
    calendar: Calendar
    tell: Callable[[News], None]
    now_ms: int = 0
    phase: str = ""
    """What the demo is busy with, while that is not the story."""
    share: float = 0.0
    """Of the story's time."""
    news: deque[News] = field(default_factory=lambda: deque(maxlen=NEWS_MAX))
    lights: dict[str, Light] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    balances: dict[str, int] = field(default_factory=dict)
    """Of prepaid houses by meter, in minor units, as the cloud computes them."""
    seen: set[Seen] = field(default_factory=set)
    commands_executed: int = 0
    commands_failed: int = 0
    outages_survived: int = 0
    batch_bytes: int = 0
    _sent: dict[str, int] = field(default_factory=dict)
    _pinged: dict[str, int] = field(default_factory=dict)
    _stored: dict[str, int] = field(default_factory=dict)
    _present: dict[str, bool] = field(default_factory=dict)
    _cut: set[str] = field(default_factory=set)
    _owed: int | None = None
    """Readings the gateway without network had to have delivered to count as back; none while nothing is owed."""
    _disconnecting: set[str] = field(default_factory=set)

    # ---- what is asked of it -----------------------------------------------------------------------------------------

    @property
    def taken(self) -> int:
        """Readings taken so far, as the meters count."""
        return sum(self._sent.values()) - sum(self._pinged.values())

    @property
    def committed(self) -> int:
        """Readings in the database."""
        return sum(self._stored.values())

    def gateways(self) -> list[GatewayView]:
        return [
            GatewayView(
                name=name,
                is_online=self.is_online(name),
                is_cut=name in self._cut,
                waiting=max(self._taken_of(name) - self._stored_of(name), 0),
            )
            for name in self.cast.gateways
        ]

    def is_online(self, gateway: str) -> bool:
        """Tell whether the cloud can hear a gateway."""
        return self._present.get(gateway, False) and gateway not in self._cut

    def is_reachable(self, house: House) -> bool:
        """Tell whether a request about a house can be answered now."""
        return self.is_online(house.gateway) and house.meter not in self.dead

    # ---- what it is told ---------------------------------------------------------------------------------------------

    def on_act(self, act: Act) -> None:
        """The story moves on."""
        cast = self.cast
        match act:
            case Act.DISCONNECT:
                self._disconnecting.add(cast.debtor.meter)
                self._say(f"The billing office asks to disconnect {cast.debtor.family}'s house")
            case Act.RECONNECT:
                self._say(f"The billing office asks to reconnect {cast.debtor.family}'s house")
            case Act.PAY_SPENDER:
                self._say(f"{cast.spender.family} pays at the shop")
            case Act.CUT_NETWORK:
                self._cut.add(cast.outage)
                self._say(f"{cast.outage} loses its network; it reads on and keeps the readings")
            case Act.PAY_ISLANDER:
                self._say(f"{cast.islander.family} pays, but {cast.outage} has no network: the credit waits")
            case Act.RESTORE_NETWORK:
                self._cut.discard(cast.outage)
                self._owed = self._taken_of(cast.outage)
                waiting = max(self._owed - self._stored_of(cast.outage), 0)
                self._say(f"{cast.outage} has its network again, with {waiting} readings to send")
            case Act.PAY_SMART:
                self._say(f"{cast.smart.family} pays at the shop")
            case Act.BREAK_METER:
                self.dead.add(cast.broken.meter)
                self._say(f"{cast.broken.family}'s meter dies; the others on its line must not notice")
            case Act.REPAIR_METER:
                self.dead.discard(cast.broken.meter)
                self._say(f"{cast.broken.family}'s meter is repaired")

    def on_accounts_opened(self) -> None:
        """The prepaid accounts are there."""
        poor = f"{self.cast.spender.family}, {self.cast.islander.family} and {self.cast.smart.family}"
        self._say(f"{len(self.cast.prepaid)} households prepay; {poor} have little credit")

    def on_meters(self, states: list[dict[str, Any]]) -> None:
        """The houses, as the simulator shows them."""
        for state in states:
            house = self.cast.houses[state["id"]]
            light = self._light(house, is_lit=state["energised"])
            before = self.lights.get(house.meter, Light.LIT)
            self.lights[house.meter] = light
            if light is not before:
                self._on_light(house, light)

    def on_given(self, sent: dict[str, int]) -> None:
        """How many energies each device has answered, and how many rows it has captured."""
        self._sent = {meter: count for meter, count in sent.items() if meter in self.cast.houses}

    def on_picture(self, picture: dict[str, Any]) -> None:
        """The installation, as the cloud sees it."""
        self._present = picture["gateways"]
        self._stored = picture["readings"]
        self.batch_bytes = picture["batch_bytes"]
        accounts = {house.account: house.meter for house in self.cast.prepaid}
        self.balances = {accounts[account]: minor for account, minor in picture["balances"].items()}
        for _, meter, code, detail in picture["events"]:
            self._on_event(meter, code, detail)
        self._on_presence()

    def on_outcome(self, meter: str, *, executed: bool, was_ping: bool, says: str) -> None:
        """A request of the billing office has come to its end."""
        self.commands_executed += executed
        self.commands_failed += not executed
        if was_ping and executed:
            self._pinged[meter] = self._pinged.get(meter, 0) + 1
        if not executed:
            self._say(f"A request about {self.cast.houses[meter].family}'s house came to nothing: {says}")

    def on_reconnected(self) -> None:
        """The debtor's reconnection is executed."""
        self._disconnecting.discard(self.cast.debtor.meter)

    # ---- what it makes of that ---------------------------------------------------------------------------------------

    def _light(self, house: House, *, is_lit: bool) -> Light:
        if is_lit:
            return Light.LIT
        return Light.DISCONNECTED if house.meter in self._disconnecting else Light.NO_CREDIT

    def _on_light(self, house: House, light: Light) -> None:
        is_offline = house.gateway in self._cut
        match light:
            case Light.LIT:
                self._say(f"{house.family}'s house has light again")
            case Light.DISCONNECTED:
                self._say(f"{house.family}'s house is dark, disconnected on a signed request")
            case Light.NO_CREDIT if house.is_dlms:
                self._say(f"{house.family}'s credit is used up; {house.gateway} lets the meter open its own switch")
            case Light.NO_CREDIT:
                alone = "by itself, without network" if is_offline else "by itself"
                self._say(f"{house.family}'s credit is used up; {house.gateway} cuts the house off {alone}")
        if house is self.cast.smart:
            self._see(Seen.SMART_DARK if light is not Light.LIT else Seen.SMART_LIT)
        elif house is self.cast.spender:
            self._see(Seen.SPENDER_DARK if light is not Light.LIT else Seen.SPENDER_LIT)
        elif house is self.cast.debtor:
            self._see(Seen.DEBTOR_DARK if light is not Light.LIT else Seen.DEBTOR_LIT)
        elif house is self.cast.islander and light is not Light.LIT and is_offline:
            self._see(Seen.ISLANDER_DARK)
        elif house is self.cast.islander and light is Light.LIT and not is_offline:
            self._see(Seen.ISLANDER_LIT)

    def _on_event(self, meter: str, code: str, detail: str) -> None:
        if meter != self.cast.broken.meter:
            return
        is_lost = code == EVENT_METER_LOST and detail == DETAIL_NO_ANSWER
        if is_lost and meter in self.dead and Seen.METER_LOST not in self.seen:
            self._say(f"{self.cast.broken.gateway} reports that {self.cast.broken.family}'s meter does not answer")
            self._see(Seen.METER_LOST)
        elif code == EVENT_METER_FOUND and meter not in self.dead and Seen.METER_LOST in self.seen:
            self._say(f"{self.cast.broken.gateway} reports that {self.cast.broken.family}'s meter answers again")
            self._see(Seen.METER_FOUND)

    def _on_presence(self) -> None:
        name = self.cast.outage
        present = self._present.get(name, False)
        if name in self._cut and not present and Seen.GATEWAY_GONE not in self.seen:
            self._say(f"The cloud notices that {name} is gone")
            self._see(Seen.GATEWAY_GONE)
        if self._owed is not None and present and self._stored_of(name) >= self._owed:
            self._owed = None
            self.outages_survived += 1
            self._say(f"All that {name} had kept is in the database")
            self._see(Seen.GATEWAY_BACK)

    def _taken_of(self, gateway: str) -> int:
        meters = [house.meter for house in self.cast.of_gateway(gateway)]
        return sum(self._sent.get(meter, 0) - self._pinged.get(meter, 0) for meter in meters)

    def _stored_of(self, gateway: str) -> int:
        return sum(self._stored.get(house.meter, 0) for house in self.cast.of_gateway(gateway))

    def _see(self, what: Seen) -> None:
        self.seen.add(what)

    def _say(self, text: str) -> None:
        news = News(self.calendar.text(self.now_ms), text)
        self.news.append(news)
        self.tell(news)
