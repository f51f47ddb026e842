"""All interface classes by their numbers, for those who meet an object in a list and want its names."""

from typing import Final

from dlms.cosem.association_ln import AssociationLn
from dlms.cosem.attribute import CosemObject
from dlms.cosem.clock import Clock
from dlms.cosem.control import DisconnectControl, Limiter
from dlms.cosem.image_transfer import ImageTransfer
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.push_setup import PushSetup
from dlms.cosem.registers import DataObject, DemandRegister, ExtendedRegister, Register
from dlms.cosem.schedules import ActivityCalendar, ScriptTable, SingleActionSchedule
from dlms.cosem.security_setup import SecuritySetup

CLASSES: Final[dict[int, type[CosemObject]]] = {
    kind.CLASS_ID: kind
    for kind in (
        DataObject,
        Register,
        ExtendedRegister,
        DemandRegister,
        ProfileGeneric,
        Clock,
        ScriptTable,
        AssociationLn,
        ImageTransfer,
        ActivityCalendar,
        SingleActionSchedule,
        PushSetup,
        SecuritySetup,
        DisconnectControl,
        Limiter,
    )
}
