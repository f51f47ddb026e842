"""What a meter's witness sees: all that the meter keeps, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from device_sim.core.faults import Faults
from device_sim.core.is15959.codes import Event
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate
from device_sim.core.is15959.witness import Captured
from device_sim.core.supply import Supply
from dlms.cosem.control import DisconnectControl
from dlms.obis import obis
from tests.unit.device_sim.core.is15959.bench import BLOCK, DAILY, HOUR_MS, NOON_MS, OTHER_LOG, Bench

RELAY = DisconnectControl("0.0.96.3.10.255")


@dataclass
class Notes:
    rows: list[Captured] = field(default_factory=list)
    events: list[tuple[int, int, bytes]] = field(default_factory=list)
    moves: list[tuple[bool, int]] = field(default_factory=list)
    energies: list[int] = field(default_factory=list)

    def captured(self, captured: Captured) -> None:
        self.rows.append(captured)

    def occurred(self, code: int, sequence: int, captured: Captured) -> None:
        self.events.append((code, sequence, captured.name))

    def switched(self, *, is_closed: bool, at_ms: int) -> None:
        self.moves.append((is_closed, at_ms))

    def energy_read(self, energy_wh: int, *, at_ms: int) -> None:
        del at_ms
        self.energies.append(energy_wh)


def watched(make_supply: Callable[..., Supply]) -> tuple[Bench, Notes]:
    supply, notes = make_supply(), Notes()
    settings = MeterSettings(nameplate=Nameplate(serial="00000001"))
    meter = Is15959Meter(settings, supply=supply, faults=Faults((), rng=Random(1)), now_ms=NOON_MS, witness=notes)
    return Bench(meter, supply), notes


def test_every_row_that_is_kept_was_seen(make_supply: Callable[..., Supply]) -> None:
    bench, notes = watched(make_supply)
    bench.wait(24 * HOUR_MS)
    seen = [each.row for each in notes.rows if each.name == BLOCK.name]
    assert len(seen) == 96
    assert bench.read_raw(BLOCK.buffer)[2:] == b"".join(seen)
    assert [each.row for each in notes.rows if each.name == DAILY.name] == [bench.read_raw(DAILY.buffer)[2:]]
    assert [each.at_ms for each in notes.rows[:2]] == [NOON_MS + HOUR_MS // 4, NOON_MS + HOUR_MS // 2]


def test_events_are_seen_with_their_number_in_the_log(make_supply: Callable[..., Supply]) -> None:
    bench, notes = watched(make_supply)
    for code in (Event.MAGNET, Event.MAGNET_ENDED):
        bench.meter.happen(code, now_ms=NOON_MS + HOUR_MS)
    assert notes.events == [(201, 1, OTHER_LOG.name), (202, 2, OTHER_LOG.name)]


def test_an_event_that_a_full_log_has_no_room_for_is_seen_all_the_same(make_supply: Callable[..., Supply]) -> None:
    bench, notes = watched(make_supply)
    for _ in range(101):
        bench.meter.happen(Event.COVER_OPEN, now_ms=NOON_MS)
    assert notes.events[-1] == (251, 101, obis("0.0.99.98.5.255"))


def test_the_switch_is_seen_when_it_moves_and_not_when_it_is_only_told_to(make_supply: Callable[..., Supply]) -> None:
    bench, notes = watched(make_supply)
    for _ in range(2):
        bench.invoke(RELAY.remote_disconnect, 0)
    bench.wait(HOUR_MS)
    bench.invoke(RELAY.remote_reconnect, 0)
    assert notes.moves == [(False, NOON_MS), (True, NOON_MS + HOUR_MS)]


def test_energies_are_seen_as_they_are_read_by_themselves_or_among_the_present_values(
    make_supply: Callable[..., Supply],
) -> None:
    bench, notes = watched(make_supply)
    bench.wait(3 * HOUR_MS)
    energy_wh = bench.number("1.0.1.8.0.255", class_id=3)
    bench.read_raw(type(BLOCK)("1.0.94.91.0.255").buffer)
    bench.read_raw(BLOCK.buffer)
    assert notes.energies == [energy_wh, energy_wh]
