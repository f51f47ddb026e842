"""Firmware images: made, transferred, verified, activated."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim.core.is15959.clock import MINUTE_MS
from device_sim.core.is15959.firmware import image_version, make_image
from dlms.axdr.datetimes import CosemDate, CosemTime
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageTransfer, ImageTransferStatus
from dlms.cosem.registers import DataObject
from dlms.cosem.schedules import ExecutionTime, SingleActionSchedule
from tests.unit.device_sim.core.is15959.bench import HOUR_MS, NOON_MS, TRANSACTION_LOG, Bench

IMAGE = ImageTransfer("0.0.44.0.0.255")
VERSION = DataObject("1.0.0.2.0.255").value
NEW = make_image("2.0.1", bytes(range(250)) * 5)
FIRMWARE = 80


def send(bench: Bench, image: bytes, numbers: range | None = None) -> None:
    size = bench.read(IMAGE.image_block_size, client=FIRMWARE)
    for number in numbers if numbers is not None else range(-(-len(image) // size)):
        block = ImageBlock(number, image[number * size : (number + 1) * size])
        bench.invoke(IMAGE.image_block_transfer, block, FIRMWARE)


def initiate(bench: Bench, image: bytes) -> None:
    bench.invoke(IMAGE.image_transfer_initiate, ImageInitiation(b"image-1", len(image)), FIRMWARE)


def verify(bench: Bench) -> int:
    return bench.refused(lambda: bench.invoke(IMAGE.image_verify, 0, FIRMWARE))


def test_image_runs_after_transfer_verification_and_activation(bench: Bench) -> None:
    initiate(bench, NEW)
    send(bench, NEW)
    assert verify(bench) == 2
    assert bench.read(IMAGE.image_transfer_status) is ImageTransferStatus.VERIFICATION_INITIATED
    assert verify(bench) == 2
    bench.wait(5_000)
    bench.invoke(IMAGE.image_verify, 0, FIRMWARE)
    (ready,) = bench.read(IMAGE.image_to_activate_info)
    assert (ready.size_bytes, ready.identification, ready.signature) == (len(NEW), b"image-1", NEW[-32:])
    assert bench.read(VERSION) == b"1.0.0"
    bench.invoke(IMAGE.image_activate, 0, FIRMWARE)
    assert bench.refused(lambda: bench.invoke(IMAGE.image_activate, 0, FIRMWARE)) == 2
    bench.wait(10_000)
    assert bench.read(VERSION) == b"2.0.1"
    assert bench.read(IMAGE.image_transfer_status) is ImageTransferStatus.ACTIVATION_SUCCESSFUL
    assert bench.codes(TRANSACTION_LOG) == [157]


def test_transfer_can_be_taken_up_where_it_stopped(bench: Bench) -> None:
    initiate(bench, NEW)
    send(bench, NEW, range(3))
    send(bench, NEW, range(5, 6))
    assert bench.read(IMAGE.image_first_not_transferred_block_number) == 3
    assert int(bench.read(IMAGE.image_transferred_blocks_status)) == 0b1110010
    assert verify(bench) == 250
    bench.meter.fail_power(now_ms=NOON_MS + 1000)
    bench.meter.restore_power(now_ms=NOON_MS + HOUR_MS)
    send(bench, NEW, range(3, 7))
    assert bench.read(IMAGE.image_first_not_transferred_block_number) == 7
    assert verify(bench) == 2


def test_bad_image_fails_verification_and_is_not_activated(bench: Bench) -> None:
    bad = NEW[:-1] + bytes((NEW[-1] ^ 1,))
    initiate(bench, bad)
    send(bench, bad)
    assert verify(bench) == 2
    bench.wait(MINUTE_MS)
    assert verify(bench) == 250
    assert bench.read(IMAGE.image_transfer_status) is ImageTransferStatus.VERIFICATION_FAILED
    assert bench.refused(lambda: bench.invoke(IMAGE.image_activate, 0, FIRMWARE)) == 250
    assert bench.read(IMAGE.image_to_activate_info) == ()
    initiate(bench, NEW)
    assert bench.read(IMAGE.image_first_not_transferred_block_number) == 0


def test_blocks_that_do_not_belong_are_refused(bench: Bench) -> None:
    def put(number: int, value: bytes) -> int:
        return bench.refused(lambda: bench.invoke(IMAGE.image_block_transfer, ImageBlock(number, value), FIRMWARE))

    assert put(0, bytes(200)) == 250
    initiate(bench, NEW)
    assert put(7, bytes(200)) == 250
    assert put(0, bytes(199)) == 12
    assert put(6, bytes(200)) == 12


def test_image_of_no_or_too_many_bytes_is_refused(bench: Bench) -> None:
    for size in (0, (1 << 20) + 1):
        wanted = ImageInitiation(b"x", size)
        assert bench.refused(partial(bench.invoke, IMAGE.image_transfer_initiate, wanted)) == 250


def test_disabled_transfer_is_refused(bench: Bench) -> None:
    bench.write(IMAGE.image_transfer_enabled, False)
    assert bench.refused(lambda: initiate(bench, NEW)) == 3


def test_new_transfer_waits_for_verification(bench: Bench) -> None:
    initiate(bench, NEW)
    send(bench, NEW)
    verify(bench)
    assert bench.refused(lambda: initiate(bench, NEW)) == 2


def test_verified_image_is_activated_at_its_time(bench: Bench) -> None:
    rule = ExecutionTime(CosemTime.of(hour=20, minute=0, second=0), CosemDate.of())
    bench.write(SingleActionSchedule("0.0.15.0.2.255").execution_time, (rule,), FIRMWARE)
    initiate(bench, NEW)
    send(bench, NEW)
    verify(bench)
    bench.wait(2 * HOUR_MS + 30 * MINUTE_MS)
    assert bench.read(VERSION) == b"1.0.0"
    bench.wait(10_000)
    assert bench.read(VERSION) == b"2.0.1"


def test_meter_that_verifies_at_once_never_says_busy(new_bench: Callable[..., Bench]) -> None:
    bench = new_bench(verify_ms=0)
    initiate(bench, NEW)
    send(bench, NEW)
    bench.invoke(IMAGE.image_verify, 0, FIRMWARE)
    assert bench.read(IMAGE.image_transfer_status) is ImageTransferStatus.VERIFICATION_SUCCESSFUL


@given(st.binary(max_size=80))
def test_other_bytes_are_no_image(image: bytes) -> None:
    assert image_version(image) is None


@given(version=st.text("0123456789.", min_size=1, max_size=32), payload=st.binary(max_size=60), at=st.integers(0, 150))
def test_image_says_its_version_unless_one_bit_is_wrong(version: str, payload: bytes, at: int) -> None:
    image = make_image(version, payload)
    assert image_version(image) == version
    spoilt = bytearray(image)
    spoilt[at % len(image)] ^= 1
    assert image_version(bytes(spoilt)) is None


def test_version_of_no_or_too_many_letters_is_none() -> None:
    for version in ("", "x" * 33):
        with pytest.raises(ValueError, match="version"):
            make_image(version, b"")
