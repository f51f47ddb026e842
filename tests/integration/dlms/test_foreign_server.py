"""Our client against a meter made from the classes of dlms-cosem 21.3.2, another program behind a real socket."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dlms.apdu.acse import Mechanism
from dlms.axdr.datetimes import CosemDateTime
from dlms.client.association import ClientAssociation
from dlms.client.settings import AssociationSettings
from dlms.cosem.clock import Clock
from dlms.cosem.codecs import TEXT
from dlms.cosem.control import ControlMode, ControlState, DisconnectControl
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageToActivate, ImageTransfer, ImageTransferStatus
from dlms.cosem.profile_generic import ProfileGeneric
from dlms.cosem.profile_rows import Row
from dlms.cosem.registers import DataObject, Register
from dlms.cosem.units import ScalerUnit
from dlms.errors import (
    AccessRefusedError,
    ActionRefusedError,
    AssociationRefusedError,
    ServiceRefusedError,
)
from dlms.link.address import StationAddress
from dlms.security.counters import ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from tests.rig.dlms_socket import SocketClient, socket_client
from tests.rig.foreign import serving

LINKS = ("wrapper", "hdlc")
CLIENT_SAP = 16
STATION = StationAddress(1)
FIRST_MS = 1_767_206_700_000  # 2026-01-01 00:15 in India
QUARTER_MS = 900_000
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
TITLE, METER_TITLE = b"WPT\0\0\0\0\1", b"FOR\0\0\0\0\1"
PASSWORD = b"12345678"
CLOCK, NAME, IMPORT = Clock("0.0.1.0.0.255"), DataObject("0.0.42.0.0.255"), Register("1.0.1.8.0.255")
PROFILE, RELAY = ProfileGeneric("1.0.99.1.0.255"), DisconnectControl("0.0.96.3.10.255")
IMAGE = ImageTransfer("0.0.44.0.0.255")
IMAGE_BYTES = 65_536

PLAIN = AssociationSettings(client_sap=CLIENT_SAP)
LLS = AssociationSettings(client_sap=CLIENT_SAP, mechanism=Mechanism.LOW, secret=PASSWORD)
GMAC = AssociationSettings(
    client_sap=CLIENT_SAP, mechanism=Mechanism.HIGH_GMAC, keys=KEYS, system_title=TITLE, pdu_bytes_max=512
)
GENERAL = AssociationSettings(
    client_sap=CLIENT_SAP,
    mechanism=Mechanism.HIGH_GMAC,
    keys=KEYS,
    system_title=TITLE,
    form=CipherForm.GENERAL_GLOBAL,
    pdu_bytes_max=512,
)
CIPHERED = {
    "authentication": "gmac",
    "title": METER_TITLE.hex(),
    "encryption_key": KEYS.encryption.hex(),
    "authentication_key": KEYS.authentication.hex(),
}
Serve = Callable[..., SocketClient]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start the foreign meter and connect to it; called as `serve(link, **question)`."""
    with ExitStack() as stack:

        def start(link: str, **question: Any) -> SocketClient:
            told = stack.enter_context(serving("dlms-cosem", "dlms_cosem_server.py", {"link": link, **question}))
            return stack.enter_context(socket_client(told["port"], link, client=CLIENT_SAP, server=STATION))

        yield start


def association(settings: AssociationSettings) -> ClientAssociation:
    return ClientAssociation(
        settings, challenge=secrets.token_bytes(16), counters=ReservedCounter(1, lambda _bound: None)
    )


def moment(row: int) -> CosemDateTime:
    return CosemDateTime.from_utc_ms(FIRST_MS + row * QUARTER_MS, -330)


def expected_row(row: int) -> list[int]:
    return [FIRST_MS + row * QUARTER_MS, *(1000 * column + row for column in range(1, 8))]


def plain_row(row: Row) -> list[object]:
    """Return a row with its time in Unix ms; the foreign meter leaves the day of the week open."""
    when, *numbers = row
    assert isinstance(when, CosemDateTime)
    return [when.to_utc_ms(), *numbers]


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("settings", "question"),
    [
        (PLAIN, {}),
        (LLS, {"authentication": "lls", "secret": PASSWORD.hex()}),
        (GMAC, CIPHERED),
        (GENERAL, CIPHERED),
        (GMAC, {**CIPHERED, "bare_release": True, "invocation_counter": 5000}),
    ],
    ids=["none", "lls", "glo", "general-glo", "bare-release"],
)
def test_our_client_reads_writes_and_switches(
    serve: Serve, link: str, settings: AssociationSettings, question: dict[str, Any]
) -> None:
    line, meter = serve(link, **question), association(settings)
    granted = line.run(meter.open())
    assert granted.pdu_bytes_max == 512
    assert granted.server_title == (METER_TITLE if settings.is_ciphered else None)
    assert line.run(meter.get(CLOCK.time)).to_utc_ms() == FIRST_MS
    line.run(meter.set(CLOCK.time, moment(7)))
    assert line.run(meter.get(CLOCK.time)) == moment(7)
    assert line.run(meter.get(NAME.value.using(TEXT))) == "FOREIGN METER"
    missing = Register("1.0.99.99.0.255").value
    *found, gone = line.run(meter.get_many([IMPORT.value, IMPORT.scaler_unit, RELAY.control_mode, missing]))
    assert found == [123456, ScalerUnit(-1, 30), ControlMode.MODE_4]
    assert isinstance(gone, AccessRefusedError)
    assert gone.result == 4
    for closed, method in ((False, RELAY.remote_disconnect), (True, RELAY.remote_reconnect)):
        line.run(meter.invoke(method, 0))
        states = line.run(meter.get_many([RELAY.output_state, RELAY.control_state]))
        assert states == [closed, ControlState.CONNECTED if closed else ControlState.DISCONNECTED]
    line.run(meter.close())


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("settings", "question"), [(LLS, {}), (GMAC, CIPHERED)], ids=["lls", "gmac"])
def test_our_client_reads_a_day_in_blocks_by_range_and_by_entry(
    serve: Serve, link: str, settings: AssociationSettings, question: dict[str, Any]
) -> None:
    lls = {"authentication": "lls", "secret": PASSWORD.hex()}
    line, meter = serve(link, **(question or lls)), association(settings)
    line.run(meter.open())
    columns = line.run(meter.get(PROFILE.capture_objects))
    assert [column.class_id for column in columns] == [8] + [3] * 7
    assert line.run(meter.get(PROFILE.capture_period)) == 900
    rows = PROFILE.rows(columns)
    before = line.sends
    day = line.run(meter.get(rows, PROFILE.by_range(columns[0], moment(0), moment(95))))
    assert line.sends - before > 5
    assert [plain_row(row) for row in day] == [expected_row(row) for row in range(96)]
    hour = line.run(meter.get(rows, PROFILE.by_range(columns[0], moment(40), moment(43))))
    assert hour == day[40:44]
    assert line.run(meter.get(rows, PROFILE.by_entry(95, 96))) == day[-2:]
    line.run(meter.close())


@pytest.mark.req("A-13")
@pytest.mark.parametrize("link", LINKS)
def test_our_client_transfers_and_activates_an_image(serve: Serve, link: str) -> None:
    line, meter = serve(link, **CIPHERED), association(GMAC)
    image = hashlib.shake_256(b"an image").digest(IMAGE_BYTES)
    line.run(meter.open())
    size = line.run(meter.get(IMAGE.image_block_size))
    assert size == 200
    line.run(meter.invoke(IMAGE.image_transfer_initiate, ImageInitiation(b"WP-2", len(image))))
    for start in range(0, len(image), size):
        line.run(meter.invoke(IMAGE.image_block_transfer, ImageBlock(start // size, image[start : start + size])))
    assert line.run(meter.get(IMAGE.image_first_not_transferred_block_number)) == 328
    with pytest.raises(ActionRefusedError) as busy:
        line.run(meter.invoke(IMAGE.image_verify, 0))
    assert busy.value.result == 2
    statuses = [line.run(meter.get(IMAGE.image_transfer_status)) for _ in range(2)]
    assert statuses == [
        ImageTransferStatus.VERIFICATION_INITIATED,
        ImageTransferStatus.VERIFICATION_SUCCESSFUL,
    ]
    held = line.run(meter.get(IMAGE.image_to_activate_info))
    assert held == (ImageToActivate(len(image), b"WP-2", hashlib.sha256(image).digest()),)
    line.run(meter.invoke(IMAGE.image_activate, 0))
    assert line.run(meter.get(IMAGE.image_transfer_status)) is ImageTransferStatus.ACTIVATION_SUCCESSFUL
    line.run(meter.close())


@pytest.mark.req("A-1")
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(
    ("settings", "question"),
    [
        (
            AssociationSettings(client_sap=CLIENT_SAP, mechanism=Mechanism.LOW, secret=b"wrong"),
            {"authentication": "lls", "secret": PASSWORD.hex()},
        ),
        (PLAIN, {"authentication": "lls", "secret": PASSWORD.hex()}),
        (PLAIN, CIPHERED),
    ],
    ids=["password", "no-password", "unciphered"],
)
def test_what_the_foreign_meter_refuses_is_a_typed_error(
    serve: Serve, link: str, settings: AssociationSettings, question: dict[str, Any]
) -> None:
    line, meter = serve(link, **question), association(settings)
    with pytest.raises(AssociationRefusedError, match="authentication failure") as refusal:
        line.run(meter.open())
    assert (refusal.value.result, refusal.value.diagnostic) == (1, 13)
    assert not meter.is_open


@pytest.mark.req("A-1")
def test_a_request_the_foreign_meter_does_not_take_leaves_the_association_open(serve: Serve) -> None:
    line, meter = serve("wrapper", **CIPHERED), association(GMAC)
    line.run(meter.open())
    with pytest.raises(AccessRefusedError, match="read write denied"):
        line.run(meter.set(PROFILE.capture_period, 60))
    with pytest.raises((ActionRefusedError, ServiceRefusedError)):
        line.run(meter.invoke(PROFILE.reset, 0))
    assert line.run(meter.get(IMPORT.value)) == 123456
    line.run(meter.close())
