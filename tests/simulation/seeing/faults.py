"""What goes wrong in the network, when, and which alert rules must say so, and no other.

Each trouble is a real one: a gateway without power, a line that is cut, a clock that was set, a disk that fills. Hours
count from the beginning of the world; until `FAULTS_BEGIN_H` nothing is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from cloud import schema
from tests.simulation.options import HOUR_MS, MINUTE_MS
from tests.simulation.parties import TREE, UTILITY
from tests.simulation.seeing.world import SeenNetwork
from wire.address import Address, Direction, Kind
from wire.keys import Purpose, SigningKey
from wire.messages import Disconnect, Read, Reconnect, make_batch, seal_message

FAULTS_BEGIN_H = 36.0
COVER_OPENED = "3.12.29.39"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong for a while."""

    name: str
    from_h: float
    until_h: float
    begin: Callable[[SeenNetwork], None]
    end: Callable[[SeenNetwork], None] = lambda _: None
    fires: tuple[str, ...]
    """The rules that must fire."""
    may_fire: tuple[str, ...] = ()
    """Those that may as well, since one thing brings the other."""
    lasts_h: float = 2.0
    """How long after its end they may go on."""


def _forge(world: SeenNetwork) -> None:
    stranger = SigningKey(bytes(range(32)), purpose=Purpose.GATEWAY, party="gw-1")
    address = Address(UTILITY, Direction.UP, Kind.BATCH, "gw-1")
    for index in range(5):
        batch = make_batch([], store=bytes(8), index=index + 1)
        world.network.send("stranger", TREE.up("gw-1", "bulk"), seal_message(batch, address, stranger))


def _break_meters(world: SeenNetwork) -> None:
    dead = world.meters("gw-1")[:6]
    world.outposts["gw-1"].street.dead |= set(dead)
    world.agenda.after(HOUR_MS, lambda: world.ask(Read([]), *dead))


def _repair_meters(world: SeenNetwork) -> None:
    world.outposts["gw-1"].street.dead.clear()


def _restart(world: SeenNetwork, gateway: str, *, clock_off_ms: int = 0) -> None:
    outpost = world.outposts[gateway]
    outpost.clock_off_ms = clock_off_ms
    outpost.switch_off()
    world.agenda.after(MINUTE_MS, outpost.start)


def _tamper(world: SeenNetwork) -> None:
    world.outposts["gw-1"].tell(world.meters("gw-1")[3], COVER_OPENED, "terminal cover")


def _fill_disks(world: SeenNetwork, percent: int) -> None:
    world.outposts["gw-1"].disk_free_percent = percent
    world.office.disk_free_percent = percent


def _meters_clocks(world: SeenNetwork, offset_ms: int) -> None:
    for outpost in world.outposts.values():
        outpost.meter_clock_offset_ms = offset_ms


def _cut_off(world: SeenNetwork, until_h: float) -> None:
    world.network.cut("g/gw-2", round(until_h * HOUR_MS))
    world.outposts["gw-2"].lose_connection()
    world.agenda.after(10 * HOUR_MS, lambda: _restart(world, "gw-2"))


def _take_a_field(world: SeenNetwork) -> None:
    """Somebody's script writes words where numbers of meters' logs go; then one comes."""
    line = f'event,code=none,gateway=gw-1,kind=other,source=meter,utility={UTILITY} number="one" {world.now_ms}'
    world.influx.write(line, database=world.shown.database, retention="history")
    world.outposts["gw-1"].tell_history(world.meters("gw-1")[5], captured_s=world.now_ms // 1_000)


def _damage_a_sample(world: SeenNetwork) -> None:
    """A disk returns other bytes than were written."""
    row = {"tx": 0, "utility": UTILITY, "at_ms": world.now_ms, "body": b"no lines"}
    world.cloud.transact(lambda connection: connection.execute(sa.insert(schema.sample), [row]))


CUT_OFF_UNTIL_H = 68.0
TROUBLES = (
    Trouble(name="forged batches", from_h=37, until_h=37.5, begin=_forge, fires=("signatures-refused",)),
    Trouble(
        name="dead meters",
        from_h=38,
        until_h=42,
        begin=_break_meters,
        end=_repair_meters,
        fires=("meters-silent", "command-failures"),
        may_fire=("service-level",),
        lasts_h=48,
    ),
    Trouble(
        name="many disconnected",
        from_h=43,
        until_h=43.5,
        begin=lambda world: world.ask(Disconnect(), *world.meters("gw-2")[1:13]),
        end=lambda world: world.ask(Reconnect(), *world.meters("gw-2")[1:13]),
        fires=("mass-disconnection",),
    ),
    Trouble(
        name="a gateway's clock is wrong",
        from_h=44.5,
        until_h=47,
        begin=lambda world: _restart(world, "gw-1", clock_off_ms=10 * MINUTE_MS),
        end=lambda world: _restart(world, "gw-1"),
        fires=("gateway-clock-step",),
    ),
    Trouble(
        name="meters' clocks are wrong",
        from_h=44.5,
        until_h=48.5,
        begin=lambda world: _meters_clocks(world, 2 * MINUTE_MS),
        end=lambda world: _meters_clocks(world, 0),
        fires=("meter-clock",),
        lasts_h=48,
    ),
    Trouble(name="a cover is opened", from_h=46, until_h=46.5, begin=_tamper, fires=("tamper",), lasts_h=24),
    Trouble(
        name="full disks",
        from_h=48,
        until_h=50,
        begin=lambda world: _fill_disks(world, 5),
        end=lambda world: _fill_disks(world, 60),
        fires=("gateway-disk", "cloud-disk"),
    ),
    Trouble(
        name="a gateway is cut off",
        from_h=50.5,
        until_h=CUT_OFF_UNTIL_H,
        begin=lambda world: _cut_off(world, CUT_OFF_UNTIL_H),
        fires=(
            *("gateway-silent", "gateway-backlog", "gateway-store-filling", "readings-given-up"),
            *("gateway-clock-unsynced", "gateway-clock-error", "service-level"),
        ),
        may_fire=("command-failures", "ack-latency"),
        lasts_h=72,
    ),
    Trouble(
        name="a process is gone",
        from_h=51,
        until_h=53,
        begin=lambda world: world.office.switch(on=False),
        end=lambda world: world.office.switch(on=True),
        fires=("handler-silent",),
        may_fire=("follower-lag",),
    ),
    Trouble(
        name="a slow network",
        from_h=54,
        until_h=57,
        begin=lambda world: world.network.slow_down(delay_ms_max=20 * MINUTE_MS),
        end=lambda world: world.network.slow_down(delay_ms_max=400),
        fires=("ack-latency",),
        may_fire=("command-failures", "gateway-clock-error", "gateway-clock-step", "service-level"),
        lasts_h=48,
    ),
    Trouble(
        name="a gateway without power",
        from_h=58,
        until_h=61,
        begin=lambda world: world.outposts["gw-3"].switch_off(),
        end=lambda world: world.outposts["gw-3"].start(),
        fires=("gateway-silent", "gateways-silent"),
        may_fire=("meters-silent", "command-failures"),
    ),
    Trouble(
        name="InfluxDB is away",
        from_h=70,
        until_h=94,
        begin=lambda world: world.influx.stop(),
        end=lambda world: world.influx.start(),
        fires=("influx-writes-failing", "follower-lag"),
    ),
    Trouble(
        name="a damaged sample",
        from_h=97,
        until_h=97.5,
        begin=_damage_a_sample,
        fires=("handler-errors",),
    ),
    Trouble(
        name="a field of another type",
        from_h=95.5,
        until_h=96,
        begin=_take_a_field,
        fires=("influx-lines-dropped",),
    ),
)
END_H = 100.0


def plan(world: SeenNetwork, troubles: Sequence[Trouble] = TROUBLES) -> None:
    """Have the troubles come when they are due."""
    for trouble in troubles:
        world.agenda.at(round(trouble.from_h * HOUR_MS), partial(trouble.begin, world))
        world.agenda.at(round(trouble.until_h * HOUR_MS), partial(trouble.end, world))
