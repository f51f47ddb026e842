"""Who wants something: integrators that ask for effects and ask again, and households that pay."""

import random

import sqlalchemy as sa

from cloud import schema
from cloud.database import upsert
from cloud.prepaid.adapters.accounts import NewAccount, credit, open_account, set_tariff
from prepay.entries import Tariff
from tests.simulation.agenda import Agenda
from tests.simulation.cloud_side import Cloud
from tests.simulation.network import Network, Receive
from tests.simulation.options import Options
from tests.simulation.parties import TREE, UTILITY, client_names, key_of, trusted
from tests.simulation.site import RATED_POWER_W
from wire.address import Address, Direction, Kind
from wire.errors import WireError
from wire.keys import Purpose
from wire.messages import (
    Disconnect,
    Effect,
    Limit,
    Ping,
    Read,
    Reconnect,
    Request,
    Status,
    open_message,
    seal_message,
)


class People:
    """Integrators and households of one world."""

    def __init__(
        self, agenda: Agenda, network: Network, cloud: Cloud, options: Options, meters: dict[str, list[str]]
    ) -> None:
        self.statuses: list[Status] = []
        """Every status that reached whom it was for."""
        self._agenda = agenda
        self._network = network
        self._cloud = cloud
        self._options = options
        self._meters = meters
        self._rng = random.Random(f"people {options.seed}")
        self._asked: list[tuple[str, Request]] = []
        for client in client_names(options.clients):
            network.attach(f"c/{client}", self._hearing(client))

    def settle(self) -> None:
        """Register clients, meters and accounts, before anything can go wrong."""
        self._cloud.transact(self._settle)

    def _settle(self, connection: sa.Connection) -> None:
        now_ms = self._cloud.clock.wall_ms()
        effects = "disconnect,reconnect,limit,read,ping"
        upsert(
            connection,
            schema.client,
            [
                {"utility": UTILITY, "name": name, "effects": effects, "meters": "*"}
                for name in client_names(self._options.clients)
            ],
        )
        for gateway, meters in self._meters.items():
            for number, meter in enumerate(meters):
                row = {"utility": UTILITY, "meter": meter, "from_ms": 0, "gateway": gateway, "until_ms": None}
                upsert(connection, schema.assignment, [row])
                account = f"a-{meter}"
                new = NewAccount(
                    name=account,
                    meter=meter,
                    currency="INR",
                    exponent=2,
                    price=f"{self._rng.randint(1, 9)}.{self._rng.randint(0, 9999)}",
                    opening_wh=0,
                    rated_power_w=RATED_POWER_W,
                    emergency_minor=self._rng.choice([0, 0, 50]),
                    low_minor=self._rng.choice([0, 100]),
                )
                open_account(connection, UTILITY, new, now_ms=now_ms)
                credit(
                    connection,
                    UTILITY,
                    account,
                    credit_id=self._rng.randbytes(16),
                    amount_minor=self._options.credit_minor,
                    now_ms=now_ms,
                )
                if number == 0 and self._rng.random() < 0.3:
                    later = Tariff(
                        id=self._rng.randbytes(16),
                        scope=account,
                        predecessor=self._rng.randbytes(16),
                        price=self._rng.randint(0, 3_000),
                        price_digits=0,
                        effective_from_ms=now_ms + self._rng.randrange(self._options.duration_ms),
                    )
                    set_tariff(connection, UTILITY, account, later, now_ms=now_ms)

    def pay(self) -> None:
        """Somebody pays."""
        gateway = self._rng.choice(list(self._meters))
        account = f"a-{self._rng.choice(self._meters[gateway])}"
        credit_id, amount_minor = self._rng.randbytes(16), self._rng.randint(1, 3_000)
        for _ in range(self._rng.choice([1, 1, 2])):
            self._cloud.transact(
                lambda connection: credit(
                    connection,
                    UTILITY,
                    account,
                    credit_id=credit_id,
                    amount_minor=amount_minor,
                    now_ms=self._cloud.clock.wall_ms(),
                )
            )
        self._cloud.wake()

    def ask(self) -> None:
        """An integrator asks for something new, or for the same again."""
        rng = self._rng
        if self._asked and rng.random() < 0.25:
            client, request = rng.choice(self._asked)
        else:
            client, request = rng.choice(client_names(self._options.clients)), self._request()
            self._asked.append((client, request))
        address = Address(UTILITY, Direction.CLIENT_UP, Kind.REQUEST, client)
        sealed = seal_message(request, address, key_of(Purpose.INTEGRATOR, client))
        self._network.send(f"c/{client}", TREE.client(client, Kind.REQUEST), sealed)
        if rng.random() < 0.7:
            self._agenda.after(rng.randint(1, 60_000), lambda: self._repeat(client, sealed))

    def _repeat(self, client: str, sealed: bytes) -> None:
        self._network.send(f"c/{client}", TREE.client(client, Kind.REQUEST), sealed)

    def _request(self) -> Request:
        rng = self._rng
        gateway = rng.choice(list(self._meters))
        known = self._meters[gateway]
        meters = rng.sample(known, rng.randint(1, len(known)))
        if rng.random() < 0.1:
            meters.append("m-nowhere")
        issued_at_ms = self._cloud.clock.wall_ms()
        lasting_ms = rng.choice([1_000, 20_000, self._options.duration_ms // 4, self._options.duration_ms])
        return Request(
            id=rng.randbytes(16),
            issued_at_ms=issued_at_ms,
            not_after_ms=issued_at_ms + lasting_ms,
            meters=meters,
            effect=self._effect(),
        )

    def _effect(self) -> Effect:
        rng = self._rng
        effects: list[Effect] = [
            Disconnect(),
            Disconnect(),
            Reconnect(),
            Reconnect(),
            Limit(rng.choice([None, 0, 50, 500, 100_000])),
            Read([]),
            Ping(),
        ]
        return rng.choice(effects)

    def _hearing(self, client: str) -> Receive:
        address = Address(UTILITY, Direction.CLIENT_DOWN, Kind.STATUS, client)

        def receive(topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
            try:
                status, _ = open_message(payload, address, trusted())
            except WireError:
                return
            assert isinstance(status, Status)
            self.statuses.append(status)

        return receive
