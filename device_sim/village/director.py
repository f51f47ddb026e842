"""Plays the story on a running installation: does what is due, keeps the billing office asking, watches both ends.

What is due is the story's decision, what it looked like the scene's; here it only happens.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from device_sim.village.story import ISLANDER_OUT_SHARE, SMART_OUT_SHARE, SPENDER_OUT_SHARE, Act, Story, unseen
from wire.messages import Disconnect, Effect, Ping, Read, Reconnect, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from device_sim.village.installation import Installation
    from device_sim.village.integrator import Integrator, Outcome
    from device_sim.village.scene import Scene

TICK_S: Final = 0.2
METERS_EVERY_S: Final = 0.4
REQUEST_EVERY_S: Final = 0.8
PING_ONE_IN: Final = 5
PRESENT_S_MAX: Final = 30.0
OVERTIME_S_MAX: Final = 20.0
"""How long the story may go on after its time on a machine that is slow."""
PAYMENT: Final = "600.00"
VOLTAGE_L1: Final = bytes([1, 0, 32, 7, 0, 255])
VOLTAGE: Final = bytes([1, 0, 12, 7, 0, 255])
"""What a DLMS meter with a single phase calls it."""
HOUR_MS: Final = 3_600_000
REQUEST_HOURS: Final = 48
"""How long a request stays valid, site time; at this speed two minutes are two days."""


class Director:
    """Runs the village from its first reading to the last act."""

    def __init__(
        self, installation: Installation, scene: Scene, integrator: Integrator, *, duration_s: float, rng: Random
    ) -> None:
        self._installation = installation
        self._cast = installation.cast
        self._clock = installation.plan.clock
        self._scene = scene
        self._integrator = integrator
        self._duration_s = duration_s
        self._rng = rng
        self._asking: dict[str, int] = {}
        self.dead_span_ms = (0, 0)
        """Site times between which a meter was dead."""

    # ---- watching ----------------------------------------------------------------------------------------------------

    async def watch_meters(self) -> None:
        """Follow the houses, for ever."""
        control = self._installation.control
        while True:
            self._scene.now_ms = self._clock.wall_ms()
            self._scene.on_given(await control.given())
            self._scene.on_meters(await control.meters())
            await asyncio.sleep(METERS_EVERY_S)

    async def watch_cloud(self) -> None:
        """Follow the cloud, for ever."""
        async for picture in self._installation.watch.lines():
            self._scene.on_picture(picture)

    # ---- playing -----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Play the whole story, to the last answer to a request."""
        self._scene.phase = "waiting for the gateways"
        with suppress(TimeoutError):
            async with asyncio.timeout(PRESENT_S_MAX):
                await _until(lambda: all(gateway.is_online for gateway in self._scene.gateways()))
        self._scene.phase = ""
        async with asyncio.TaskGroup() as group:
            await self._play_in(group)
        self._scene.share = 1.0

    async def _play_in(self, group: asyncio.TaskGroup) -> None:
        clock_s = asyncio.get_running_loop().time
        started_s = clock_s()
        story = Story(self._duration_s)
        group.create_task(self._open_accounts())
        next_request_s = 1.0
        while True:
            elapsed_s = clock_s() - started_s
            seen = frozenset(self._scene.seen)
            self._scene.share = elapsed_s / self._duration_s
            for act in story.due(elapsed_s, seen):
                self._scene.on_act(act)
                group.create_task(self._perform(act))
            is_over = elapsed_s >= self._duration_s
            if is_over and (not unseen(seen) or elapsed_s >= self._duration_s + OVERTIME_S_MAX):
                return
            if elapsed_s >= next_request_s and not is_over:
                next_request_s = max(next_request_s + REQUEST_EVERY_S, elapsed_s)
                self._ask_something(group)
            await asyncio.sleep(TICK_S)

    async def _open_accounts(self) -> None:
        now_ms = self._clock.wall_ms()

        def after(share: float) -> int:
            return now_ms + round(share * self._duration_s * self._clock.rate * 1000)

        await self._installation.open_accounts(
            {
                self._cast.spender.meter: after(SPENDER_OUT_SHARE),
                self._cast.islander.meter: after(ISLANDER_OUT_SHARE),
                self._cast.smart.meter: after(SMART_OUT_SHARE),
            }
        )
        self._scene.on_accounts_opened()

    async def _perform(self, act: Act) -> None:
        installation, cast = self._installation, self._cast
        match act:
            case Act.DISCONNECT:
                await self._ask(cast.debtor.meter, Disconnect())
            case Act.RECONNECT:
                await self._ask(cast.debtor.meter, Reconnect())
            case Act.PAY_SPENDER:
                await installation.pay(cast.spender, PAYMENT)
            case Act.CUT_NETWORK:
                await self._let_answers_come(cast.outage)
                await installation.control.cut_network(cast.outage)
            case Act.PAY_ISLANDER:
                await installation.pay(cast.islander, PAYMENT)
            case Act.RESTORE_NETWORK:
                await installation.control.restore_network(cast.outage)
            case Act.PAY_SMART:
                await installation.pay(cast.smart, PAYMENT)
            case Act.BREAK_METER:
                await installation.control.set_dead(cast.broken.meter, dead=True)
                self.dead_span_ms = (self._clock.wall_ms(), 0)
            case Act.REPAIR_METER:
                self.dead_span_ms = (self.dead_span_ms[0], self._clock.wall_ms())
                await installation.control.set_dead(cast.broken.meter, dead=False)

    async def _let_answers_come(self, gateway: str) -> None:
        """Wait for the answers under way: how long an outage holds one up would say nothing about commands."""
        meters = [house.meter for house in self._cast.of_gateway(gateway)]
        await _until(lambda: not any(self._asking.get(meter) for meter in meters))

    # ---- the billing office ------------------------------------------------------------------------------------------

    def _ask_something(self, group: asyncio.TaskGroup) -> None:
        houses = [house for house in self._cast.houses.values() if self._scene.is_reachable(house)]
        if not houses:
            return
        house = self._rng.choice(houses)
        effect = Ping() if self._rng.randrange(PING_ONE_IN) == 0 else Read([VOLTAGE if house.is_dlms else VOLTAGE_L1])
        group.create_task(self._ask(house.meter, effect))

    async def _ask(self, meter: str, effect: Effect) -> Outcome:
        self._asking[meter] = self._asking.get(meter, 0) + 1
        outcome = await self._integrator.request(meter, effect, valid_ms=REQUEST_HOURS * HOUR_MS)
        self._asking[meter] -= 1
        executed = outcome.state is State.EXECUTED
        if executed and isinstance(effect, Reconnect):
            self._scene.on_reconnected()
        self._scene.on_outcome(
            meter,
            executed=executed,
            was_ping=isinstance(effect, Ping),
            says=f"{outcome.state} {outcome.detail}".rstrip(),
        )
        return outcome


async def _until(holds: Callable[[], bool]) -> None:
    """Look again and again whether something holds."""
    while not holds():  # noqa: ASYNC110 - what is looked at tells nobody when it changes
        await asyncio.sleep(TICK_S)
