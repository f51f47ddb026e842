"""The network as operators see it: gateways with their streets, the office, and time that passes as fast as it can."""

import asyncio
import random
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.clients import set_scope
from cloud.config import Influx
from cloud.database import upsert
from cloud.prepaid.adapters.accounts import NewAccount, credit, open_account
from cloud.tally import Tally
from tests.rig.influx import InfluxServer
from tests.simulation.agenda import ORIGIN_MS, Agenda
from tests.simulation.cloud_side import Cloud
from tests.simulation.network import Network
from tests.simulation.options import HOUR_MS, MINUTE_MS, Options
from tests.simulation.parties import TREE, UTILITY, gateway_names, key_of
from tests.simulation.seeing.office import Office, config_of
from tests.simulation.seeing.outpost import Outpost
from tests.simulation.seeing.street import POWER_MAX_W, Street
from wire.address import Address, Direction, Kind
from wire.keys import Purpose
from wire.messages import Disconnect, Effect, Ping, Read, Reconnect, Request, seal_message

TURN_MS = 5 * MINUTE_MS
CLIENT = "client-1"
PLACES = ((26.911, 75.787), (26.853, 75.812), (26.988, 75.852))
PRICE = "7.50"
ENOUGH_MINOR = 300_000
SPENDER_MINOR = 6_000
"""The first household of each street has paid for about a day."""
_CALM = {
    "requests": 0, "payments": 0, "loss": 0.0, "duplication": 0.0, "partitions": 0, "replays": 0, "alterations": 0.0,
    "strangers": 0, "crashes": 0, "torn": False, "wrong_clock": False, "clock_steps": 0, "meter_failures": 0.0,
    "relay_failures": 0.0, "relay_resets": 0, "set_backs": 0, "cloud_crashes": 0, "cloud_clock_steps": 0,
    "cloud_set_backs": 0,
}  # fmt: skip


def options_of(*, seed: int, gateways: int, meters: int) -> Options:
    """Return a world in which nothing fails by itself."""
    return Options(
        seed=seed,
        duration_ms=6 * HOUR_MS,
        gateways=gateways,
        meters=meters,
        handlers=1,
        clients=1,
        polls=0,
        credit_minor=0,
        seal_after_ms=2_000,
        rows_per_batch_max=500,
        facts_per_batch_max=128,
        window_max=32,
        store_bytes_max=60_000,
        group_max=50,
        delay_ms_max=400,
        closings=0,
        close_every_ms=24 * HOUR_MS,
        close_lag_ms=72 * HOUR_MS,
        **_CALM,  # type: ignore[arg-type]
    )


class SeenNetwork:
    """A network under observation.

    Args:
        folder: Where its databases lie.
        influx: Where it is shown.
        shown: How that is configured.
        seed: What its households are made of.
    """

    def __init__(
        self, folder: Path, influx: InfluxServer, shown: Influx, *, seed: int = 1, gateways: int = 3, meters: int = 16
    ) -> None:
        options = options_of(seed=seed, gateways=gateways, meters=meters)
        self.influx = influx
        self.shown = shown
        self.agenda = Agenda()
        self.network = Network(self.agenda, options, TREE)
        tally = Tally()
        self.cloud = Cloud(self.agenda, self.network, options, folder, tally=tally)
        self.outposts = {
            name: Outpost(
                self.agenda, self.network, Street(self.agenda, options, name), options, name=name, folder=folder
            )
            for name in gateway_names(gateways)
        }
        headend = config_of(folder, shown, handler="headend-1")
        worker = config_of(folder, shown, handler="worker-1")
        self.office = Office(self.cloud.database, (headend, tally), worker, clock=self.cloud.clock)
        self._rng = random.Random(f"seen {seed}")
        self._runner = asyncio.Runner()

    @property
    def now_ms(self) -> int:
        """The world's UTC."""
        return ORIGIN_MS + self.agenda.now_ms

    def meters(self, gateway: str) -> list[str]:
        """Return the meters of a gateway."""
        return list(self.outposts[gateway].street.households)

    # ---- time --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Register everybody, and switch everything on."""
        self.cloud.transact(self._register)
        self.cloud.wake()
        for number, outpost in enumerate(self.outposts.values()):
            self.agenda.at(number * 7_000, outpost.start)
            self.agenda.at(MINUTE_MS + number * 11_000, outpost.work)
        self._every(2 * HOUR_MS, self._ordinary_commands)
        self._every(5 * HOUR_MS, self._ordinary_payment)
        self._every(HOUR_MS, self.cloud.close_accounts)
        self._every(3 * HOUR_MS, self._look_at_clocks)

    def run_until(self, hours: float) -> None:
        """Let time pass until so long after the beginning."""
        end_ms = round(hours * HOUR_MS)
        while self.agenda.now_ms < end_ms:
            self.agenda.run_until(min(self.agenda.now_ms + TURN_MS, end_ms))
            self._runner.run(self.office.turn())

    def close(self) -> None:
        """Let go of files and connections."""
        self._runner.close()
        self.office.close()
        self.cloud.close()
        for outpost in self.outposts.values():
            outpost.close()

    def _every(self, period_ms: int, act: object) -> None:
        def again() -> None:
            act()  # type: ignore[operator]
            self.agenda.after(period_ms, again)

        self.agenda.after(period_ms, again)

    # ---- people ------------------------------------------------------------------------------------------------------

    def ask(self, effect: Effect, *meters: str, within_ms: int = 10 * MINUTE_MS) -> None:
        """An integrator asks for something."""
        now_ms = self.now_ms
        request = Request(
            id=self._rng.randbytes(16),
            issued_at_ms=now_ms,
            not_after_ms=now_ms + within_ms,
            meters=list(meters),
            effect=effect,
        )
        address = Address(UTILITY, Direction.CLIENT_UP, Kind.REQUEST, CLIENT)
        sealed = seal_message(request, address, key_of(Purpose.INTEGRATOR, CLIENT))
        self.network.send(f"c/{CLIENT}", TREE.client(CLIENT, Kind.REQUEST), sealed)

    def pay(self, meter: str, amount_minor: int) -> None:
        """Somebody pays."""
        self.cloud.transact(
            partial(
                credit,
                utility=UTILITY,
                account=f"a-{meter}",
                credit_id=self._rng.randbytes(16),
                amount_minor=amount_minor,
                now_ms=self.now_ms,
            )
        )
        self.cloud.wake()

    def _ordinary_commands(self) -> None:
        gateway = self._rng.choice([name for name, outpost in self.outposts.items() if outpost.is_on])
        meters = [meter for meter in self.meters(gateway) if meter not in self.outposts[gateway].street.dead]
        self.ask(Read([]), *self._rng.sample(meters, 2))
        self.ask(Ping(), meters[0])
        debtor = meters[-1]
        self.ask(Disconnect(), debtor)
        self.agenda.after(20 * MINUTE_MS, lambda: self.ask(Reconnect(), debtor))

    def _ordinary_payment(self) -> None:
        meter = self._rng.choice([meter for name in self.outposts for meter in self.meters(name)])
        self.pay(meter, 100 * self._rng.randint(50, 300))

    def _look_at_clocks(self) -> None:
        for outpost in self.outposts.values():
            outpost.look_at_a_clock()

    def _register(self, connection: sa.Connection) -> None:
        set_scope(connection, UTILITY, CLIENT, effects="disconnect,reconnect,limit,read,ping", meters="*")
        for (name, outpost), (latitude, longitude) in zip(self.outposts.items(), PLACES, strict=False):
            place = {"latitude_e6": round(latitude * 1e6), "longitude_e6": round(longitude * 1e6)}
            upsert(connection, schema.place, [{"utility": UTILITY, "gateway": name, **place}])
            for number, meter in enumerate(outpost.street.households):
                row = {"utility": UTILITY, "meter": meter, "from_ms": ORIGIN_MS, "gateway": name, "until_ms": None}
                upsert(connection, schema.assignment, [row])
                self._open_account(connection, meter, SPENDER_MINOR if number == 0 else ENOUGH_MINOR)

    def _open_account(self, connection: sa.Connection, meter: str, amount_minor: int) -> None:
        new = NewAccount(
            name=f"a-{meter}",
            meter=meter,
            currency="INR",
            exponent=2,
            price=PRICE,
            opening_wh=0,
            rated_power_w=POWER_MAX_W,
            low_minor=2_000,
        )
        open_account(connection, UTILITY, new, now_ms=ORIGIN_MS)
        paid = self._rng.randbytes(16)
        credit(connection, UTILITY, new.name, credit_id=paid, amount_minor=amount_minor, now_ms=ORIGIN_MS)
