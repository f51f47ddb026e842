"""Associations, security setups and invocation counters as objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from device_sim.core.is15959 import programming
from device_sim.core.is15959.associations import ASSOCIATIONS, SERVER_SAP, Association, Audience, Client
from device_sim.core.is15959.objects import Entry, Query, Readable, entry, fixed, method, value, write_only
from dlms.apdu.acse import ApplicationContext
from dlms.axdr.tags import BitString
from dlms.cosem.association_ln import AssociatedPartners, AssociationLn, AssociationStatus, XdlmsContext
from dlms.cosem.codecs import DOUBLE_LONG_UNSIGNED
from dlms.cosem.registers import DataObject
from dlms.cosem.security_setup import SecurityPolicy, SecuritySetup
from dlms.server.association import CURRENT_ASSOCIATION
from dlms.server.device import SERVER_CONFORMANCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from device_sim.core.is15959.meter import Is15959Meter

_OBJECT_IDENTIFIER: Final = bytes((0x60, 0x85, 0x74, 0x05, 0x08))
"""2.16.756.5.8, as the names of contexts and mechanisms begin."""
_CONTEXT: Final = 1
_MECHANISM: Final = 2
_CONFORMANCE_BITS: Final = 24
_DLMS_VERSION: Final = 6


def access() -> Iterator[Entry]:
    """Yield what there is to know and change about who may speak to the meter."""
    yield _current()
    for association in ASSOCIATIONS.values():
        yield _association(association)
        counter = DataObject(association.counter_name)
        yield entry(
            counter,
            value(counter.value.using(DOUBLE_LONG_UNSIGNED), partial(_counter, client=association.client)),
            readers=Audience.ALL,
        )
        if association.is_ciphered:
            yield _security_setup(association)


def _counter(meter: Is15959Meter, *, client: Client) -> int:
    return meter.admission.last_counter(client)


def _current() -> Entry:
    """Return the association as it looks to whoever is in it."""
    thing = AssociationLn(CURRENT_ASSOCIATION)
    parts = [
        Readable(index, lambda meter, query, index=index: _read(meter, query, index))  # type: ignore[misc]
        for index in (2, 3, 4, 5, 6, 8, 9)
    ]
    return entry(thing, *parts, readers=Audience.ALL)


def _read(meter: Is15959Meter, query: Query, index: int) -> bytes:
    own = meter.catalogue.entries[ASSOCIATIONS[query.client].name].attributes[index]
    assert own.read is not None, "all of these can be read"
    return own.read(meter, query)


def _association(association: Association) -> Entry:
    thing = AssociationLn(association.name)
    client = association.client
    context = ApplicationContext.LOGICAL_NAME_CIPHERED if association.is_ciphered else ApplicationContext.LOGICAL_NAME
    parts = [
        Readable(2, partial(_object_list, association.audience)),
        fixed(thing.associated_partners_id, AssociatedPartners(client, SERVER_SAP)),
        fixed(thing.application_context_name, _OBJECT_IDENTIFIER + bytes((_CONTEXT, context))),
        value(thing.xdlms_context_info, _context_info),
        value(thing.authentication_mechanism_name, partial(_mechanism_name, client=client)),
        fixed(thing.association_status, AssociationStatus.ASSOCIATED),
        fixed(thing.security_setup_reference, association.setup_name if association.is_ciphered else bytes(6)),
    ]
    if client is Client.READER:
        parts.append(write_only(thing.secret, programming.set_reader_password))
    if not association.is_ciphered:
        return entry(thing, *parts, readers=association.audience | Audience.SETTINGS)
    change = method(thing.change_hls_secret, partial(programming.change_hls_secret, client=client))
    return entry(thing, *parts, change, readers=association.audience | Audience.SETTINGS)


def _object_list(audience: Audience, meter: Is15959Meter, _query: Query) -> bytes:
    return meter.catalogue.object_list(audience)


def _context_info(meter: Is15959Meter) -> XdlmsContext:
    largest = meter.settings.pdu_bytes_max
    conformance = BitString.from_int(int(SERVER_CONFORMANCE), _CONFORMANCE_BITS)
    return XdlmsContext(conformance, largest, largest, _DLMS_VERSION, 0, b"")


def _mechanism_name(meter: Is15959Meter, *, client: Client) -> bytes:
    return _OBJECT_IDENTIFIER + bytes((_MECHANISM, meter.admission.mechanism(client)))


def _client_title(meter: Is15959Meter) -> bytes:
    return meter.settings.push_client_title


def _no_title(_: Is15959Meter) -> bytes:
    """Return that the meter expects no certain system title: a client names its own when it asks."""
    return b""


def _security_setup(association: Association) -> Entry:
    thing = SecuritySetup(association.setup_name)
    return entry(
        thing,
        fixed(thing.security_policy, SecurityPolicy.AUTHENTICATED_ENCRYPTED),
        fixed(thing.security_suite, 0),
        value(thing.client_system_title, _client_title if association.client is Client.PUSH else _no_title),
        value(thing.server_system_title, lambda m: m.admission.system_title),
        readers=association.audience | Audience.SETTINGS,
    )
