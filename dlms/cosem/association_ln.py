"""The association as an object, class 15: what it may see and do, and pass 3 and 4 of HLS (BB 4.4.4)."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from dlms.axdr.tags import BitString
from dlms.axdr.values import Value
from dlms.cosem.attribute import Attribute, CosemObject, Method
from dlms.cosem.codecs import (
    BITS,
    ENUM,
    INTEGER,
    LONG_UNSIGNED,
    NAME,
    NOTHING,
    OCTETS,
    TEXT,
    TRUTH_OR_ENUM,
    UNSIGNED,
    VALUE,
    enumeration,
    optional,
    record,
    sequence,
)


class AccessMode(IntEnum):
    """What may be done with an attribute, in versions 0 to 2."""

    NO_ACCESS = 0
    READ = 1
    WRITE = 2
    READ_WRITE = 3
    AUTHENTICATED_READ = 4
    AUTHENTICATED_WRITE = 5
    AUTHENTICATED_READ_WRITE = 6


class AccessFlag(IntFlag):
    """What may be done with an attribute or method, and how it has to be protected, from version 3 on."""

    READ = 0x01
    """Of a method: it may be invoked."""
    WRITE = 0x02
    AUTHENTICATED_REQUEST = 0x04
    ENCRYPTED_REQUEST = 0x08
    SIGNED_REQUEST = 0x10
    AUTHENTICATED_RESPONSE = 0x20
    ENCRYPTED_RESPONSE = 0x40
    SIGNED_RESPONSE = 0x80


class AssociationStatus(IntEnum):
    """How far an association has come."""

    NON_ASSOCIATED = 0
    PENDING = 1
    """HLS is not through yet."""
    ASSOCIATED = 2


@dataclass(frozen=True, slots=True)
class AttributeAccess:
    """What may be done with one attribute."""

    attribute: int
    mode: int
    """`AccessMode`, or `AccessFlag` from version 3 of the association on."""
    selectors: tuple[int, ...] | None = None
    """Of selective access."""


@dataclass(frozen=True, slots=True)
class MethodAccess:
    """Whether one method may be invoked."""

    method: int
    mode: int
    """0 no, 1 yes, 2 if authenticated; `AccessFlag` from version 3 of the association on."""


@dataclass(frozen=True, slots=True)
class AccessRights:
    """What may be done with one object."""

    attributes: tuple[AttributeAccess, ...]
    methods: tuple[MethodAccess, ...]


@dataclass(frozen=True, slots=True)
class ObjectListElement:
    """One object that an association shows."""

    class_id: int
    version: int
    name: bytes
    access: AccessRights


@dataclass(frozen=True, slots=True)
class AssociatedPartners:
    """Who talks to whom."""

    client_sap: int
    server_sap: int


@dataclass(frozen=True, slots=True)
class XdlmsContext:
    """What was negotiated."""

    conformance: BitString
    pdu_bytes_receive_max: int
    pdu_bytes_send_max: int
    version: int
    quality_of_service: int
    ciphering_info: bytes


@dataclass(frozen=True, slots=True)
class User:
    """A user of the client."""

    user_id: int
    user_name: str


_ATTRIBUTE_ACCESS: Final = record(AttributeAccess, INTEGER, ENUM, optional(sequence(INTEGER)))
_METHOD_ACCESS: Final = record(MethodAccess, INTEGER, TRUTH_OR_ENUM)
_ACCESS: Final = record(AccessRights, sequence(_ATTRIBUTE_ACCESS), sequence(_METHOD_ACCESS))
OBJECT_LIST_ELEMENT: Final = record(ObjectListElement, LONG_UNSIGNED, UNSIGNED, NAME, _ACCESS)
_USER: Final = record(User, UNSIGNED, TEXT)


class AssociationLn(CosemObject):
    """An association with logical name referencing, class 15."""

    CLASS_ID = 15
    VERSION = 1
    __slots__ = ()

    object_list: Attribute[tuple[ObjectListElement, ...]] = Attribute(2, sequence(OBJECT_LIST_ELEMENT))
    associated_partners_id: Attribute[AssociatedPartners] = Attribute(
        3, record(AssociatedPartners, INTEGER, LONG_UNSIGNED)
    )
    application_context_name: Attribute[Value] = Attribute(4, VALUE)
    """An object identifier, as octet-string or as a structure of its arcs."""
    xdlms_context_info: Attribute[XdlmsContext] = Attribute(
        5, record(XdlmsContext, BITS, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, INTEGER, OCTETS)
    )
    authentication_mechanism_name: Attribute[Value] = Attribute(6, VALUE)
    secret: Attribute[bytes] = Attribute(7, OCTETS)
    """Of LLS; can only be written."""
    association_status: Attribute[AssociationStatus] = Attribute(8, enumeration(AssociationStatus))
    security_setup_reference: Attribute[bytes] = Attribute(9, NAME)
    """From version 1 on."""
    user_list: Attribute[tuple[User, ...]] = Attribute(10, sequence(_USER))
    """From version 2 on."""
    current_user: Attribute[User | None] = Attribute(11, optional(_USER))
    """From version 2 on."""
    reply_to_hls_authentication: Method[bytes, bytes] = Method(1, OCTETS, OCTETS)
    change_hls_secret: Method[bytes, None] = Method(2, OCTETS, NOTHING)
    add_object: Method[ObjectListElement, None] = Method(3, OBJECT_LIST_ELEMENT, NOTHING)
    remove_object: Method[ObjectListElement, None] = Method(4, OBJECT_LIST_ELEMENT, NOTHING)
