"""The DLMS driver: one line and the meters on it, behind the port that the bus worker knows.

It joins line, conversations and what is asked of meters, and turns every error of the stack into one of the port. It
repeats nothing beyond what the data link does; when to try again is the schedule's business.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.units import ScalerUnit
from dlms.errors import AccessRefusedError, DlmsError
from dlms.link.client import HdlcClient, HdlcSettings
from dlms.link.events import ClientLink
from dlms.link.parameters import DEFAULTS, LinkParameters
from dlms.link.wrapper import WrapperClient, WrapperSettings
from gateway.adapters.dlms.access import DlmsMeter, Role
from gateway.adapters.dlms.carriers import Carrier
from gateway.adapters.dlms.clocks import ClockSight, compare_clock, set_clock
from gateway.adapters.dlms.controls import (
    Periods,
    RelaySight,
    configure,
    read_limit,
    read_periods,
    read_relay,
    switch_relay,
    write_limit,
)
from gateway.adapters.dlms.conversation import Conversation, Conversations
from gateway.adapters.dlms.counters import CounterBook
from gateway.adapters.dlms.errors import bus_errors, to_bus_error
from gateway.adapters.dlms.images import BLOCKS_MAX, Image, ImageProgress, Images
from gateway.adapters.dlms.learning import Learning
from gateway.adapters.dlms.line import BITS_PER_BYTE, DlmsLine, Unsolicited
from gateway.adapters.dlms.push_meters import PushBook
from gateway.adapters.dlms.push_visits import PushVisits
from gateway.adapters.dlms.values import look, samples
from gateway.adapters.dlms.visits import Visits
from gateway.core.acquisition import ReadMeter, Sample, Task, VisitEvent
from gateway.ports import LineUsage, MeterRefusedError, Shelf
from wire.runtime.clock import Clock

ANSWER_FACTOR = 10
"""An HDLC station that says it is there may take so many times longer for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """How a line is spoken on."""

    is_hdlc: bool
    """Frames with numbers; else the wrapper."""
    is_datagrams: bool = False
    """The wrapper over UDP."""
    answer_ms_max: int = 1_000
    """How long a meter may take to answer."""
    retries_max: int = 2
    """How often a frame is sent again (HDLC)."""
    frame_bytes_max: int = 1_024
    """Information of a frame that is asked for (HDLC)."""
    window: int = 1
    """Frames in a row that are asked for (HDLC)."""
    baud: int = 0
    """Of a serial line."""
    relay_settle_ms: int = 5_000
    """How long a meter's relay may take to move."""


@dataclass(frozen=True, slots=True)
class Found:
    """One attribute that was asked for."""

    attribute: AttributeRef[Value]
    value: Value = None
    scaler_unit: ScalerUnit | None = None
    refusal: str = ""
    """Why there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPorts:
    """What a driver needs of the world besides its line."""

    clock: Clock
    shelf: Shelf
    counters: CounterBook
    fresh_bytes: Callable[[int], bytes] = field(repr=False)
    on_unsolicited: Unsolicited | None = None
    pushes: PushBook | None = None
    """What is known of pushes; None where none are taken."""


class DlmsDriver:
    """A `gateway.ports.VisitDriver`; a meter's relay has the meter's id."""

    def __init__(
        self, carrier: Carrier, settings: LineSettings, *, meters: Mapping[str, DlmsMeter], ports: DriverPorts
    ) -> None:
        self._meters = meters
        self._clock = ports.clock
        self._settings = settings
        self._line = DlmsLine(
            carrier,
            keeps_open=settings.is_hdlc,
            settle_ms=settings.answer_ms_max,
            baud=settings.baud,
            on_unsolicited=ports.on_unsolicited,
        )
        self._learning = Learning(ports.shelf)
        self._images = Images(ports.shelf)
        self._talks = Conversations(
            self._line,
            make_link=self._make_link,
            counters=ports.counters,
            fresh_bytes=ports.fresh_bytes,
            releases=not settings.is_hdlc,
            wall_s=lambda: ports.clock.wall_ms() // 1_000,
        )
        pushes = PushVisits(ports.pushes, self._learning, ports.clock) if ports.pushes is not None else None
        self._visits = Visits(self._talks, self._learning, ports.clock, pushes)

    def _make_link(self, meter: DlmsMeter, client: int) -> ClientLink:
        settings = self._settings
        if not settings.is_hdlc:
            wrapper = WrapperSettings(is_datagrams=settings.is_datagrams, answer_timeout_ms=settings.answer_ms_max)
            return WrapperClient(client, meter.logical, wrapper)
        frame_bytes = settings.frame_bytes_max
        if settings.baud:
            # A frame must not take longer than a meter is waited for.
            bearable = settings.baud * settings.answer_ms_max // (1_000 * BITS_PER_BYTE)
            frame_bytes = min(frame_bytes, max(bearable, DEFAULTS.receive_bytes_max))
        proposal = LinkParameters(
            transmit_bytes_max=frame_bytes,
            receive_bytes_max=frame_bytes,
            transmit_window=settings.window,
            receive_window=settings.window,
        )
        hdlc = HdlcSettings(
            proposal=proposal,
            response_timeout_ms=settings.answer_ms_max,
            retries_max=settings.retries_max,
            answer_timeout_ms=settings.answer_ms_max * ANSWER_FACTOR,
        )
        return HdlcClient(client, meter.station, hdlc)

    # ---- the port ----------------------------------------------------------------------------------------------------

    @property
    def usage(self) -> LineUsage:
        return self._line.usage

    def parts(self, read: ReadMeter) -> tuple[tuple[int, ...], ...]:
        channels = read.channels or tuple(range(len(self._meters[read.meter_id].profile.channels)))
        return (channels,)

    async def read(self, read: ReadMeter, part: int) -> tuple[Sample, ...]:
        meter = self._meters[read.meter_id]
        indexes = sorted(self.parts(read)[part])
        with bus_errors(meter.id):
            async with await self._talks.begin(meter, Role.READING) as talk:
                seen = await look(talk, [meter.profile.channels[index] for index in indexes])
                await self._learning.identify(meter, seen.serial, seen.firmware)
                return await samples(talk, self._learning, indexes, seen.values)

    async def visit(self, meter_id: str, tasks: tuple[Task, ...]) -> AsyncGenerator[VisitEvent, None]:
        events = self._visits.visit(self._meters[meter_id], tasks)
        try:
            async for event in events:
                yield event
        except DlmsError as error:
            raise to_bus_error(error, meter_id) from error
        finally:
            await events.aclose()

    async def switch(self, relay_id: str, *, closed: bool) -> bool:
        return (await self.switch_relay(relay_id, closed=closed)).is_closed

    async def relay_state(self, relay_id: str) -> bool:
        return (await self.read_relay(relay_id)).is_closed

    def reset(self) -> None:
        self._line.reset()

    # ---- more than the port has --------------------------------------------------------------------------------------

    async def switch_relay(self, meter_id: str, *, closed: bool) -> RelaySight:
        """Bring a meter's relay into a state and return what reading it back shows.

        Raises:
            BusError: See its subclasses; after `MeterUnavailableError` the state is unknown.
        """
        with bus_errors(meter_id):
            async with await self._begin(meter_id, Role.CONTROL) as talk:
                return await switch_relay(talk, closed=closed, settle_ms=self._settings.relay_settle_ms)

    async def read_relay(self, meter_id: str) -> RelaySight:
        """Return what a meter says of its relay.

        Raises:
            BusError: See its subclasses.
        """
        with bus_errors(meter_id):
            async with await self._begin(meter_id, Role.READING) as talk:
                return await read_relay(talk)

    async def limit(self, meter_id: str, power_w: int | None = None) -> int:
        """Set a power limit if one is given, and return the one that holds, in W.

        Raises:
            BusError: See its subclasses.
        """
        role = Role.READING if power_w is None else Role.CONTROL
        with bus_errors(meter_id):
            async with await self._begin(meter_id, role) as talk:
                if power_w is None:
                    return await read_limit(talk, self._learning)
                return await write_limit(talk, self._learning, power_w)

    async def configure(self, meter_id: str, wanted: Periods) -> Periods:
        """Write what is given, and return how the meter is set up then.

        Raises:
            BusError: See its subclasses.
        """
        role = Role.READING if wanted == Periods() else Role.CONTROL
        with bus_errors(meter_id):
            async with await self._begin(meter_id, role) as talk:
                return await (read_periods(talk) if wanted == Periods() else configure(talk, self._learning, wanted))

    async def compare_clock(
        self, meter_id: str, *, utc_less_tick_ms: int, sets: bool = False
    ) -> tuple[ClockSight, ...]:
        """Read a meter's clock; set it if told to, and read it again.

        Raises:
            BusError: See its subclasses.
        """
        with bus_errors(meter_id):
            async with await self._begin(meter_id, Role.CONTROL if sets else Role.READING) as talk:
                sight = await compare_clock(talk, self._learning, self._clock, utc_less_tick_ms)
                if not sets:
                    return (sight,)
                after = await set_clock(talk, self._learning, self._clock, utc_less_tick_ms, trip_ms=sight.trip_ms)
                return (sight, after)

    async def push_image(
        self, meter_id: str, image: Image, *, activates: bool, blocks_max: int = BLOCKS_MAX
    ) -> ImageProgress:
        """Bring a firmware image one piece further; call it until its stage says that it is where it should be.

        Raises:
            BusError: See its subclasses; after any of them the next call goes on where this one broke off.
        """
        with bus_errors(meter_id):
            async with await self._begin(meter_id, Role.FIRMWARE) as talk:
                return await self._images.push(talk, image, activates=activates, blocks_max=blocks_max)

    async def attributes(self, meter_id: str, wanted: Sequence[AttributeRef[Any]]) -> tuple[Found, ...]:
        """Return any attributes, with scaler and unit where they have one.

        Raises:
            BusError: See its subclasses.
        """
        with bus_errors(meter_id):
            async with await self._begin(meter_id, Role.READING) as talk:
                values = await talk.get_many(wanted)
                scalers = await self._learning.scalers(talk, wanted)
        return tuple(
            Found(attribute, refusal=str(value))
            if isinstance(value, AccessRefusedError)
            else Found(attribute, value, scaler_unit)
            for attribute, value, scaler_unit in zip(wanted, values, scalers, strict=True)
        )

    async def _begin(self, meter_id: str, role: Role) -> Conversation:
        meter = self._meters[meter_id]
        if role not in meter.roles:
            problem = f"meter {meter_id}: no {role} role is configured; give dlms.{role} with its files"
            raise MeterRefusedError(problem, code=0)
        return await self._talks.begin(meter, role)
