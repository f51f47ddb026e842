"""The gateway's DLMS driver against a meter made from the classes of dlms-cosem 21.3.2, behind a real socket."""

import hashlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from dlms.apdu.acse import Mechanism
from dlms.client.settings import AssociationSettings
from dlms.cosem.clock import Clock
from dlms.cosem.control import ControlState
from dlms.cosem.image_transfer import ImageToActivate, ImageTransfer
from dlms.cosem.registers import Register
from dlms.cosem.units import ScalerUnit
from dlms.security.keys import Keys
from gateway.adapters.dlms.access import Access, DlmsMeter, Role
from gateway.adapters.dlms.carriers import TcpCarrier
from gateway.adapters.dlms.controls import RelaySight
from gateway.adapters.dlms.driver import DlmsDriver
from gateway.adapters.dlms.images import BLOCKS_MAX, Image, ImageProgress, Stage
from gateway.adapters.modbus import TcpLine
from tests.integration.gateway.dlms.gateway_side import our_driver, the_profile
from tests.integration.gateway.dlms.site import MemoryShelf, SiteClock
from tests.rig.foreign import serving

LINKS = ("wrapper", "hdlc")
METER = "m-1"
FIRST_MS = 1_767_206_700_000  # 2026-01-01 00:15 in India
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
CIPHERED = {
    "authentication": "gmac",
    "title": b"FOR\0\0\0\0\1".hex(),
    "encryption_key": KEYS.encryption.hex(),
    "authentication_key": KEYS.authentication.hex(),
}
IMAGE_BYTES = 65_536
BLOCK_BYTES = 200


@pytest.fixture(params=LINKS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """The link, and the port of a foreign meter on it."""
    with serving("dlms-cosem", "dlms_cosem_server.py", {"link": request.param, **CIPHERED}) as told:
        yield request.param, told["port"]


@pytest.fixture
async def driver(served: tuple[str, int]) -> Any:
    link, port = served
    settings = AssociationSettings(
        mechanism=Mechanism.HIGH_GMAC, keys=KEYS, system_title=b"WPT\0\0\0\0\1", pdu_bytes_max=512
    )
    access = Access(settings, None)
    roles = MappingProxyType(dict.fromkeys((Role.READING, Role.CONTROL, Role.FIRMWARE), access))
    meter = DlmsMeter(id=METER, profile=the_profile(), logical=1, roles=roles)
    carrier = TcpCarrier(TcpLine(host="127.0.0.1", port=port))
    ours = our_driver(carrier, SiteClock(), MemoryShelf(), meter, is_hdlc=link == "hdlc", answer_ms_max=2_000)
    yield ours
    ours.reset()


@pytest.mark.req("A-1")
async def test_the_driver_reads_attributes_with_their_scalers(driver: DlmsDriver) -> None:
    energy, missing = Register("1.0.1.8.0.255").value, Register("1.0.99.99.0.255").value
    found, gone, clock = await driver.attributes(METER, [energy, missing, Clock("0.0.1.0.0.255").time])
    assert (found.value, found.scaler_unit) == (123456, ScalerUnit(-1, 30))
    assert gone.refusal
    shown: Any = clock.value
    assert shown.to_utc_ms() == FIRST_MS


@pytest.mark.req("A-1")
async def test_the_driver_switches_the_relay_and_reads_it_back(driver: DlmsDriver) -> None:
    assert await driver.switch_relay(METER, closed=False) == RelaySight(False, ControlState.DISCONNECTED)
    assert await driver.relay_state(METER) is False
    assert await driver.switch_relay(METER, closed=True) == RelaySight(True, ControlState.CONNECTED)
    assert await driver.read_relay(METER) == RelaySight(True, ControlState.CONNECTED)


@pytest.mark.req("A-13")
async def test_the_driver_brings_in_an_image_piece_by_piece(driver: DlmsDriver) -> None:
    image = Image(b"WP-2", hashlib.shake_256(b"an image").digest(IMAGE_BYTES))
    pieces = []
    for _ in range(10):
        pieces.append(await driver.push_image(METER, image, activates=False))
        if pieces[-1].stage is not Stage.TRANSFERRING:
            break
    blocks = -(-IMAGE_BYTES // BLOCK_BYTES)
    assert [piece.blocks_done for piece in pieces] == [*range(BLOCKS_MAX, blocks, BLOCKS_MAX), blocks]
    assert pieces[-1] == ImageProgress(Stage.VERIFYING, blocks, blocks)
    (there,) = await driver.attributes(METER, [ImageTransfer("0.0.44.0.0.255").image_to_activate_info])
    held: Any = there.value
    assert held == (ImageToActivate(IMAGE_BYTES, image.identifier, image.digest),)
