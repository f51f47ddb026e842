"""What a client wants of a meter, each with the only answers that are right.

An errand returns, and then what it got or did is exactly so, or raises a `DlmsError`; anything else is a violation. A
refusal is one, too, where the meter would never refuse.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from dlms.apdu.results import DataAccessResult
from dlms.apdu.services import MethodDescriptor
from dlms.client.association import ClientAssociation
from dlms.cosem.attribute import MethodRef
from dlms.cosem.control import ControlState
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageTransferStatus
from dlms.cosem.registers import Register
from dlms.errors import AccessRefusedError, ActionRefusedError
from tests.rig.dlms_meter import (
    ASSOCIATION,
    CLOCK,
    COLUMNS,
    FIRST_UTC_MS,
    IMAGE,
    NOTE,
    OBJECTS,
    PROFILE,
    QUARTER_MS,
    REGISTERS,
    RELAY,
    ROWS,
    moment,
    register_value,
    switch,
)
from tests.simulation.dlms.line import Steps
from tests.simulation.dlms.meters import KnownMeter
from tests.simulation.dlms.reader import Reader

P = TypeVar("P")
MISSING: Final = Register("1.0.99.8.0.255")
TRANSFER_TROUBLE: Final = frozenset(range(DataAccessResult.DATA_BLOCK_UNAVAILABLE, 20))
"""Refusals of a transfer in blocks that was disturbed, not of what was asked for."""
NOTE_BYTES_MAX: Final = 1_500


@dataclass(slots=True)
class Work:
    """One meter's errands and what was tried."""

    reader: Reader
    agenda: Steps
    rng: random.Random
    notes_tried: list[bytes] = field(default_factory=list)
    tried: Counter[MethodDescriptor] = field(default_factory=Counter)
    succeeded: Counter[MethodDescriptor] = field(default_factory=Counter)

    @property
    def meter(self) -> KnownMeter:
        return self.reader.station.meter


Errand = Callable[[Work, ClientAssociation], None]


def expect(found: object, right: object, what: str) -> None:
    """Violate the world's promise unless these are equal."""
    assert found == right, f"{what}: {str(found)[:200]} where only {str(right)[:200]} is right"


def read_clock(work: Work, association: ClientAssociation) -> None:
    since_ms = work.agenda.now_ms
    found = work.reader.run(association.get(CLOCK.time))
    assert found in work.meter.values_since("clock", since_ms), f"clock: {found}"


def read_objects(work: Work, association: ClientAssociation) -> None:
    expect(work.reader.run(association.get(ASSOCIATION.object_list)), OBJECTS, "object list")


def read_registers(work: Work, association: ClientAssociation) -> None:
    wanted = [register_value(register) for register in (*REGISTERS, MISSING)]
    *found, missing = work.reader.run(association.get_many(wanted))
    last = work.meter.rows[-1]
    expect(found, list(last[1:]), "registers")
    assert isinstance(missing, AccessRefusedError)
    expect(missing.result, DataAccessResult.OBJECT_UNDEFINED, "a register that is not there")


def read_missing(work: Work, association: ClientAssociation) -> None:
    try:
        found = work.reader.run(association.get(MISSING.value))
    except AccessRefusedError as refusal:
        if refusal.result in TRANSFER_TROUBLE:
            raise
        expect(refusal.result, DataAccessResult.OBJECT_UNDEFINED, "a register that is not there")
    else:
        raise AssertionError(f"a register that is not there is {found!r}")


def read_day(work: Work, association: ClientAssociation) -> None:
    rows = work.meter.rows
    first = work.rng.randrange(len(rows))
    last = len(rows) - 1 if work.rng.random() < 0.5 else work.rng.randrange(first, len(rows))
    begin, end = (moment(FIRST_UTC_MS + index * QUARTER_MS) for index in (first, last))
    found = work.reader.run(association.get(ROWS, PROFILE.by_range(COLUMNS[0], begin, end)))
    expect(found, rows[first : last + 1], "rows by range")


def read_entries(work: Work, association: ClientAssociation) -> None:
    rows = work.meter.rows
    first = work.rng.randint(1, len(rows))
    found = work.reader.run(association.get(ROWS, PROFILE.by_entry(first, 0)))
    expect(found, rows[first - 1 :], "rows by entry")


def write_note(work: Work, association: ClientAssociation) -> None:
    note = f"note {len(work.notes_tried)} ".encode() + work.rng.randbytes(work.rng.randint(0, NOTE_BYTES_MAX))
    work.notes_tried.append(note)
    since_ms = work.agenda.now_ms
    work.reader.run(association.set(NOTE, note))
    assert note in work.meter.values_since("note", since_ms), "a note that was taken is not there"
    found = work.reader.run(association.get(NOTE))
    assert found in work.meter.values_since("note", since_ms), f"note: {found[:40]!r}"


def set_clock(work: Work, association: ClientAssociation) -> None:
    since_ms = work.agenda.now_ms
    wanted = moment(FIRST_UTC_MS + work.rng.randrange(1_000_000) * 1_000)
    work.reader.run(association.set(CLOCK.time, wanted))
    assert wanted in work.meter.values_since("clock", since_ms), "a clock that was set is not"


def switch_relay(work: Work, association: ClientAssociation) -> None:
    closed = work.rng.random() < 0.5
    since_ms = work.agenda.now_ms
    invoke(work, association, switch(closed=closed), 0)
    assert closed in work.meter.values_since("relay", since_ms), "a relay that was switched is not"
    read_ms = work.agenda.now_ms
    output, state = work.reader.run(association.get_many([RELAY.output_state, RELAY.control_state]))
    states = work.meter.values_since("relay", read_ms)
    assert output in states, f"output state {output}"
    assert state in [ControlState(bool(each)) for each in states], f"control state {state}"


def transfer_image(work: Work, association: ClientAssociation) -> None:
    size = work.meter.IMAGE_BLOCK_BYTES
    expect(work.reader.run(association.get(IMAGE.image_block_size)), size, "block size")
    image = work.rng.randbytes(size * work.rng.randint(1, 6) + work.rng.randint(1, size))
    invoke(work, association, IMAGE.image_transfer_initiate, ImageInitiation(b"image", len(image)))
    parts = [image[start : start + size] for start in range(0, len(image), size)]
    for number, part in enumerate(parts):
        invoke(work, association, IMAGE.image_block_transfer, ImageBlock(number, part))
    first_missing = work.reader.run(association.get(IMAGE.image_first_not_transferred_block_number))
    expect(first_missing, len(parts), "first block not transferred")
    invoke(work, association, IMAGE.image_verify, 0)
    status = work.reader.run(association.get(IMAGE.image_transfer_status))
    expect(status, ImageTransferStatus.VERIFICATION_SUCCESSFUL, "image status")
    expect(work.meter.image, image, "image in the meter")


def invoke(work: Work, association: ClientAssociation, method: MethodRef[P, None], parameters: P) -> None:
    """Invoke a method, counted before and after."""
    work.tried[method.descriptor] += 1
    work.reader.run(association.invoke(method, parameters))
    work.succeeded[method.descriptor] += 1


READS: Final[tuple[Errand, ...]] = (
    read_clock,
    read_objects,
    read_registers,
    read_missing,
    read_day,
    read_entries,
)
ALL: Final[tuple[Errand, ...]] = (*READS, read_day, write_note, write_note, set_clock, switch_relay, transfer_image)
IDEMPOTENT: Final[tuple[Errand, ...]] = (*READS, read_day, write_note, set_clock, switch_relay)
"""What can be checked where a request may be carried out twice."""


def run_errand(errand: Errand, work: Work, association: ClientAssociation) -> None:
    """Do an errand.

    Raises:
        DlmsError: It did not succeed.
        AssertionError: Something is wrong that is right to the client.
    """
    try:
        errand(work, association)
    except (AccessRefusedError, ActionRefusedError) as refusal:
        if refusal.result not in TRANSFER_TROUBLE:
            raise AssertionError(f"{errand.__name__} was refused: {refusal}") from refusal
        raise
