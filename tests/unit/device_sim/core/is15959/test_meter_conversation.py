"""Our own client against the simulated meter, APDU by APDU."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

import pytest

from device_sim.core.is15959.clock import DAY_MS
from device_sim.core.is15959.firmware import make_image
from device_sim.core.is15959.settings import Secrets
from dlms.apdu.acse import Mechanism
from dlms.apdu.conformance import Conformance
from dlms.client.association import ClientAssociation, Exchange
from dlms.client.settings import DEFAULT_CONFORMANCE, AssociationSettings
from dlms.cosem.association_ln import AssociationLn
from dlms.cosem.clock import Clock
from dlms.cosem.control import ControlState, DisconnectControl
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageTransfer, ImageTransferStatus
from dlms.cosem.push_setup import PushObject, PushSetup
from dlms.cosem.registers import DataObject, Register
from dlms.errors import (
    AccessRefusedError,
    ActionRefusedError,
    AssociationRefusedError,
    AuthenticationError,
    ServiceRefusedError,
)
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from dlms.server.port import ServerPort
from tests.unit.device_sim.core.is15959.bench import (
    BLOCK,
    CLOCK_COLUMN,
    HOUR_MS,
    NOON_MS,
    OTHER_LOG,
    Bench,
    local,
)

T = TypeVar("T")
SECRETS = Secrets()
KEYS = Keys(SECRETS.encryption, SECRETS.authentication)
TITLE = b"HES00001"
IMPORT = Register("1.0.1.8.0.255")
PUBLIC = AssociationSettings(client_sap=16)
READER = AssociationSettings(client_sap=32, mechanism=Mechanism.LOW, secret=SECRETS.reader_password)
UTILITY = AssociationSettings(
    client_sap=48, mechanism=Mechanism.HIGH, secret=SECRETS.settings_secret, keys=KEYS, system_title=TITLE
)
GMAC = replace(UTILITY, mechanism=Mechanism.HIGH_GMAC, secret=b"")
FIRMWARE = replace(
    UTILITY,
    client_sap=80,
    secret=SECRETS.firmware_secret,
    keys=Keys(SECRETS.firmware_encryption, SECRETS.authentication),
)


class Line:
    """A link without a wire between one client and the meter."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        challenges = count(1)
        self.port = ServerPort({1: bench.meter}, challenge=lambda: next(challenges).to_bytes(16, "big"))
        self.counters = ReservedCounter(1, lambda _: None)
        self.requests = 0

    def associate(self, settings: AssociationSettings, **changes: Any) -> "Conversation":
        changed = replace(settings, **changes)
        association = ClientAssociation(changed, challenge=b"client challenge", counters=self.counters)
        conversation = Conversation(self, association, changed)
        conversation.run(association.open())
        return conversation


class Conversation:
    def __init__(self, line: Line, association: ClientAssociation, settings: AssociationSettings) -> None:
        self.line = line
        self.association = association
        self.settings = settings

    def run(self, exchange: Exchange[T]) -> T:
        try:
            apdu = next(exchange)
            while True:
                self.line.requests += 1
                reply = self.line.port.handle(apdu, client=self.settings.client_sap, server=1)
                assert reply is not None
                apdu = exchange.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result


@pytest.fixture
def line(bench: Bench) -> Line:
    return Line(bench)


@pytest.mark.parametrize("settings", [PUBLIC, READER, UTILITY], ids=["public", "reader", "utility"])
def test_each_client_associates_reads_the_clock_and_leaves(line: Line, settings: AssociationSettings) -> None:
    talk = line.associate(settings)
    moment = talk.run(talk.association.get(Clock("0.0.1.0.0.255").time))
    assert moment.to_utc_ms() == NOON_MS
    talk.run(talk.association.close())


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30])
@pytest.mark.parametrize("form", list(CipherForm))
def test_meter_with_gmac_serves_every_form_that_is_protected_enough(
    new_bench: Callable[..., Bench], control: int, form: CipherForm
) -> None:
    line = Line(new_bench(mechanism=Mechanism.HIGH_GMAC))
    keys = replace(KEYS, dedicated=b"a dedicated key!") if form.is_dedicated else KEYS
    if control != 0x30:
        with pytest.raises(AssociationRefusedError) as refusal:
            line.associate(GMAC, control=control, form=form, keys=keys)
        assert refusal.value.diagnostic == 13
        return
    talk = line.associate(GMAC, control=control, form=form, keys=keys)
    assert talk.run(talk.association.get(IMPORT.value)) == 0
    talk.run(talk.association.close())


def test_wrong_secret_and_wrong_key_are_told_apart_from_each_other(line: Line) -> None:
    with pytest.raises(AssociationRefusedError) as password:
        line.associate(READER, secret=b"wrong")
    assert password.value.diagnostic == 13
    with pytest.raises((AuthenticationError, ActionRefusedError)):
        line.associate(UTILITY, secret=b"another secret 1")
    with pytest.raises(AssociationRefusedError) as key:
        line.associate(UTILITY, keys=Keys(bytes(16), bytes(16)))
    assert key.value.diagnostic == 13


def test_counter_read_by_the_public_client_opens_the_association(line: Line) -> None:
    first = line.associate(UTILITY)
    first.run(first.association.close())
    public = line.associate(PUBLIC)
    last = public.run(public.association.get(DataObject("0.0.43.1.3.255").value))
    assert isinstance(last, int)
    line.counters = ReservedCounter(last, lambda _: None)
    with pytest.raises(ServiceRefusedError) as refusal:
        line.associate(UTILITY)
    assert refusal.value.invocation_counter == last + 1
    line.counters = ReservedCounter(last + 1, lambda _: None)
    assert line.associate(UTILITY).association.is_open


@pytest.mark.parametrize("pdu_bytes_max", [128, 512, 0xFFFF])
def test_day_of_blocks_comes_whole_whatever_the_pdu_size(line: Line, pdu_bytes_max: int) -> None:
    line.bench.wait(DAY_MS)
    talk = line.associate(UTILITY, pdu_bytes_max=pdu_bytes_max)
    columns = talk.run(talk.association.get(BLOCK.capture_objects))
    selection = BLOCK.by_range(CLOCK_COLUMN, local(NOON_MS), local(NOON_MS + DAY_MS))
    rows = talk.run(talk.association.get(BLOCK.rows(columns, capture_period_s=900), selection))
    assert rows == line.bench.rows(BLOCK)
    assert len(rows) == 96


def test_general_blocks_carry_it_too(line: Line) -> None:
    line.bench.wait(DAY_MS)
    conformance = (DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER) & ~Conformance.BLOCK_TRANSFER_WITH_GET
    talk = line.associate(UTILITY, pdu_bytes_max=256, conformance=conformance)
    assert talk.run(talk.association.get_raw(BLOCK.buffer.descriptor)) == line.bench.read_raw(BLOCK.buffer)


def test_list_of_attributes_is_answered_one_by_one(line: Line) -> None:
    talk = line.associate(READER)
    found = talk.run(talk.association.get_many([IMPORT.value, Register("9.9.9.9.9.9").value, IMPORT.scaler_unit]))
    assert found[0] == 0
    assert isinstance(found[1], AccessRefusedError)
    assert found[2].unit == 30


def test_object_list_comes_in_blocks(line: Line) -> None:
    talk = line.associate(UTILITY, pdu_bytes_max=200)
    elements = talk.run(talk.association.get(AssociationLn("0.0.40.0.0.255").object_list))
    assert len(elements) > 100


def test_relay_is_switched_and_read_back(line: Line) -> None:
    relay = DisconnectControl("0.0.96.3.10.255")
    talk = line.associate(UTILITY)
    talk.run(talk.association.invoke(relay.remote_disconnect, 0))
    assert talk.run(talk.association.get(relay.control_state)) is ControlState.DISCONNECTED
    assert not line.bench.supply.closed
    reader = line.associate(READER)
    with pytest.raises(ActionRefusedError):
        reader.run(reader.association.invoke(relay.remote_reconnect, 0))


def test_clock_is_set_by_those_who_may(line: Line) -> None:
    clock = Clock("0.0.1.0.0.255")
    talk = line.associate(UTILITY)
    talk.run(talk.association.set(clock.time, local(NOON_MS + HOUR_MS)))
    assert talk.run(talk.association.get(clock.time)).to_utc_ms() == NOON_MS + HOUR_MS
    reader = line.associate(READER)
    with pytest.raises(AccessRefusedError):
        reader.run(reader.association.set(clock.time, local(NOON_MS)))


def test_events_are_read_by_entry(line: Line) -> None:
    for number in range(5):
        line.bench.meter.happen(201, now_ms=NOON_MS + number * 1000)
    talk = line.associate(READER)
    newest = talk.run(talk.association.get(OTHER_LOG.buffer, OTHER_LOG.by_entry(4, 5)))
    assert [row[1] for row in newest] == [201, 201]


def test_image_of_64_kib_is_transferred_verified_and_activated(line: Line) -> None:
    image = make_image("3.1.4", bytes(range(256)) * 256)
    thing = ImageTransfer("0.0.44.0.0.255")
    talk = line.associate(FIRMWARE)
    run, ask = talk.run, talk.association
    run(ask.invoke(thing.image_transfer_initiate, ImageInitiation(b"3.1.4", len(image))))
    size = run(ask.get(thing.image_block_size))
    for number in range(-(-len(image) // size)):
        block = ImageBlock(number, image[number * size : (number + 1) * size])
        run(ask.invoke(thing.image_block_transfer, block))
    with pytest.raises(ActionRefusedError) as busy:
        run(ask.invoke(thing.image_verify, 0))
    assert busy.value.result == 2
    line.bench.wait(5_000)
    run(ask.invoke(thing.image_verify, 0))
    run(ask.invoke(thing.image_activate, 0))
    line.bench.wait(10_000)
    assert run(ask.get(thing.image_transfer_status)) is ImageTransferStatus.ACTIVATION_SUCCESSFUL
    assert run(ask.get(DataObject("1.0.0.2.0.255").value)) == b"3.1.4"


def test_long_value_is_written_in_blocks(line: Line) -> None:
    setup = PushSetup("0.4.25.9.0.255").push_object_list
    objects = tuple(PushObject(3, bytes((1, 0, number, 8, 0, 255)), 2) for number in range(100))
    talk = line.associate(UTILITY)
    talk.run(talk.association.set(setup, objects))
    assert talk.run(talk.association.get(setup)) == objects


def test_client_that_accepts_strictly_rising_counters_is_content(line: Line) -> None:
    counters = PeerCounters(PeerCounterPolicy.STRICT)
    for _ in range(3):
        association = ClientAssociation(
            UTILITY, challenge=b"client challenge", counters=line.counters, peer_counters=counters
        )
        talk = Conversation(line, association, UTILITY)
        talk.run(association.open())
        talk.run(association.get(IMPORT.value))
        talk.run(association.close())


def test_long_value_is_written_in_general_blocks(line: Line) -> None:
    setup = PushSetup("0.4.25.9.0.255").push_object_list
    objects = tuple(PushObject(3, bytes((1, 0, number, 8, 0, 255)), 2) for number in range(100))
    conformance = (DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER) & ~Conformance.BLOCK_TRANSFER_WITH_SET
    talk = line.associate(UTILITY, conformance=conformance)
    talk.run(talk.association.set(setup, objects))
    assert talk.run(talk.association.get(setup)) == objects
