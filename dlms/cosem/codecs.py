"""What attributes are made of: codecs between A-XDR and typed values, and how to combine them into records.

A codec is tolerant in what it reads (any integer type for a number) and exact in what it writes (the type the Blue Book
gives the attribute). What does not fit raises DecodeError when read, ValueError when written.
"""

from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from dlms.axdr.data import NULL_DATA, Data, Tag, array, encode, enum, of_value, structure
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.axdr.tags import BitString
from dlms.axdr.values import Value, decode_value
from dlms.errors import DecodeError
from dlms.obis import OBIS_BYTES

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)


class Codec(Generic[T]):
    """Both ways between the A-XDR of an attribute and its value."""

    __slots__ = ("of", "to")

    def __init__(self, of: Callable[[Value], T], to: Callable[[T], Data]) -> None:
        """Take the way from a plain value, raising DecodeError, and the way to typed data, raising ValueError."""
        self.of = of
        self.to = to

    def decode(self, data: bytes) -> T:
        """Return the value of A-XDR bytes.

        Raises:
            DecodeError: They hold none.
        """
        return self.of(decode_value(data))

    def encode(self, value: T) -> bytes:
        """Return the A-XDR bytes of a value.

        Raises:
            ValueError: It does not fit.
        """
        return encode(self.to(value))


def _is(kind: type[T], noun: str) -> Callable[[Value], T]:
    def check(value: Value) -> T:
        if isinstance(value, kind):
            return value
        raise DecodeError(f"{noun} was expected, not {type(value).__name__}")

    return check


def _number(value: Value) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DecodeError(f"a whole number was expected, not {type(value).__name__}")


def _any_number(value: Value) -> int:
    if isinstance(value, int):
        return int(value)
    raise DecodeError(f"a number or boolean was expected, not {type(value).__name__}")


def _truth(value: Value) -> bool:
    """Return a boolean; meters send unsigned or enum for it, too."""
    if isinstance(value, int):
        return bool(value)
    raise DecodeError(f"a boolean was expected, not {type(value).__name__}")


def _text(value: Value) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return _is(str, "a string")(value)


def _name(value: Value) -> bytes:
    if isinstance(value, bytes) and len(value) == OBIS_BYTES:
        return value
    raise DecodeError("a logical name was expected")


def _ignored(_: Value) -> None:
    """Return nothing: methods without a result answer with anything."""


def _typed(tag: Tag) -> Callable[[Any], Data]:
    return lambda value: Data(tag, value)


def number(tag: Tag) -> Codec[int]:
    """Return the codec of a whole number that is written in this type."""
    return Codec(_number, _typed(tag))


VALUE: Final[Codec[Value]] = Codec(lambda value: value, of_value)
"""Whatever it is, in plain Python; written in the type that `dlms.axdr.data.of_value` chooses."""
ANY: Final[Codec[Value | Data]] = Codec(
    lambda value: value, lambda value: value if isinstance(value, Data) else of_value(value)
)
"""As `VALUE`, inside of a record, where `Data` is written as it is."""
NOTHING: Final[Codec[None]] = Codec(_ignored, lambda _: NULL_DATA)
BOOLEAN: Final = Codec(_truth, _typed(Tag.BOOLEAN))
INTEGER: Final = number(Tag.INTEGER)
LONG: Final = number(Tag.LONG)
DOUBLE_LONG: Final = number(Tag.DOUBLE_LONG)
UNSIGNED: Final = number(Tag.UNSIGNED)
LONG_UNSIGNED: Final = number(Tag.LONG_UNSIGNED)
DOUBLE_LONG_UNSIGNED: Final = number(Tag.DOUBLE_LONG_UNSIGNED)
LONG64_UNSIGNED: Final = number(Tag.LONG64_UNSIGNED)
ENUM: Final = number(Tag.ENUM)
TRUTH_OR_ENUM: Final[Codec[int]] = Codec(_any_number, _typed(Tag.ENUM))
"""A number for which older versions of a class have a boolean."""
OCTETS: Final = Codec(_is(bytes, "an octet-string"), _typed(Tag.OCTET_STRING))
TEXT: Final = Codec(_text, _typed(Tag.VISIBLE_STRING))
OCTET_TEXT: Final[Codec[str]] = Codec(_text, lambda text: Data(Tag.OCTET_STRING, text.encode("latin-1")))
"""Text that the Blue Book keeps in octet-strings, such as the name of a season."""
BITS: Final = Codec(_is(BitString, "a bit-string"), _typed(Tag.BIT_STRING))
NAME: Final = Codec(_name, _typed(Tag.OCTET_STRING))
"""Logical name."""


def _moment(value: Value) -> CosemDateTime:
    return CosemDateTime(_is(bytes, "a date-time")(value))


def _date(value: Value) -> CosemDate:
    return CosemDate(_is(bytes, "a date")(value))


def _time(value: Value) -> CosemTime:
    return CosemTime(_is(bytes, "a time")(value))


DATE_TIME: Final[Codec[CosemDateTime]] = Codec(_moment, lambda moment: Data(Tag.OCTET_STRING, moment.encoded))
"""Read from octet-string or date-time, written as octet-string."""
DATE: Final[Codec[CosemDate]] = Codec(_date, lambda date: Data(Tag.OCTET_STRING, date.encoded))
TIME: Final[Codec[CosemTime]] = Codec(_time, lambda time: Data(Tag.OCTET_STRING, time.encoded))


def enumeration(kind: type[E]) -> Codec[E]:
    """Return the codec of an enum; a number that is none of the members does not hold."""

    def of(value: Value) -> E:
        number_read = _number(value)
        try:
            return kind(number_read)
        except ValueError:
            raise DecodeError(f"{number_read} is no {kind.__name__}") from None

    return Codec(of, enum)


def optional(codec: Codec[T]) -> Codec[T | None]:
    """Return a codec for which null-data is None."""
    return Codec(
        lambda value: None if value is None else codec.of(value),
        lambda value: NULL_DATA if value is None else codec.to(value),
    )


def sequence(codec: Codec[T]) -> Codec[tuple[T, ...]]:
    """Return the codec of an array of such elements; null-data reads as none, as some meters answer."""

    def of(value: Value) -> tuple[T, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise DecodeError(f"an array was expected, not {type(value).__name__}")
        return tuple(codec.of(element) for element in value)

    return Codec(of, lambda elements: array(*map(codec.to, elements)))


def record(kind: type[T], *members: Codec[Any]) -> Codec[T]:
    """Return the codec of a structure whose members are the fields of a dataclass, in their order.

    Further members in what is read are ignored, as later versions of a class append some.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every caller gives a dataclass
    if len(names) != len(members):
        raise ValueError(f"{kind.__name__} has {len(names)} fields for {len(members)} codecs")

    def of(value: Value) -> T:
        if not isinstance(value, tuple) or len(value) < len(members):
            raise DecodeError(f"a structure of {len(members)} was expected for {kind.__name__}")
        return kind(*(codec.of(member) for codec, member in zip(members, value, strict=False)))

    def to(item: T) -> Data:
        return structure(
            *(codec.to(getattr(item, name)) for codec, name in zip(members, names, strict=True)),
        )

    return Codec(of, to)


def mapped(codec: Codec[Any], of: Callable[[Any], T], to: Callable[[T], Any]) -> Codec[T]:
    """Return a codec that turns what another one reads into something else, and back."""
    return Codec(lambda value: of(codec.of(value)), lambda value: codec.to(to(value)))
