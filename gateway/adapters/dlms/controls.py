"""What a meter is told to do: its relay, its power limit, its periods. Nothing counts before it was read back.

Decides when the meter's word proves what was asked for: for the relay only if `output_state`, the contacts, and
`control_state`, the decision, agree.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from dlms.apdu.results import DataAccessResult
from dlms.axdr.tags import Tag
from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.control import ControlState, DisconnectControl, Limiter
from dlms.cosem.registers import DataObject
from dlms.errors import AccessRefusedError, DecodeError
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning
from gateway.adapters.dlms.mirrors import write_payment_mode
from gateway.adapters.dlms.writing import write_numbers
from gateway.ports import DisagreedError

LOOK_AGAIN_S = 0.5
"""How often a relay is looked at until it has moved."""
WATT = 27
_NOT_FOR_US = frozenset({DataAccessResult.READ_WRITE_DENIED, DataAccessResult.OTHER_REASON})


@dataclass(frozen=True, slots=True)
class RelaySight:
    """What a meter says of its relay."""

    is_closed: bool
    """Its contacts."""
    state: ControlState

    @property
    def agrees(self) -> bool:
        """Say whether contacts and decision say the same."""
        return self.is_closed is (self.state is ControlState.CONNECTED)


def _missing(what: str) -> AccessRefusedError:
    return AccessRefusedError(f"the make has no {what}", result=DataAccessResult.OBJECT_UNDEFINED)


def _relay(talk: Conversation) -> DisconnectControl:
    name = talk.meter.profile.objects.relay
    if name is None:
        raise _missing("relay")
    return DisconnectControl(name)


async def read_relay(talk: Conversation) -> RelaySight:
    """Return what a meter says of its relay.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses or broke off.
    """
    relay = _relay(talk)
    is_closed, state = await talk.get_many([relay.output_state, relay.control_state])
    for found in (is_closed, state):
        if isinstance(found, AccessRefusedError):
            raise found
    return RelaySight(is_closed, state)


async def switch_relay(talk: Conversation, *, closed: bool, settle_ms: int) -> RelaySight:
    """Bring a relay into a state, unless it is in it, and return what reading it back shows.

    A relay that may only be made ready, for somebody to press its button, is open and stays so.

    Args:
        talk: With the meter, in a role that may.
        closed: The state.
        settle_ms: How long the relay may take to move.

    Raises:
        DisagreedError: What the meter decided and what its contacts show differ.
        LineDownError: The line broke.
        DlmsError: The meter refuses or broke off; then the state is not known.
    """
    relay = _relay(talk)
    wanted = ControlState.CONNECTED if closed else ControlState.DISCONNECTED
    sight = await read_relay(talk)
    if sight.agrees and sight.state is wanted:
        return sight
    await talk.invoke(relay.remote_reconnect if closed else relay.remote_disconnect, 0)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + settle_ms / 1_000
    sight = await read_relay(talk)
    while not _is_over(sight, wanted) and loop.time() < until_s:
        await asyncio.sleep(LOOK_AGAIN_S)
        sight = await read_relay(talk)
    if not _is_over(sight, wanted):
        contacts = "closed" if sight.is_closed else "open"
        problem = f"its contacts are {contacts}, its state is {sight.state.name.lower()}"
        raise DisagreedError(f"meter {talk.meter.id} was told to {'close' if closed else 'open'} its relay: {problem}")
    return sight


def _is_over(sight: RelaySight, wanted: ControlState) -> bool:
    is_waiting_for_button = wanted is ControlState.CONNECTED and sight.state is ControlState.READY_FOR_RECONNECTION
    return sight.agrees and (sight.state is wanted or is_waiting_for_button)


async def read_limit(talk: Conversation, learning: Learning) -> int:
    """Return the power limit that holds now, in W."""
    limiter = _limiter(talk)
    exponent = await _limit_exponent(talk, learning, limiter)
    shown: Value = await talk.get(limiter.threshold_active)
    return _watts(shown, exponent)


async def write_limit(talk: Conversation, learning: Learning, power_w: int) -> int:
    """Set the power limit, and return what reading it back shows, in W.

    Makes differ in which threshold they let be written: the normal one of the standard, or the active one.

    Raises:
        DisagreedError: The limit that holds then is another.
        LineDownError: The line broke.
        DlmsError: The meter refuses or broke off.
    """
    limiter = _limiter(talk)
    exponent = await _limit_exponent(talk, learning, limiter)
    number = power_w // 10**exponent if exponent >= 0 else power_w * 10**-exponent
    try:
        await write_numbers(talk, learning, [(limiter.threshold_normal, number, Tag.DOUBLE_LONG_UNSIGNED)])
    except AccessRefusedError as refusal:
        if refusal.result not in _NOT_FOR_US:
            raise
        await write_numbers(talk, learning, [(limiter.threshold_active, number, Tag.DOUBLE_LONG_UNSIGNED)])
    shown: Value = await talk.get(limiter.threshold_active)
    shown_w = _watts(shown, exponent)
    asked_w = _watts(number, exponent)
    if shown_w != asked_w:
        raise DisagreedError(f"meter {talk.meter.id} was told a limit of {asked_w} W and keeps to {shown_w} W")
    return shown_w


def _limiter(talk: Conversation) -> Limiter:
    name = talk.meter.profile.objects.limiter
    if name is None:
        raise _missing("limiter")
    return Limiter(name)


def _watts(value: Value, exponent: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DecodeError("a power limit is no number")
    return round(value * 10.0**exponent) if exponent < 0 else round(value * 10**exponent)


async def _limit_exponent(talk: Conversation, learning: Learning, limiter: Limiter) -> int:
    """Return the power of ten of the limiter's numbers in W: that of the register it watches."""
    try:
        watched = await talk.get(limiter.monitored_value)
    except AccessRefusedError:
        return 0
    register: AttributeRef[Any] = AttributeRef(watched.class_id, watched.name, watched.attribute, VALUE)
    (scaler_unit,) = await learning.scalers(talk, [register])
    if scaler_unit is None:
        return 0
    if scaler_unit.unit != WATT:
        raise DecodeError(f"the limiter watches {register} in unit {scaler_unit.unit}, which is no power")
    return scaler_unit.scaler


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """What can be set up at a meter; None is left as it is, or was not asked."""

    capture_period_s: int | None = None
    demand_period_s: int | None = None
    is_prepaid: bool | None = None


async def configure(talk: Conversation, learning: Learning, wanted: Periods) -> Periods:
    """Write what is given and return what reading all of it back shows.

    Raises:
        DisagreedError: The meter shows something else afterwards.
        LineDownError: The line broke.
        DlmsError: The meter refuses or broke off.
    """
    objects = talk.meter.profile.objects
    periods = {"capture period": objects.capture_period, "demand period": objects.demand_period}
    asked = {"capture period": wanted.capture_period_s, "demand period": wanted.demand_period_s}
    for what, seconds in asked.items():
        name = periods[what]
        if seconds is None:
            continue
        if name is None:
            raise _missing(what)
        await write_numbers(talk, learning, [(DataObject(name).value, seconds, Tag.LONG_UNSIGNED)])
    if wanted.is_prepaid is not None:
        if objects.payment_mode is None:
            raise _missing("payment mode")
        await write_payment_mode(talk, learning, is_prepaid=wanted.is_prepaid)
    shown = await read_periods(talk)
    for what, given, found in (
        ("capture period", wanted.capture_period_s, shown.capture_period_s),
        ("demand period", wanted.demand_period_s, shown.demand_period_s),
        ("payment mode", wanted.is_prepaid, shown.is_prepaid),
    ):
        if given is not None and given != found:
            raise DisagreedError(f"meter {talk.meter.id} was told a {what} of {given} and shows {found}")
    return shown


async def read_periods(talk: Conversation) -> Periods:
    """Return how a meter is set up, as far as it says."""
    objects = talk.meter.profile.objects
    names = (objects.capture_period, objects.demand_period, objects.payment_mode)
    asked = [DataObject(name).value for name in names if name is not None]
    values = iter(await talk.get_many(asked))
    capture, demand, mode = (next(values) if name is not None else None for name in names)
    return Periods(
        capture_period_s=_count(capture),
        demand_period_s=_count(demand),
        is_prepaid=bool(mode) if isinstance(mode, int) else None,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
