"""A firmware image arrives whole or not at all, whatever breaks on its way."""

from pathlib import Path
from random import Random

import pytest

from device_sim.core.is15959.firmware import make_image
from dlms.cosem.image_transfer import ImageInitiation, ImageToActivate
from gateway.adapters.dlms.images import Image, ImageProgress, Stage
from gateway.meter_commands import push_whole
from gateway.ports import DisagreedError, MeterRefusedError, MeterUnavailableError
from tests.integration.gateway.dlms.gateway_side import KINDS, Joined, joined

BLOCKS = 40
CONTENT = make_image("2.0.0", Random(7).randbytes(200 * BLOCKS - 46))


def an_image(content: bytes = CONTENT) -> Image:
    return Image(b"FW-2.0.0", content)


async def until(side: Joined, stage: Stage, image: Image, *, activates: bool = True) -> list[ImageProgress]:
    """Push pieces, and let the meter's time go on between them."""
    seen = []
    for _ in range(200):
        seen.append(await side.driver.push_image("m1", image, activates=activates, blocks_max=7))
        if seen[-1].stage is stage:
            return seen
        side.clock.ahead_ms += 2_000
    raise AssertionError(f"never {stage}: {seen[-1]}")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_is_transferred_verified_and_activated(tmp_path: Path, kind: str) -> None:
    async with joined(tmp_path, kind) as side:
        seen = await until(side, Stage.ACTIVE, an_image())
        assert [each.stage for each in seen if each.stage is not Stage.TRANSFERRING][0] is Stage.VERIFYING  # noqa: RUF015
        assert seen[0].blocks_total == BLOCKS
        assert [each.blocks_done for each in seen] == sorted(each.blocks_done for each in seen)
        assert side.sim.firmware.version == "2.0.0"


async def test_an_image_that_is_only_to_be_verified_is_not_activated(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await until(side, Stage.VERIFIED, an_image(), activates=False)
        assert side.sim.firmware.version == "1.0.0"
        assert (await side.driver.push_image("m1", an_image(), activates=False)).stage is Stage.VERIFIED


async def test_after_a_break_and_a_restart_only_what_is_missing_is_sent(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        taken: list[int] = []
        put = side.sim.firmware.put
        side.sim.firmware.put = lambda block: (taken.append(block.number), put(block))[1]  # type: ignore[method-assign]
        await side.driver.push_image("m1", an_image(), activates=True, blocks_max=15)
        # Everything the meter says from now on is lost, amid a block.
        side.line.faults = [None, None, None, None, None, None, *[lambda _: []] * 100]
        with pytest.raises(MeterUnavailableError):
            await side.driver.push_image("m1", an_image(), activates=True, blocks_max=15)
        side.line.faults = []
        side.restarted()
        await until(side, Stage.ACTIVE, an_image())
        assert sorted(set(taken)) == list(range(BLOCKS))
        assert len(taken) <= BLOCKS + 1, "at most the block whose answer was lost goes twice"


async def test_another_image_than_the_one_under_way_begins_anew(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await side.driver.push_image("m1", an_image(), activates=True, blocks_max=10)
        other = an_image(make_image("3.0.0", b"x" * 1_000))
        await until(side, Stage.ACTIVE, other)
        assert side.sim.firmware.version == "3.0.0"


async def test_a_bad_image_is_told_and_does_not_run(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        with pytest.raises(DisagreedError, match="finds the image bad"):
            await until(side, Stage.ACTIVE, an_image(CONTENT[:-1] + b"?"))
        assert side.sim.firmware.version == "1.0.0"


async def test_an_image_that_somebody_else_put_there_meanwhile_is_not_activated(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        await until(side, Stage.VERIFIED, an_image(), activates=False)
        side.sim.firmware.to_activate = (ImageToActivate(99, b"theirs", b""),)
        with pytest.raises(DisagreedError, match="another image"):
            await side.driver.push_image("m1", an_image(), activates=True)
        assert side.sim.firmware.version == "1.0.0"


async def test_a_transfer_that_somebody_else_began_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.firmware.initiate(ImageInitiation(b"theirs", len(CONTENT)))
        await until(side, Stage.ACTIVE, an_image())
        assert side.sim.firmware.version == "2.0.0"


async def test_a_meter_that_takes_no_images_refuses(tmp_path: Path) -> None:
    async with joined(tmp_path) as side:
        side.sim.firmware.is_enabled = False
        with pytest.raises(MeterRefusedError, match="not enabled"):
            await side.driver.push_image("m1", an_image(), activates=True)


async def test_a_whole_transfer_bears_losses(tmp_path: Path) -> None:
    async with joined(tmp_path, verify_ms=10, activate_ms=10) as side:
        rng = Random(3)
        side.line.faults = [(lambda _: []) if rng.random() < 0.05 else None for _ in range(400)]
        told: list[ImageProgress] = []
        done = await push_whole(side.driver, "m1", an_image(), activates=True, tell=told.append, pause_s=0.01)
        assert done.stage is Stage.ACTIVE
        assert side.sim.firmware.version == "2.0.0"
        assert told[-1] == done
