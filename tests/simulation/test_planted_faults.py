"""The worlds can see: a fault that is planted in a part is found within a few seeds, and as what it is."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from cloud.effects import Publish
from cloud.headend.adapters.intake import Intake
from cloud.headend.core.admission import AdmittedBatch
from gateway.core.effects import DriveRelay, Effect, SendBatch
from gateway.core.store import StoredCommand
from tests.simulation.box import Box
from tests.simulation.cloud_side import Cloud
from tests.simulation.disk import Disk
from tests.simulation.one_step import HandlerDiedError
from tests.simulation.options import HOUR_MS, MINUTE_MS, Options, draw
from tests.simulation.quiet import quiet_logs
from tests.simulation.truth import RecordingStore
from tests.simulation.world import Parts, run_world
from wire.messages import Ack
from wire.runtime.mqtt import Message

SEEDS_MAX = 40


class TrustsTheBroker(Box):
    """A gateway that forgets a batch once it is published."""

    def _perform(self, effect: Effect) -> None:
        super()._perform(effect)
        if isinstance(effect, SendBatch):
            with self.store.transaction():
                self.store.mark_committed(effect.digest, epoch=1, position=0)


class ActsOnOldDecisions(Box):
    """A gateway that does not ask just before it drives a relay."""

    def _is_wanted(self, drive: DriveRelay) -> bool:  # noqa: ARG002
        return True


class _WithoutFloors(RecordingStore):
    def floor(self, meter: str, effect: str) -> int:  # noqa: ARG002
        return 0


class ForgetsVersions(Box):
    """A gateway that runs commands in the order they come."""

    store_class = _WithoutFloors


class _WithoutMemory(RecordingStore):
    def command(self, command: bytes) -> StoredCommand | None:  # noqa: ARG002
        return None


class ForgetsCommands(Box):
    """A gateway that does not know a command again."""

    store_class = _WithoutMemory


class _HoardsPoints(RecordingStore):
    def drop_entries(self, digests: Sequence[bytes]) -> None:  # noqa: ARG002
        return


class KeepsWhatWasClosed(Box):
    """A gateway that leaves register points on its disk that a statement stands for."""

    store_class = _HoardsPoints


class _HoardsFacts(RecordingStore):
    def drop_down_fact(self, fact: bytes) -> None:  # noqa: ARG002
        return


class KeepsWhatWasSuperseded(Box):
    """A gateway that leaves facts on its disk that others have taken the place of."""

    store_class = _HoardsFacts


class _LyingDisk(Disk):
    def lose_power(self, *, rng: random.Random, torn: bool, within_commit: bool) -> None:  # noqa: ARG002
        self._safe_bytes, self._main_stamp = 0, self._stamp()
        super().lose_power(rng=rng, torn=torn, within_commit=True)


class HasALyingDisk(Box):
    """A gateway whose disk says that it wrote what it only will."""

    disk_class = _LyingDisk


class _HastyIntake(Intake):
    async def handle(self, messages: Sequence[Message]) -> list[Publish]:
        try:
            return await super().handle(messages)
        except HandlerDiedError:
            judged = [item for item in await self.judge(messages) if isinstance(item, AdmittedBatch)]
            return [self._ack(item.gateway, _ack_of(item.digest)) for item in judged]


def _ack_of(digest: bytes) -> Ack:
    return Ack(epoch=1, position=1, committed=[digest], quarantined=[])


class AcknowledgesBeforeTheCommit(Cloud):
    """A cloud that acknowledges what it has not committed."""

    intake_class = _HastyIntake


class ForgetsItsEpoch(Cloud):
    """A cloud that is set back to a backup and does not say so."""

    def raise_epoch(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Planted:
    parts: Parts
    forced: dict[str, object]
    """Options that give the fault a chance."""
    seen_as: str


CRASHES: dict[str, object] = {"crashes": 5, "duration_ms": 20 * MINUTE_MS}
COMMANDS: dict[str, object] = {
    "requests": 25,
    "gateways": 1,
    "meters": 1,
    "duration_ms": 3 * MINUTE_MS,
    "duplication": 0.4,
    "delay_ms_max": 30_000,
}
CLOSES: dict[str, object] = {
    "closings": 8,
    "close_every_ms": 1,
    "close_lag_ms": 0,
    "polls": 8,
    "crashes": 0,
    "duration_ms": 3 * HOUR_MS,
}
PLANTED = {
    "a gateway keeps what was closed": Planted(
        Parts(box=KeepsWhatWasClosed), CLOSES, "on the disk that a statement stands for"
    ),
    "a gateway keeps superseded facts": Planted(Parts(box=KeepsWhatWasSuperseded), CLOSES, "other facts of the cloud"),
    "a gateway trusts the broker": Planted(Parts(box=TrustsTheBroker), {"loss": 0.3}, "the cloud lacks"),
    "a gateway acts on old decisions": Planted(
        Parts(box=ActsOnOldDecisions), COMMANDS | {"credit_minor": 200, "duration_ms": 3 * MINUTE_MS}, "over holds"
    ),
    "a gateway forgets versions": Planted(Parts(box=ForgetsVersions), COMMANDS | {"loss": 0.4}, "after a newer one"),
    "a gateway forgets commands": Planted(Parts(box=ForgetsCommands), COMMANDS, "started 2 times"),
    "a disk lies": Planted(Parts(box=HasALyingDisk), CRASHES | {"torn": True}, "the cloud lacks"),
    "a cloud acknowledges before the commit": Planted(
        Parts(cloud=AcknowledgesBeforeTheCommit), {"cloud_crashes": 8}, "the cloud lacks"
    ),
    "a cloud forgets its epoch": Planted(Parts(cloud=ForgetsItsEpoch), {"cloud_set_backs": 2}, "the cloud lacks"),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_fault_is_found(name: str) -> None:
    quiet_logs()
    planted = PLANTED[name]
    seen: list[str] = []
    for seed in range(SEEDS_MAX):
        options: Options = replace(draw(seed), **planted.forced)  # type: ignore[arg-type]
        seen += run_world(options, planted.parts).violations
        if any(planted.seen_as in line for line in seen):
            return
    pytest.fail(f"not found within {SEEDS_MAX} worlds; seen: {seen[:5]}")
