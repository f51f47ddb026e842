"""AARQ, AARE, RLRQ and RLRE as BER (Green Book 9.4, IEC 62056-5-3 ACSE APDUs), and back.

Writes the fields that a COSEM association uses, in the order of their tags. Reads them in any order, passes over
those it does not know, and takes the object identifiers by their last arc. Which contexts, mechanisms and results are
good is the two sides' business; the user information stays bytes.
"""

from collections.abc import Iterator
from typing import Final

from dlms.apdu.acse import FOREIGN, Aare, Aarq, Acse, Rlre, Rlrq
from dlms.apdu.ber import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    decode_integer,
    encode_field,
    encode_integer,
    read_field,
    read_fields,
    unwrap,
)
from dlms.errors import DecodeError

AARQ: Final = 0x60
AARE: Final = 0x61
RLRQ: Final = 0x62
RLRE: Final = 0x63

_DLMS_UA: Final = bytes((0x60, 0x85, 0x74, 0x05, 0x08))
"""2.16.756.5.8."""
_CONTEXTS: Final = _DLMS_UA + b"\x01"
_MECHANISMS: Final = _DLMS_UA + b"\x02"
_CONTEXT: Final = 0xA1
_RESULT: Final = 0xA2
_DIAGNOSTIC: Final = 0xA3
_RESPONDING_TITLE: Final = 0xA4
_CALLING_TITLE: Final = 0xA6
_CALLING_AE_INVOCATION: Final = 0xA9
_SENDER_REQUIREMENTS: Final = 0x8A
_CALLING_MECHANISM: Final = 0x8B
_CALLING_AUTHENTICATION: Final = 0xAC
_RESPONDER_REQUIREMENTS: Final = 0x88
_RESPONDING_MECHANISM: Final = 0x89
_RESPONDING_AUTHENTICATION: Final = 0xAA
_USER_INFORMATION: Final = 0xBE
_REASON: Final = 0x80
_CHARSTRING: Final = 0x80
_AUTHENTICATION_UNIT: Final = b"\x07\x80"
"""BIT STRING of one bit: the functional unit `authentication` is asked for."""
_SOURCES: Final = (1, 2)
_JUDGES: Final = (0xA1, 0xA2)
"""Tags of Associate-source-diagnostic, acse-service-user and acse-service-provider."""


def encode_acse(apdu: Acse) -> bytes:
    """Return the bytes of an ACSE APDU; fields out of their range are the caller's mistake and raise ValueError."""
    match apdu:
        case Aarq():
            return encode_field(AARQ, b"".join(_aarq_fields(apdu)))
        case Aare():
            return encode_field(AARE, b"".join(_aare_fields(apdu)))
        case Rlrq():
            return encode_field(RLRQ, b"".join(_release_fields(apdu)))
        case Rlre():
            return encode_field(RLRE, b"".join(_release_fields(apdu)))


def decode_acse(encoded: bytes) -> Acse:
    """Return the one ACSE APDU that `encoded` is.

    An announced length below what is there is passed over as long as fields fill the rest: the link has already said
    where the APDU ends, and one Green Book example is handed round with 61 41 where 61 42 belongs.

    Raises:
        DecodeError: Anything else, whatever the bytes.
    """
    tag, content, end = read_field(encoded, 0)
    fields = read_fields(content if end == len(encoded) else encoded[end - len(content) :])
    if tag == AARQ:
        return _aarq(fields)
    if tag == AARE:
        return _aare(fields)
    if tag == RLRQ:
        return Rlrq(*_release(fields))
    if tag == RLRE:
        return Rlre(*_release(fields))
    raise DecodeError(f"an APDU with tag {tag} is no ACSE APDU")


def _aarq_fields(apdu: Aarq) -> Iterator[bytes]:
    yield _object_identifier(_CONTEXTS, apdu.context)
    if apdu.calling_title:
        yield _wrapped(_CALLING_TITLE, OCTET_STRING, apdu.calling_title)
    if apdu.calling_invocation is not None:
        yield _wrapped(_CALLING_AE_INVOCATION, INTEGER, encode_integer(apdu.calling_invocation))
    if apdu.mechanism or apdu.authentication:
        yield encode_field(_SENDER_REQUIREMENTS, _AUTHENTICATION_UNIT)
        yield encode_field(_CALLING_MECHANISM, _MECHANISMS + bytes((apdu.mechanism,)))
        yield _wrapped(_CALLING_AUTHENTICATION, _CHARSTRING, apdu.authentication)
    if apdu.user_information:
        yield _wrapped(_USER_INFORMATION, OCTET_STRING, apdu.user_information)


def _aare_fields(apdu: Aare) -> Iterator[bytes]:
    yield _object_identifier(_CONTEXTS, apdu.context)
    yield _wrapped(_RESULT, INTEGER, encode_integer(apdu.result))
    judge = _JUDGES[_SOURCES.index(apdu.diagnostic_source)]
    yield encode_field(_DIAGNOSTIC, _wrapped(judge, INTEGER, encode_integer(apdu.diagnostic)))
    if apdu.responding_title:
        yield _wrapped(_RESPONDING_TITLE, OCTET_STRING, apdu.responding_title)
    if apdu.mechanism is not None:
        yield encode_field(_RESPONDER_REQUIREMENTS, _AUTHENTICATION_UNIT)
        yield encode_field(_RESPONDING_MECHANISM, _MECHANISMS + bytes((apdu.mechanism,)))
    if apdu.authentication:
        yield _wrapped(_RESPONDING_AUTHENTICATION, _CHARSTRING, apdu.authentication)
    if apdu.user_information:
        yield _wrapped(_USER_INFORMATION, OCTET_STRING, apdu.user_information)


def _release_fields(apdu: Rlrq | Rlre) -> Iterator[bytes]:
    if apdu.reason is not None:
        yield encode_field(_REASON, encode_integer(apdu.reason))
    if apdu.user_information:
        yield _wrapped(_USER_INFORMATION, OCTET_STRING, apdu.user_information)


def _wrapped(tag: int, inner_tag: int, content: bytes) -> bytes:
    return encode_field(tag, encode_field(inner_tag, content))


def _object_identifier(prefix: bytes, arc: int) -> bytes:
    return _wrapped(_CONTEXT, OBJECT_IDENTIFIER, prefix + bytes((arc,)))


def _aarq(fields: dict[int, bytes]) -> Aarq:
    mechanism = fields.get(_CALLING_MECHANISM)
    invocation = fields.get(_CALLING_AE_INVOCATION)
    return Aarq(
        context=_context(fields),
        mechanism=0 if mechanism is None else _last_arc(mechanism, _MECHANISMS),
        authentication=_authentication(fields, _CALLING_AUTHENTICATION),
        calling_title=_octets(fields, _CALLING_TITLE),
        calling_invocation=None if invocation is None else decode_integer(unwrap(invocation, INTEGER)),
        user_information=_octets(fields, _USER_INFORMATION),
    )


def _aare(fields: dict[int, bytes]) -> Aare:
    mechanism = fields.get(_RESPONDING_MECHANISM)
    if _RESULT not in fields:
        raise DecodeError("an AARE without a result")
    source, diagnostic = _diagnostic(fields)
    return Aare(
        context=_context(fields),
        result=decode_integer(unwrap(fields[_RESULT], INTEGER)),
        diagnostic_source=source,
        diagnostic=diagnostic,
        user_information=_octets(fields, _USER_INFORMATION),
        mechanism=None if mechanism is None else _last_arc(mechanism, _MECHANISMS),
        authentication=_authentication(fields, _RESPONDING_AUTHENTICATION),
        responding_title=_octets(fields, _RESPONDING_TITLE),
    )


def _release(fields: dict[int, bytes]) -> tuple[int | None, bytes]:
    reason = fields.get(_REASON)
    return None if reason is None else decode_integer(reason), _octets(fields, _USER_INFORMATION)


def _context(fields: dict[int, bytes]) -> int:
    content = fields.get(_CONTEXT)
    return FOREIGN if content is None else _last_arc(unwrap(content, OBJECT_IDENTIFIER), _CONTEXTS)


def _last_arc(identifier: bytes, prefix: bytes) -> int:
    if len(identifier) == len(prefix) + 1 and identifier.startswith(prefix):
        return identifier[-1]
    return FOREIGN


def _diagnostic(fields: dict[int, bytes]) -> tuple[int, int]:
    """Return who judges, 1 the service user or 2 the provider, and the judgement; nothing said is no objection."""
    content = fields.get(_DIAGNOSTIC)
    if content is None:
        return 1, 0
    tag, integer, _ = read_field(content, 0)
    if tag not in _JUDGES:
        raise DecodeError(f"tag {tag:#x} is no source of a diagnostic")
    return _SOURCES[_JUDGES.index(tag)], decode_integer(unwrap(integer, INTEGER))


def _authentication(fields: dict[int, bytes], tag: int) -> bytes:
    """Return the password or challenge, whichever choice of Authentication-value it comes as."""
    content = fields.get(tag)
    return b"" if content is None else unwrap(content)


def _octets(fields: dict[int, bytes], tag: int) -> bytes:
    """Return an OCTET STRING, or what stands bare in its place: neither titles nor APDUs begin with that tag."""
    content = fields.get(tag, b"")
    return unwrap(content, OCTET_STRING) if content[:1] == bytes((OCTET_STRING,)) else content
