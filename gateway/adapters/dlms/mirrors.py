"""What a meter shows of its prepaid account: payment mode, balance, last recharge."""

from dlms.apdu.results import DataAccessResult
from dlms.axdr.data import Data
from dlms.axdr.tags import Tag
from dlms.cosem.registers import DataObject
from dlms.errors import AccessRefusedError
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning
from gateway.adapters.dlms.times import MeterTime
from gateway.adapters.dlms.writing import as_number, write_all
from gateway.core.acquisition import Mirror
from gateway.core.dlms_profiles import Mirrors


async def write_mirror(talk: Conversation, learning: Learning, mirror: Mirror) -> None:
    """Write what an account stands at.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses, or broke off.
    """
    objects = talk.meter.profile.mirrors
    if objects is None:
        raise AccessRefusedError("the make shows no account", result=DataAccessResult.OBJECT_UNDEFINED)
    await write_payment_mode(talk, learning, is_prepaid=mirror.is_prepaid)
    time = await learning.time(talk)
    amounts = {objects.balance: mirror.balance_minor, objects.total: mirror.total_minor}
    instants = {objects.balance_time: mirror.balance_at_s}
    if mirror.recharge_minor is not None:
        amounts[objects.recharge] = mirror.recharge_minor
        instants[objects.recharge_time] = mirror.recharge_at_s
    names = [DataObject(name).value for name in (*amounts, *instants)]
    tags = await learning.types(talk, names)
    values = [*(_shown(amount, objects) for amount in amounts.values()), *instants.values()]
    written: list[Data] = []
    for index, (value, tag) in enumerate(zip(values, tags, strict=True)):
        written.append(_instant(value, tag, time) if index >= len(amounts) else as_number(value, tag))
    await write_all(talk, list(zip(names, written, strict=True)))


def _shown(amount_minor: int, objects: Mirrors) -> int:
    """Return an amount in the meter's own unit, rounded towards minus infinity: never more than there is."""
    power: int = 10 ** abs(objects.amount_scaler)
    return amount_minor * power if objects.amount_scaler < 0 else amount_minor // power


def _instant(instant_s: int, tag: Tag | None, time: MeterTime) -> Data:
    moment = time.moment(instant_s * 1_000).encoded
    return Data(tag if tag is Tag.DATE_TIME else Tag.OCTET_STRING, moment)


async def write_payment_mode(talk: Conversation, learning: Learning, *, is_prepaid: bool) -> None:
    """Call a meter prepaid or not; one that is called so already logs nothing."""
    name = talk.meter.profile.objects.payment_mode
    if name is None:
        return
    mode = DataObject(name).value
    if await talk.get(mode) == int(is_prepaid):
        return
    (tag,) = await learning.types(talk, [mode])
    await talk.set(mode, as_number(int(is_prepaid), tag or Tag.UNSIGNED))
