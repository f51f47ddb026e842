"""A small DLMS meter whose every value is known beforehand: the truth against which sessions are checked and measured.

Decides what stands in it and what it takes; it has no time of its own and never refuses for lack of rights. What it
was made to do is counted, so that a request carried out twice shows.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Final

from dlms.apdu.results import ActionResult, DataAccessResult
from dlms.apdu.services import AttributeDescriptor, MethodDescriptor, Selection
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.length import encode_length
from dlms.axdr.tags import BitString, Tag
from dlms.cosem.association_ln import AccessRights, AssociationLn, AttributeAccess, MethodAccess, ObjectListElement
from dlms.cosem.attribute import AttributeRef, CosemObject, MethodRef
from dlms.cosem.classes import CLASSES
from dlms.cosem.clock import Clock
from dlms.cosem.codecs import DOUBLE_LONG_UNSIGNED, OCTETS
from dlms.cosem.control import ControlMode, ControlState, DisconnectControl
from dlms.cosem.image_transfer import ImageToActivate, ImageTransfer, ImageTransferStatus
from dlms.cosem.profile_generic import CaptureObject, EntryDescriptor, ProfileGeneric, Row, RowCodec, read_selection
from dlms.cosem.registers import Register
from dlms.cosem.units import ScalerUnit
from dlms.errors import AccessRefusedError, ActionRefusedError, DecodeError
from dlms.obis import obis
from dlms.security.counters import CounterSource, PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.server.device import Access, AssociationRules, ServerSecurity

CLOCK: Final = Clock("0.0.1.0.0.255")
PROFILE: Final = ProfileGeneric("1.0.99.1.0.255")
RELAY: Final = DisconnectControl("0.0.96.3.10.255")
IMAGE: Final = ImageTransfer("0.0.44.0.0.255")
ASSOCIATION: Final = AssociationLn("0.0.40.0.0.255")
REGISTERS: Final = tuple(Register(f"1.0.{number}.8.0.255") for number in range(1, 8))
NOTE: Final = AttributeRef(1, obis("0.0.96.1.10.255"), 2, OCTETS)
"""An octet-string of any length that clients may write."""

COLUMNS: Final = (CaptureObject(8, CLOCK.name, 2), *(CaptureObject(3, each.name, 2) for each in REGISTERS))
ROWS: Final = PROFILE.rows(COLUMNS)
DEVIATION_MINUTES: Final = -330
FIRST_UTC_MS: Final = 1_767_205_800_000
"""Midnight in India, first of January 2026."""
QUARTER_MS: Final = 900_000
DAY_ROWS: Final = 96
_ROW_CODEC: Final = RowCodec(COLUMNS, types=(Tag.OCTET_STRING, *((Tag.DOUBLE_LONG_UNSIGNED,) * len(REGISTERS))))
_SCALER_UNIT: Final = ScalerUnit(0, 30)


def moment(utc_ms: int) -> CosemDateTime:
    """Return what the clock of such a meter shows."""
    return CosemDateTime.from_utc_ms(utc_ms, DEVIATION_MINUTES)


@cache
def day_of_rows(seed: str, rows_count: int = DAY_ROWS) -> tuple[Row, ...]:
    """Return the profile of a meter, row by row, as a client has to see it."""
    digest = hashlib.shake_256(seed.encode()).digest(4 * rows_count * len(REGISTERS))
    numbers = iter(int.from_bytes(digest[at : at + 4], "big") for at in range(0, len(digest), 4))
    return tuple(
        (moment(FIRST_UTC_MS + index * QUARTER_MS), *(next(numbers) for _ in REGISTERS)) for index in range(rows_count)
    )


@cache
def _encoded_rows(seed: str, rows_count: int) -> tuple[bytes, ...]:
    return tuple(_ROW_CODEC.encode([row])[2:] for row in day_of_rows(seed, rows_count))


@cache
def encoded_object_list() -> bytes:
    """Return the object list, which is the same in all these meters."""
    return ASSOCIATION.object_list.encode(OBJECTS)


def _element(thing: CosemObject) -> ObjectListElement:
    attributes = tuple(AttributeAccess(item.index, 3) for _, item in thing.attributes())
    methods = tuple(MethodAccess(item.index, 1) for _, item in thing.methods())
    return ObjectListElement(thing.CLASS_ID, thing.VERSION, thing.name, AccessRights(attributes, methods))


OBJECTS: Final = tuple(
    map(_element, (ASSOCIATION, CLOCK, PROFILE, RELAY, IMAGE, CLASSES[1]("0.0.96.1.10.255"), *REGISTERS))
)


class RigMeter:
    """A logical device of known contents; what outlasts a power failure is all in here."""

    def __init__(self, seed: str, rules: Mapping[int, AssociationRules], *, rows_count: int = DAY_ROWS) -> None:
        """Make a meter.

        Args:
            seed: What its values are made of.
            rules: Terms by client.
            rows_count: Rows of its profile.
        """
        self.seed = seed
        self.rules = dict(rules)
        self.utc_ms = FIRST_UTC_MS
        self.clock = moment(FIRST_UTC_MS)
        self.rows = day_of_rows(seed, rows_count)
        self.is_closed = True
        self.note = b"as delivered"
        self.invoked: list[MethodDescriptor] = []
        self.image_bytes = 0
        self.image_name = b""
        self.image_blocks: dict[int, bytes] = {}
        self.image_status = ImageTransferStatus.NOT_INITIATED
        self._encoded = _encoded_rows(seed, rows_count)
        self._stamps = [FIRST_UTC_MS + index * QUARTER_MS for index in range(rows_count)]
        self._readers = dict(self._attributes())

    IMAGE_BLOCK_BYTES: Final = 64

    @property
    def image(self) -> bytes:
        """What was transferred so far, in the order of the blocks."""
        return b"".join(self.image_blocks[number] for number in sorted(self.image_blocks))

    # ---- the logical device ------------------------------------------------------------------------------------------

    def association_rules(self, client_sap: int) -> AssociationRules | None:
        return self.rules.get(client_sap)

    def read(self, attribute: AttributeDescriptor, selection: Selection | None, access: Access) -> bytes:
        del access
        if attribute == PROFILE.buffer.descriptor:
            return self._buffer(selection)
        reader = self._readers.get(attribute)
        if reader is None:
            raise AccessRefusedError("not there", result=DataAccessResult.OBJECT_UNDEFINED)
        return reader()

    def write(self, attribute: AttributeDescriptor, selection: Selection | None, value: bytes, access: Access) -> None:
        del selection, access
        if attribute == NOTE.descriptor:
            self.note = NOTE.decode(value)
        elif attribute == CLOCK.time.descriptor:
            self.clock = CLOCK.time.decode(value)
        else:
            raise AccessRefusedError("not to be written", result=DataAccessResult.READ_WRITE_DENIED)

    def invoke(self, method: MethodDescriptor, parameters: bytes | None, access: Access) -> bytes | None:
        del access
        given = b"\x0f\x00" if parameters is None else parameters
        if method == RELAY.remote_disconnect.descriptor:
            self.is_closed = False
        elif method == RELAY.remote_reconnect.descriptor:
            self.is_closed = True
        elif method == IMAGE.image_transfer_initiate.descriptor:
            self._initiate(given)
        elif method == IMAGE.image_block_transfer.descriptor:
            self._take_block(given)
        elif method == IMAGE.image_verify.descriptor:
            self._verify()
        else:
            raise ActionRefusedError("not there", result=ActionResult.OBJECT_UNDEFINED)
        self.invoked.append(method)
        return None

    # ---- what stands in it -------------------------------------------------------------------------------------------

    def _attributes(self) -> Iterator[tuple[AttributeDescriptor, Callable[[], bytes]]]:
        yield CLOCK.time.descriptor, lambda: CLOCK.time.encode(self.clock)
        yield ASSOCIATION.object_list.descriptor, encoded_object_list
        yield NOTE.descriptor, lambda: NOTE.encode(self.note)
        yield PROFILE.capture_objects.descriptor, lambda: PROFILE.capture_objects.encode(COLUMNS)
        yield PROFILE.capture_period.descriptor, lambda: PROFILE.capture_period.encode(QUARTER_MS // 1000)
        yield PROFILE.entries_in_use.descriptor, lambda: PROFILE.entries_in_use.encode(len(self.rows))
        yield RELAY.output_state.descriptor, lambda: RELAY.output_state.encode(self.is_closed)
        yield RELAY.control_state.descriptor, lambda: RELAY.control_state.encode(ControlState(self.is_closed))
        yield RELAY.control_mode.descriptor, lambda: RELAY.control_mode.encode(ControlMode.MODE_4)
        yield IMAGE.image_block_size.descriptor, lambda: IMAGE.image_block_size.encode(self.IMAGE_BLOCK_BYTES)
        yield (
            IMAGE.image_transferred_blocks_status.descriptor,
            lambda: IMAGE.image_transferred_blocks_status.encode(self._blocks_status()),
        )
        yield (
            IMAGE.image_first_not_transferred_block_number.descriptor,
            lambda: IMAGE.image_first_not_transferred_block_number.encode(self._first_missing()),
        )
        yield IMAGE.image_transfer_status.descriptor, lambda: IMAGE.image_transfer_status.encode(self.image_status)
        yield (
            IMAGE.image_to_activate_info.descriptor,
            lambda: IMAGE.image_to_activate_info.encode(
                (ImageToActivate(self.image_bytes, self.image_name, hashlib.sha256(self.image).digest()),)
            ),
        )
        for index, register in enumerate(REGISTERS):
            yield register_value(register).descriptor, partial(self._register, index)
            yield register.scaler_unit.descriptor, partial(register.scaler_unit.encode, _SCALER_UNIT)

    def _register(self, index: int) -> bytes:
        last = self.rows[-1][1 + index]
        assert isinstance(last, int)
        return DOUBLE_LONG_UNSIGNED.encode(last)

    def _buffer(self, selection: Selection | None) -> bytes:
        rows = self._encoded
        if selection is not None:
            chosen = read_selection(selection)
            if isinstance(chosen, EntryDescriptor):
                rows = rows[max(chosen.first, 1) - 1 : chosen.last or None]
            else:
                bounds = [_instant(chosen.first), _instant(chosen.last)]
                rows = rows[bisect_left(self._stamps, bounds[0]) : bisect_right(self._stamps, bounds[1])]
        return b"\x01" + encode_length(len(rows)) + b"".join(rows)

    # ---- image transfer ----------------------------------------------------------------------------------------------

    @property
    def _blocks_count(self) -> int:
        return -(-self.image_bytes // self.IMAGE_BLOCK_BYTES)

    def _first_missing(self) -> int:
        return next(number for number in range(self._blocks_count + 1) if number not in self.image_blocks)

    def _blocks_status(self) -> BitString:
        bits = "".join("01"[number in self.image_blocks] for number in range(self._blocks_count))
        return BitString(int(bits.ljust(-(-len(bits) // 8) * 8, "0") or "0", 2).to_bytes(-(-len(bits) // 8)), len(bits))

    def _initiate(self, parameters: bytes) -> None:
        begun = IMAGE.image_transfer_initiate.decode_parameters(parameters)
        if not 0 <= begun.size_bytes <= 1 << 20:
            raise ActionRefusedError("too large", result=ActionResult.OTHER_REASON)
        self.image_bytes, self.image_name, self.image_blocks = begun.size_bytes, begun.identifier, {}
        self.image_status = ImageTransferStatus.INITIATED

    def _take_block(self, parameters: bytes) -> None:
        block = IMAGE.image_block_transfer.decode_parameters(parameters)
        if not 0 <= block.number < self._blocks_count:
            raise ActionRefusedError("no such block", result=ActionResult.OTHER_REASON)
        self.image_blocks[block.number] = block.value

    def _verify(self) -> None:
        whole = len(self.image) == self.image_bytes
        done, failed = ImageTransferStatus.VERIFICATION_SUCCESSFUL, ImageTransferStatus.VERIFICATION_FAILED
        self.image_status = done if whole else failed


def register_value(register: Register) -> AttributeRef[int]:
    """Return the value of a register of this meter, which is a number."""
    return register.value.using(DOUBLE_LONG_UNSIGNED)


def _instant(bound: object) -> int:
    if isinstance(bound, CosemDateTime):
        return bound.to_utc_ms(DEVIATION_MINUTES)
    if isinstance(bound, bytes):
        return CosemDateTime(bound).to_utc_ms(DEVIATION_MINUTES)
    raise DecodeError("a bound of a range is a date-time")


def switch(*, closed: bool) -> MethodRef[int, None]:
    """Return the method that brings the relay into a state."""
    return RELAY.remote_reconnect if closed else RELAY.remote_disconnect


def rules_for(
    *,
    mechanism: int,
    secret: bytes,
    keys: Keys,
    title: bytes,
    counters: CounterSource | None = None,
    peer_counters: PeerCounters | None = None,
    pdu_bytes_max: int = 1024,
) -> AssociationRules:
    """Return terms for a client, with or without ciphering as it likes."""
    security = ServerSecurity(
        own_title=title,
        keys=keys,
        counters=counters or ReservedCounter(1, lambda _: None),
        peer_counters=peer_counters or PeerCounters(PeerCounterPolicy.STRICT),
    )
    return AssociationRules(mechanism=mechanism, secret=secret, security=security, pdu_bytes_max=pdu_bytes_max)
