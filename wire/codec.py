"""Deterministic CBOR (RFC 8949 section 4.2) in its strict profile, and the step from bytes to typed messages.

Messages are arrays all the way down, so their encoding has one form without sorting anything. Tags, floats out of
place, indefinite lengths, duplicate keys, trailing bytes and unknown fields are refused.
"""

import zlib
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from types import UnionType
from typing import Any, NoReturn, get_args

import cbor2
import msgspec

from wire.errors import LimitExceededError, MalformedError, UnsupportedVersionError
from wire.limits import DEPTH_MAX

VERSION = 1
"""Of the messages; live traffic with another version is refused."""


def _reject_tag(*_: object) -> NoReturn:
    raise MalformedError("tags are not part of the profile")


# cbor2 gives its built-in tags a meaning of their own (a date, a regular expression) unless each is taken.
_TAGS: dict[int, Any] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 43000, 52, 54, 100, 256, 258, 260, 261, 1004, 55799), _reject_tag
)


def decode_strict(data: bytes) -> Any:
    """Return the one CBOR item that `data` is.

    Raises:
        MalformedError: Anything else, whatever the bytes.
    """
    decoder = cbor2.CBORDecoder(
        BytesIO(data),
        read_size=len(data) or 1,
        max_depth=DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
        semantic_decoders=_TAGS,
        tag_hook=_reject_tag,
    )
    try:
        item = decoder.decode()
    except (cbor2.CBORDecodeError, MalformedError) as error:
        raise MalformedError(str(error)[:200]) from error
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return item
    raise MalformedError("bytes follow the item")


def encode(item: object) -> bytes:
    """Return the deterministic CBOR of a struct, or of lists of plain values and structs."""
    return cbor2.dumps(msgspec.to_builtins(item, builtin_types=(bytes,)))


def decode_as(data: bytes, union: Any) -> Any:
    """Return `data` as a member of a tagged union of structs.

    Raises:
        MalformedError: Not such a member, or not deterministic CBOR.
    """
    return convert(decode_strict(data), union)


def convert(item: object, union: Any) -> Any:
    """Return a decoded item as a member of a tagged union, every bound checked."""
    # msgspec looks a union through on each call and knows a struct by heart; a tag it does not name fails below.
    by_tag = _by_tag(union)
    if by_tag and isinstance(item, list) and item and isinstance(item[0], str):
        union = by_tag.get(item[0], union)
    try:
        return msgspec.convert(item, union, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise MalformedError(str(error)[:200]) from error


@cache
def _by_tag(union: Any) -> dict[str, type[msgspec.Struct]]:
    """Return the members of a union of tagged structs by their tags; nothing for any other type."""
    members = get_args(union) if isinstance(union, UnionType) else ()
    if not members or not all(isinstance(member, type) and issubclass(member, msgspec.Struct) for member in members):
        return {}
    return {str(member.__struct_config__.tag): member for member in members}


def encode_array(encoded: Sequence[bytes]) -> bytes:
    """Return the array of items that are encoded already."""
    count = len(encoded)
    assert count < 2**16
    if count < 24:
        head = bytes([0x80 | count])
    else:
        head = b"\x98" + count.to_bytes(1) if count < 2**8 else b"\x99" + count.to_bytes(2)
    return head + b"".join(encoded)


def encode_message(message: object) -> bytes:
    """Return the payload of a message: `[version, message]`."""
    return cbor2.dumps([VERSION, msgspec.to_builtins(message, builtin_types=(bytes,))])


def decode_message(payload: bytes, union: Any) -> Any:
    """Return the message of a payload whose signature was checked.

    Raises:
        UnsupportedVersionError: Of a version this program does not speak.
        MalformedError: Not a message of `union`.
    """
    match decode_strict(payload):
        case [int() as version, message] if not isinstance(version, bool):
            if version != VERSION:
                raise UnsupportedVersionError(version)
            return convert(message, union)
        case _:
            raise MalformedError("a payload is [version, message]")


def inflate(data: bytes, *, bytes_max: int) -> bytes:
    """Return zlib-compressed data (RFC 1950) inflated, never taking much more than `bytes_max`.

    Raises:
        LimitExceededError: It inflates to more.
        MalformedError: Not one whole zlib stream.
    """
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise MalformedError(f"not zlib data: {error}") from error
    if len(inflated) > bytes_max:
        raise LimitExceededError(f"inflates to more than {bytes_max} bytes")
    if not stream.eof or stream.unused_data:
        raise MalformedError("not one whole zlib stream")
    return inflated
