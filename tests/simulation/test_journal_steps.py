"""Commands through the journal: the power goes at every step of it, and ten thousand of them come in every disorder.

Where `SIM_SECONDS` is short both are thinned out.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.simulation.agenda import Agenda
from tests.simulation.box import Box
from tests.simulation.checks import journal_in_order, relays_as_decided
from tests.simulation.machine import Cut
from tests.simulation.model_cloud import ModelCloud
from tests.simulation.network import Network
from tests.simulation.options import Options, draw
from tests.simulation.parties import TREE
from tests.simulation.site import Site
from wire.facts import Stage
from wire.messages import Disconnect, Effect, Limit, Ping, Read, Reconnect

SECONDS = float(os.environ.get("SIM_SECONDS", "10"))
IS_LONG = SECONDS >= 60
COMMANDS = 10_000 if IS_LONG else 1_000
CALM = replace(
    draw(0),
    duration_ms=180_000,
    gateways=1,
    meters=1,
    seal_after_ms=0,
    rows_per_batch_max=500,
    facts_per_batch_max=128,
    window_max=32,
    store_bytes_max=2**29,
    group_max=1,
    loss=0.0,
    duplication=0.0,
    delay_ms_max=5,
    alterations=0.0,
    torn=True,
    wrong_clock=False,
    meter_failures=0.0,
    relay_failures=0.0,
)


class Rig:
    """One box with relays and a model of the cloud."""

    def __init__(self, folder: Path, options: Options, seed: int = 0) -> None:
        self.agenda = Agenda()
        self.network = Network(self.agenda, options, TREE)
        self.box = Box(
            self.agenda, self.network, Site(self.agenda, options, "gw-1"), options, name="gw-1", folder=folder
        )
        self.meters = list(self.box.site.houses)
        self.rng = random.Random(seed)
        self.cloud = ModelCloud(self.agenda, self.network, "gw-1", self.rng)

    def come_to_rest(self) -> None:
        """Let nothing fail any more and every command come to its end."""
        self.network.calm = True
        self.box.calm_down()
        for _ in range(200):
            self.agenda.run_until(self.agenda.now_ms + 20_000)
            for name in self.cloud.open():
                self.cloud.send(name)
            if not self.cloud.open() and self.box.station is not None and not self.unsettled_relays():
                return

    def unsettled_relays(self) -> list[str]:
        assert self.box.station is not None
        wanted = self.box.station.relays.wants_closed
        return [meter for meter, house in self.box.site.houses.items() if house.relay_closed != wanted(meter)]

    def faults(self) -> Iterator[str]:
        """Return what does not hold."""
        yield from self.box.violations
        yield from journal_in_order(self.box)
        yield from relays_as_decided(self.box)
        yield from (f"command {name.hex()} has no final receipt" for name in self.cloud.open())
        if not self.box.truth.was_set_back:
            for name, receipts in self.cloud.finals.items():
                if len(receipts) != 1:
                    yield f"command {name.hex()} has {len(receipts)} final receipts"


def run_scenario(folder: Path, cuts: dict[int, tuple[Cut, int]]) -> Rig:
    """Run a short life of a box: each effect, an older command after a newer one, everything twice."""
    folder.mkdir()
    rig = Rig(folder, CALM)
    rig.box.cuts = cuts
    rig.box.start()
    (meter,) = rig.meters
    effects: list[Effect] = [Disconnect(), Reconnect(), Limit(50), Read([]), Ping(), Disconnect(), Reconnect()]
    for number, effect in enumerate(effects):
        at_ms = 3_000 + number * 4_000
        rig.agenda.at(at_ms, partial(rig.cloud.issue, meter, effect, lasting_ms=120_000))
        rig.agenda.at(at_ms + 1_500, rig.cloud.send_latest)
    rig.agenda.run_until(40_000)
    rig.come_to_rest()
    return rig


def test_power_may_go_at_every_step_of_the_journal(tmp_path: Path) -> None:
    undisturbed = run_scenario(tmp_path / "undisturbed", {})
    assert list(undisturbed.faults()) == []
    transactions = undisturbed.box.transactions
    found: list[str] = []
    places = [(number, *cut) for number in range(transactions) for cut in _cuts_of(undisturbed, number)]
    assert len(places) > 200
    for number, cut, at in places[:: 1 if IS_LONG else 10]:
        rig = run_scenario(tmp_path / f"{number}-{cut.name}-{at}", {number: (cut, at)})
        found += [f"power cut {cut.name} {at} of transaction {number}: {fault}" for fault in rig.faults()]
        rig.box.close()
    undisturbed.box.close()
    assert not found, "\n".join(found[:20])


def _cuts_of(rig: Rig, number: int) -> Iterator[tuple[Cut, int]]:
    writes, effects = rig.box.sizes[number]
    yield Cut.BEFORE, 0
    yield from ((Cut.WITHIN, at) for at in range(writes + 1))
    yield Cut.COMMITTING, 0
    yield from ((Cut.PERFORMING, at) for at in range(effects + 1))


@pytest.mark.timeout(300)
def test_thousands_of_commands_in_every_disorder(tmp_path: Path) -> None:
    options = replace(
        CALM,
        meters=3,
        duration_ms=3_600_000,
        group_max=20,
        loss=0.2,
        duplication=0.2,
        delay_ms_max=30_000,
        relay_failures=0.3,
        meter_failures=0.3,
    )
    rig = Rig(tmp_path, options)
    rig.box.start()
    rng = rig.rng
    copies = []
    for number in range(COMMANDS):
        rig.cloud.issue(rng.choice(rig.meters), _any_effect(rng), lasting_ms=rng.choice([500, 20_000, 300_000]))
        if rng.random() < 0.3:
            rig.cloud.send(rng.choice(list(rig.cloud.commands)[-50:]))
        if rng.random() < 0.05:
            rig.network.send_again()
        if rng.random() < 0.02:
            rig.box.crash_soon()
        if rng.random() < 0.01:
            rig.box.site.reset_relay()
        if number % 100 == 50:
            copies.append(rig.box.copy())
        if number % 700 == 699:
            assert not list(journal_in_order(rig.box)) if rig.box.station is not None else True
            rig.box.set_back(*rng.choice(copies))
        rig.agenda.run_until(rig.agenda.now_ms + rng.choice([0, 10, 1_000, 5_000]))
    rig.come_to_rest()
    found = list(rig.faults())
    stages = [receipts[0].stage for receipts in rig.cloud.finals.values()]
    rig.box.close()
    assert not found, "\n".join(found[:20])
    assert len(rig.cloud.finals) == COMMANDS
    assert {Stage.EXECUTED, Stage.SUPERSEDED, Stage.EXPIRED} <= set(stages)


def _any_effect(rng: random.Random) -> Effect:
    effects: list[Effect] = [Disconnect(), Reconnect(), Limit(rng.choice([None, 10])), Read([]), Ping()]
    return rng.choice(effects)
