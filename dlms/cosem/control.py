"""Objects that switch the supply: disconnect control, class 70, and limiter, class 71 (BB 4.5.8, 4.5.9)."""

from dataclasses import dataclass
from enum import IntEnum

from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.values import Value
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import (
    BOOLEAN,
    DATE_TIME,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LONG_UNSIGNED,
    NAME,
    NOTHING,
    VALUE,
    enumeration,
    record,
    sequence,
)
from dlms.cosem.schedules import SCRIPT_REFERENCE, ScriptReference


class ControlState(IntEnum):
    """State of a disconnect control."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2
    """A person has to press the button."""


class ControlMode(IntEnum):
    """Which ways of switching a disconnect control admits: remotely, by hand, locally by the meter itself."""

    NONE = 0
    """Always connected."""
    MODE_1 = 1
    """Disconnection remotely, by hand, locally; reconnection remotely to ready, then by hand."""
    MODE_2 = 2
    """As 1, and reconnection remotely at once."""
    MODE_3 = 3
    """Disconnection remotely and locally; reconnection remotely to ready, then by hand."""
    MODE_4 = 4
    """As 3, and reconnection remotely at once."""
    MODE_5 = 5
    """As 1, and a local reconnection makes it ready."""
    MODE_6 = 6
    """As 3, and a local reconnection makes it ready."""
    MODE_7 = 7
    """As 4, and reconnection locally at once."""


class DisconnectControl(CosemObject):
    """The relay of a meter, class 70."""

    CLASS_ID = 70
    __slots__ = ()

    output_state: Attribute[bool] = Attribute(2, BOOLEAN)
    """Whether the relay is physically closed."""
    control_state: Attribute[ControlState] = Attribute(3, enumeration(ControlState))
    control_mode: Attribute[ControlMode] = Attribute(4, enumeration(ControlMode))
    remote_disconnect: Method[int, None] = Method(1, INTEGER, NOTHING)
    remote_reconnect: Method[int, None] = Method(2, INTEGER, NOTHING)


@dataclass(frozen=True, slots=True)
class MonitoredValue:
    """What a limiter watches."""

    class_id: int
    name: bytes
    attribute: int


@dataclass(frozen=True, slots=True)
class EmergencyProfile:
    """A limit for an emergency."""

    profile_id: int
    activation_time: CosemDateTime
    duration_s: int


@dataclass(frozen=True, slots=True)
class LimiterActions:
    """What a limiter does."""

    over_threshold: ScriptReference
    under_threshold: ScriptReference


class Limiter(CosemObject):
    """A load limit and what happens when it is crossed, class 71.

    Thresholds are of the type of the monitored value; write them as `Data` where the meter insists on it.
    """

    CLASS_ID = 71
    __slots__ = ()

    monitored_value: Attribute[MonitoredValue] = Attribute(2, record(MonitoredValue, LONG_UNSIGNED, NAME, INTEGER))
    threshold_active: Attribute[Value] = Attribute(3, VALUE)
    threshold_normal: Attribute[Value] = Attribute(4, VALUE)
    threshold_emergency: Attribute[Value] = Attribute(5, VALUE)
    min_over_threshold_duration: Attribute[int] = Attribute(6, DOUBLE_LONG_UNSIGNED)
    """Seconds."""
    min_under_threshold_duration: Attribute[int] = Attribute(7, DOUBLE_LONG_UNSIGNED)
    """Seconds."""
    emergency_profile: Attribute[EmergencyProfile] = Attribute(
        8, record(EmergencyProfile, LONG_UNSIGNED, DATE_TIME, DOUBLE_LONG_UNSIGNED)
    )
    emergency_profile_group_id_list: Attribute[tuple[int, ...]] = Attribute(9, sequence(LONG_UNSIGNED))
    emergency_profile_active: Attribute[bool] = Attribute(10, BOOLEAN)
    actions: Attribute[LimiterActions] = Attribute(11, record(LimiterActions, SCRIPT_REFERENCE, SCRIPT_REFERENCE))
