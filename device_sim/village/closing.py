"""The end of the demo: the meters fall silent, the gateways deliver what they hold, and both ends are counted.

What the count means is `accounting`'s decision; here the two ends are read, again and again until they agree or the
time is over.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from device_sim.village.accounting import Account, Excuse, HeldOfMeter, Sent, compare, given_up, percentile
from device_sim.village.configuration import ANSWER_MS_MAX, DLMS_ANSWER_MS_MAX, DLMS_RETRIES_MAX
from device_sim.village.rows import BLOCK_ENERGY, ENERGY, Captured, compare_rows, owed_until
from device_sim.village.story import unseen
from wire.messages import Ping, State

if TYPE_CHECKING:
    from pathlib import Path

    from device_sim.village.director import Director
    from device_sim.village.installation import Installation
    from device_sim.village.integrator import Integrator
    from device_sim.village.scene import Scene
    from device_sim.village.story import Seen

DRAIN_S_MAX: Final = 45.0
AGAIN_S: Final = 1.5
GIVEN_UP_MS_MAX: Final = ANSWER_MS_MAX + 450
"""How long a read of many parts may have gone on, real ms, until its gateway gave it up."""
DLMS_GIVEN_UP_MS_MAX: Final = (DLMS_RETRIES_MAX + 1) * DLMS_ANSWER_MS_MAX + 450
LATE_MS_MAX: Final = 1_500
"""How late an answer may come, real ms: a gateway leaves a meter that failed alone for two seconds."""
NEIGHBOUR_SHARE_MIN: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the demo measured."""

    gateways: int
    meters: int
    account: Account
    latencies_ms: list[float]
    """From request to executed status."""
    commands_failed: int
    batch_bytes: int
    outages_survived: int
    neighbours_per_hour: float
    """Readings of each house beside the dead meter, an hour, while it was dead ..."""
    others_per_hour: float
    """... and of each house elsewhere."""
    missing: list[Seen]
    """What did not happen of the story."""

    def to_json(self) -> dict[str, int | float]:
        """Return the numbers a program asks for."""
        account = self.account
        return {
            "gateways": self.gateways,
            "meters": self.meters,
            "readings_taken": account.taken,
            "readings_committed": account.committed,
            "readings_lost": account.lost,
            "readings_duplicated": account.doubled,
            "commands_executed": len(self.latencies_ms),
            "commands_failed": self.commands_failed,
            "command_latency_ms_p50": round(percentile(self.latencies_ms, 0.50), 1),
            "command_latency_ms_p99": round(percentile(self.latencies_ms, 0.99), 1),
            "bytes_per_value": round(self.bytes_per_value, 3),
            "outages_survived": self.outages_survived,
        }

    @property
    def bytes_per_value(self) -> float:
        """Signed bytes of all committed batches, events and receipts included, by values in the database."""
        return self.batch_bytes / max(self.account.values, 1)

    def problems(self) -> list[str]:
        """Return what went wrong, in words; nothing if all went well."""
        account = self.account
        found = [f"it was not seen that {each.value}" for each in self.missing]
        if account.lost:
            found.append(f"{account.lost} readings are missing, of {', '.join(sorted(+account.lost_of))}")
        if account.doubled:
            found.append(f"{account.doubled} readings are there twice or were never taken")
        if not account.taken:
            found.append("no reading was taken")
        if self.commands_failed:
            found.append(f"{self.commands_failed} commands were not executed")
        if self.neighbours_per_hour < NEIGHBOUR_SHARE_MIN * self.others_per_hour:
            found.append("the dead meter cost its neighbours readings")
        return found


async def close_accounts(
    installation: Installation, scene: Scene, integrator: Integrator, director: Director
) -> Result:
    """Stop taking readings, wait until everything has come, and count."""
    scene.phase = "the meters fall silent; gateways send what they hold"
    for house in installation.cast.houses.values():
        await installation.control.set_dead(house.meter, dead=True)
    # A read of which a part was answered is given up when its next part is not.
    await asyncio.sleep(DLMS_GIVEN_UP_MS_MAX / 1000)
    await installation.control.given()
    truth = read_truth(installation.plan.folder / "truth.jsonl")
    account = await _drained(installation, integrator, truth, scene)
    scene.phase = ""
    neighbours, others = _per_hour(installation, truth.sent, director.dead_span_ms)
    return Result(
        gateways=len(installation.cast.gateways),
        meters=len(installation.cast.houses),
        account=account,
        latencies_ms=[item.latency_ms for item in integrator.outcomes if item.state is State.EXECUTED],
        commands_failed=sum(item.state is not State.EXECUTED for item in integrator.outcomes),
        batch_bytes=scene.batch_bytes,
        outages_survived=scene.outages_survived,
        neighbours_per_hour=neighbours,
        others_per_hour=others,
        missing=unseen(frozenset(scene.seen)),
    )


@dataclass(slots=True)
class TruthTold:
    """What the simulator logged."""

    sent: list[Sent]
    rows: list[Captured]


class _Kind(msgspec.Struct, frozen=True):
    """What every line of the log says."""

    kind: str


def read_truth(path: Path) -> TruthTold:
    """Return what the simulator logged."""
    told = TruthTold([], [])
    for line in path.read_bytes().splitlines():
        match msgspec.json.decode(line, type=_Kind).kind:
            case "energy":
                told.sent.append(msgspec.json.decode(line, type=Sent))
            case "row":
                told.rows.append(msgspec.json.decode(line, type=Captured))
            case _:
                continue
    return told


async def _drained(installation: Installation, integrator: Integrator, truth: TruthTold, scene: Scene) -> Account:
    """Count until both ends agree, or the time is over."""
    deadline_s = asyncio.get_running_loop().time() + DRAIN_S_MAX
    while True:
        await asyncio.sleep(AGAIN_S)
        held = {channel: await _held(installation, channel) for channel in (BLOCK_ENERGY, ENERGY)}
        of_rows = compare_rows(truth.rows, held, owed_until(truth.sent))
        account = compare(truth.sent, held[ENERGY], _excuses(installation, integrator))
        account.add(of_rows)
        if account.is_even or asyncio.get_running_loop().time() > deadline_s:
            return account
        scene.phase = f"counting: {account.lost} readings are still on their way"


async def _held(installation: Installation, channel: str) -> list[HeldOfMeter]:
    a, b, *rest = channel.split(".")
    lines = (await installation.export(f"{a}-{b}:{'.'.join(rest)}")).splitlines()
    return [msgspec.json.decode(line, type=HeldOfMeter) for line in lines]


def _excuses(installation: Installation, integrator: Integrator) -> list[Excuse]:
    rate = installation.plan.clock.rate
    excuses = [
        Excuse(outcome.meter, outcome.from_ms, outcome.until_ms)
        for outcome in integrator.outcomes
        if isinstance(outcome.effect, Ping)
    ]
    houses = installation.cast.houses.values()
    before_ms = {each.meter: (DLMS_GIVEN_UP_MS_MAX if each.is_dlms else GIVEN_UP_MS_MAX) * rate for each in houses}
    for gateway in installation.cast.gateways:
        with (installation.plan.folder / "logs" / f"{gateway}.log").open("rb") as log:
            excuses += given_up(log, before_ms=before_ms, after_ms=LATE_MS_MAX * rate)
    return excuses


def _per_hour(installation: Installation, sent: list[Sent], span_ms: tuple[int, int]) -> tuple[float, float]:
    """Return how often an hour those on the dead meter's line, and on other such lines, were read while it was dead."""
    cast = installation.cast
    from_ms, until_ms = span_ms
    hours = max(until_ms - from_ms, 1) / 3_600_000
    modbus = [house for house in cast.houses.values() if not house.is_dlms]
    beside = {house.meter for house in modbus if house.line == cast.broken.line} - {cast.broken.meter}
    elsewhere = {house.meter for house in modbus if house.line != cast.broken.line}

    def rate(meters: set[str]) -> float:
        count = sum(item.meter in meters and from_ms <= item.at_ms < until_ms for item in sent)
        return count / len(meters) / hours

    return rate(beside), rate(elsewhere)


def summary_rows(result: Result) -> list[tuple[str, Any]]:
    """Return the summary in a visitor's words."""
    account = result.account
    numbers = result.to_json()
    rows: list[tuple[str, Any]] = [
        ("meters read by gateways", f"{result.meters} by {result.gateways}"),
        ("readings the meters gave", f"{account.taken:,}"),
        ("readings in the database", f"{account.committed:,}"),
        ("of these captured by the meters themselves", f"{account.rows:,}"),
        ("lost", account.lost),
        ("there twice", account.doubled),
        ("network outages survived", result.outages_survived),
        ("commands executed, failed", f"{len(result.latencies_ms)}, {result.commands_failed}"),
        (
            "from request to executed",
            f"{numbers['command_latency_ms_p50']:.0f} ms (median), {numbers['command_latency_ms_p99']:.0f} ms (p99)",
        ),
        ("signed bytes for each value", f"{result.bytes_per_value:.2f}"),
        (
            "readings an hour beside the dead meter",
            f"{result.neighbours_per_hour:.2f}; elsewhere {result.others_per_hour:.2f}",
        ),
    ]
    if account.excused:
        rows.append(("answers no gateway was to keep", f"{account.excused} (pings, reads given up)"))
    return rows
