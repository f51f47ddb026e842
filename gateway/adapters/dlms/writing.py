"""Numbers and times written to a meter in the types it has them in; makes differ, and refuse what does not match."""

from collections.abc import Sequence
from typing import Any

from dlms.apdu.results import DataAccessResult
from dlms.axdr.data import Data, encode
from dlms.axdr.tags import INTEGERS, Tag
from dlms.cosem.attribute import AttributeRef
from dlms.errors import AccessRefusedError, RefusedError
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import Learning

_NUMBERS = frozenset((*INTEGERS, Tag.BOOLEAN, Tag.FLOAT32, Tag.FLOAT64))
_FLOATS = frozenset((Tag.FLOAT32, Tag.FLOAT64))


async def write_numbers(
    talk: Conversation, learning: Learning, wanted: Sequence[tuple[AttributeRef[Any], int, Tag]]
) -> None:
    """Write numbers; each with the type for a meter that does not show its own.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses one, or broke off.
    """
    known = await learning.types(talk, [attribute for attribute, _, _ in wanted])
    await write_all(
        talk,
        [
            (attribute, as_number(number, tag if tag in _NUMBERS else default))
            for (attribute, number, default), tag in zip(wanted, known, strict=True)
        ],
    )


def as_number(number: int, tag: Tag | None) -> Data:
    """Return a number in a type.

    Raises:
        AccessRefusedError: It does not fit, so that the meter could only refuse it.
    """
    kind = tag if tag in _NUMBERS else Tag.DOUBLE_LONG
    assert kind is not None, "None is no number"
    value = Data(kind, bool(number) if kind is Tag.BOOLEAN else float(number) if kind in _FLOATS else number)
    try:
        encode(value)
    except (ValueError, OverflowError) as error:
        problem = f"{number} does not fit the type {kind.name} that the meter has there"
        raise AccessRefusedError(problem, result=DataAccessResult.TYPE_UNMATCHED) from error
    return value


async def write_all(talk: Conversation, values: Sequence[tuple[AttributeRef[Any], Data]]) -> None:
    """Write several attributes, together where the meter admits it.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses one, or broke off.
    """
    try:
        refusals = await talk.set_many(values)
    except AccessRefusedError:
        raise
    except RefusedError:
        if len(values) == 1 or not talk.is_open:
            raise
        # It grants lists and does not take this one.
        for attribute, value in values:
            await talk.set(attribute, value)
        return
    for refusal in refusals:
        if refusal is not None:
            raise refusal
