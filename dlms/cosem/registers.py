"""Objects that hold one value: data, register, extended register and demand register (BB 4.3.1 to 4.3.4)."""

from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.values import Value
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import DATE_TIME, DOUBLE_LONG_UNSIGNED, INTEGER, LONG_UNSIGNED, NOTHING, VALUE
from dlms.cosem.units import SCALER_UNIT, ScalerUnit


class DataObject(CosemObject):
    """Any value, class 1; the Blue Book calls it Data."""

    CLASS_ID = 1
    __slots__ = ()

    value: Attribute[Value] = Attribute(2, VALUE)


class Register(CosemObject):
    """A value with scaler and unit, class 3."""

    CLASS_ID = 3
    __slots__ = ()

    value: Attribute[Value] = Attribute(2, VALUE)
    scaler_unit: Attribute[ScalerUnit] = Attribute(3, SCALER_UNIT)
    reset: Method[int, None] = Method(1, INTEGER, NOTHING)


class ExtendedRegister(CosemObject):
    """A register that knows when its value was captured, class 4."""

    CLASS_ID = 4
    __slots__ = ()

    value: Attribute[Value] = Attribute(2, VALUE)
    scaler_unit: Attribute[ScalerUnit] = Attribute(3, SCALER_UNIT)
    status: Attribute[Value] = Attribute(4, VALUE)
    capture_time: Attribute[CosemDateTime] = Attribute(5, DATE_TIME)
    reset: Method[int, None] = Method(1, INTEGER, NOTHING)


class DemandRegister(CosemObject):
    """A value averaged over periods, class 5."""

    CLASS_ID = 5
    __slots__ = ()

    current_average_value: Attribute[Value] = Attribute(2, VALUE)
    last_average_value: Attribute[Value] = Attribute(3, VALUE)
    scaler_unit: Attribute[ScalerUnit] = Attribute(4, SCALER_UNIT)
    status: Attribute[Value] = Attribute(5, VALUE)
    capture_time: Attribute[CosemDateTime] = Attribute(6, DATE_TIME)
    start_time_current: Attribute[CosemDateTime] = Attribute(7, DATE_TIME)
    period: Attribute[int] = Attribute(8, DOUBLE_LONG_UNSIGNED)
    """Seconds."""
    number_of_periods: Attribute[int] = Attribute(9, LONG_UNSIGNED)
    reset: Method[int, None] = Method(1, INTEGER, NOTHING)
    next_period: Method[int, None] = Method(2, INTEGER, NOTHING)
