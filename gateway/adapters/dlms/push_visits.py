"""What a visit does for pushes: it asks what they consist of, and reads the status word, in case one was lost.

A push says what its values are only by their order, which stands in the meter's push setup. It is asked for once a day
and kept; without it only what speaks for itself is understood.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dlms.apdu.results import DataAccessResult
from dlms.axdr.tags import BitString
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.push_setup import PushObject, PushSetup
from dlms.cosem.registers import DataObject
from dlms.cosem.units import ScalerUnit
from dlms.errors import AccessRefusedError, DecodeError, RefusedError
from gateway.adapters.dlms.columns import Column
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning, scaler_of
from gateway.adapters.dlms.push_meters import PushBook, PushLists, name_bytes
from gateway.core.acquisition import StatusSeen
from wire.runtime.clock import Clock

ASKED_EVERY_S: Final = 86_400
OBJECTS_MAX: Final = 64
"""Of one push setup; a longer list is not used."""


class PushVisits:
    """Adds to visits of meters whose pushes are taken.

    Args:
        book: Where it goes.
        learning: For scalers.
        clock: Stamps.
    """

    def __init__(self, book: PushBook, learning: Learning, clock: Clock) -> None:
        self._book = book
        self._learning = learning
        self._clock = clock
        self._without_word: set[str] = set()

    async def add(self, talk: Conversation) -> StatusSeen | None:
        """Ask what is due at a meter, and return its status word if it has one.

        Raises:
            LineDownError: The line broke.
            DlmsError: The meter broke off.
        """
        if talk.meter.id not in self._book.meters:
            return None
        try:
            await self._ask_lists(talk)
            return await self._read_word(talk)
        except (RefusedError, DecodeError):
            if not talk.is_open:
                raise
            return None

    async def _read_word(self, talk: Conversation) -> StatusSeen | None:
        meter, table = talk.meter, talk.meter.profile.status_word
        if table is None or meter.id in self._without_word:
            return None
        try:
            word = await talk.get(DataObject(table.name).value)
        except AccessRefusedError as refusal:
            if refusal.result != DataAccessResult.TEMPORARY_FAILURE:
                self._without_word.add(meter.id)
            return None
        tick_ms = self._clock.tick_ms()
        if isinstance(word, bytes):
            word = BitString(word, 8 * len(word))
        if not isinstance(word, BitString) or not word:
            return None
        return StatusSeen(meter_id=meter.id, tick_ms=tick_ms, word=word, at_s=None)

    async def _ask_lists(self, talk: Conversation) -> None:
        meter, objects = talk.meter, talk.meter.profile.objects
        now_s, known = self._clock.wall_ms() // 1_000, await self._book.of(meter.id)
        learned = await self._learning.of(meter)
        instrument = f"{learned.serial} {learned.firmware}"
        if not objects.push or (0 <= now_s - known.asked_s < ASKED_EVERY_S and known.instrument == instrument):
            return
        titles = [DataObject(name).value for name in (objects.device_id, objects.logical_device) if name is not None]
        setups = [PushSetup(name).push_object_list for name in objects.push]
        found = await talk.get_many([*titles, *setups])
        names = [name for each in found[: len(titles)] if (name := name_bytes(each)) is not None]
        lists = {}
        for setup, pushed in zip(objects.push, found[len(titles) :], strict=True):
            if not isinstance(pushed, AccessRefusedError) and 0 < len(pushed) <= OBJECTS_MAX:
                scalers = await self._learning.scalers(talk, [_attribute(each) for each in pushed])
                lists[setup] = columns_of(pushed, scalers)
        await self._book.keep(meter.id, PushLists(asked_s=now_s, instrument=instrument, names=names, setups=lists))


def columns_of(pushed: Sequence[PushObject], scalers: Sequence[ScalerUnit | None]) -> list[Column]:
    """Return what a push setup sends as columns; a register whose scaler is not known has unit 0, which is none."""
    columns = []
    for each, known in zip(pushed, scalers, strict=True):
        column = Column(each.class_id, each.name, each.attribute, each.data_index)
        if known is not None:
            column = msgspec.structs.replace(column, scaler=known.scaler, unit=known.unit)
        elif scaler_of(_attribute(each)) is not None:
            column = msgspec.structs.replace(column, unit=0)
        columns.append(column)
    return columns


def _attribute(pushed: PushObject) -> AttributeRef[Any]:
    return AttributeRef(pushed.class_id, pushed.name, pushed.attribute, VALUE)
