"""Prepaid supply from the payment to the lamp: the box decides with what it holds, network or not.

A day passes in under three minutes, so that households use up what they paid for while the test watches.
"""

import json
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from cloud import schema
from cloud.prepaid.adapters import accounts
from prepay.entries import AdjustmentReason
from prepay.holds import Hold
from tests.rig.installation import UTILITY, Install, Installation, Plan
from tests.rig.reconciling import Disk, read_disk
from tests.rig.requester import requester
from wire.messages import Limit

ACCOUNT = "A-1"
PRICE = "25.00"
PRICE_MINOR_PER_KWH = 2_500
TOPPED_UP_MINOR = 1_500
"""600 Wh: a few hours of a household at its mean power."""
RATE = 600
PERIOD_S = 600
EVENT_POWER_LIMIT = "3.15.261.139"
EVENT_CREDIT_EXHAUSTED = "3.20.8.150"


@pytest.fixture
async def installation(install: Install) -> Installation:
    """One gateway; the first of its meters has an account without credit and is dark, the second has none."""
    made = await install(Plan(rate=RATE, period_s=PERIOD_S, annual_kwh=3_000))
    register_wh = int(made.state(meter_of(made))["energy_wh"])
    made.wattpost(
        *("cloud", "open-account", "cloud.toml", ACCOUNT, "--meter", meter_of(made)),
        *("--price", PRICE, "--opening-wh", str(register_wh)),
    )
    await made.until(lambda: is_dark(made), what="the cut-off of an account without credit")
    return made


def meter_of(installation: Installation) -> str:
    return installation.all_meters()[0]


def is_dark(installation: Installation) -> bool:
    state = installation.state(meter_of(installation))
    return not state["energised"] and state["power_w"] == 0


def disk(installation: Installation) -> Disk:
    return read_disk(installation.store_path("gw-1"), "gw-1")


def pay(installation: Installation, amount: str, *, name: bytes) -> None:
    """Pay on the command line, as an operator would."""
    installation.wattpost("cloud", "credit", "cloud.toml", ACCOUNT, amount, "--id", name.hex())


def top_up(installation: Installation, *, name: bytes) -> int:
    """Pay what brings the account that the box knows to `TOPPED_UP_MINOR`; return the amount, in minor units."""
    owed_minor = -disk(installation).balance(ACCOUNT, installation.now_ms()).amount_minor
    amount_minor = owed_minor + TOPPED_UP_MINOR
    pay(installation, f"{amount_minor / 100:.2f}", name=name)
    return amount_minor


def shown_balance(installation: Installation) -> dict[str, Any]:
    """Return what the operator is shown."""
    shown: dict[str, Any] = json.loads(installation.wattpost("cloud", "balance", "cloud.toml", ACCOUNT, "--json"))
    return shown


async def balances_agree(installation: Installation) -> None:
    """Wait until box and cloud have the same set of entries, and see that both make the same of it."""

    def same(connection: sa.Connection) -> bool:
        at_ms = installation.now_ms()
        cloud, box = (
            accounts.balance_of(connection, UTILITY, ACCOUNT, at_ms=at_ms),
            disk(installation).balance(ACCOUNT, at_ms),
        )
        if (cloud.version, cloud.digest) != (box.version, box.digest):
            return False
        assert cloud.amount_minor == box.amount_minor
        assert cloud.charged_wh == box.charged_wh
        return True

    await installation.until_committed(same, what="the same entries at both ends")


@pytest.mark.req("A-9", "D-7")
async def test_the_box_cuts_off_without_a_network_and_a_payment_made_meanwhile_restores_supply(
    installation: Installation,
) -> None:
    neighbour = installation.all_meters()[1]
    first_minor = top_up(installation, name=b"first payment---")
    await installation.until(lambda: not is_dark(installation), what="light after the payment")
    installation.cut("gw-1", mode="blackhole")

    await installation.until(lambda: is_dark(installation), what="the cut-off when the credit was used up")
    held = disk(installation)
    assert held.holds == {meter_of(installation): {Hold.CREDIT}}
    box = held.balance(ACCOUNT, installation.now_ms())
    # It may overrun by what is used between two readings, and no more.
    power_max_w = 10_000
    overrun_minor = power_max_w * PERIOD_S // 3_600 * PRICE_MINOR_PER_KWH // 1_000
    assert -overrun_minor <= box.amount_minor <= 0
    assert installation.state(neighbour)["energised"]

    second_minor = top_up(installation, name=b"second payment--")
    assert top_up(installation, name=b"second payment--") == second_minor
    assert shown_balance(installation)["amount_minor"] > box.amount_minor
    assert is_dark(installation)

    installation.mend("gw-1")
    await installation.until(lambda: not is_dark(installation), what="light after the network came back")
    await balances_agree(installation)
    posting = schema.posting.c
    paid = await installation.transact(
        lambda connection: connection.execute(
            sa.select(posting.ledger_account, sa.func.sum(posting.amount_minor)).group_by(posting.ledger_account)
        ).all()
    )
    assert {name: int(total) for name, total in paid} == {
        f"wallet:{ACCOUNT}": first_minor + second_minor,
        "cash": -first_minor - second_minor,
    }
    await installation.until_committed(
        partial(has_event, code=EVENT_CREDIT_EXHAUSTED, meter=meter_of(installation)), what="the event of the cut-off"
    )


@pytest.mark.req("A-7", "A-9", "K-2")
async def test_a_gateway_killed_while_a_household_is_dark_keeps_it_dark_and_remembers_its_account(
    installation: Installation,
) -> None:
    gateway = installation.gateways["gw-1"]
    before = disk(installation)
    gateway.kill()
    installation.cut("gw-1")
    # Somebody restarts the relay board too, and all its relays close.
    installation.control(command="relay", meter=meter_of(installation), closed=True)
    assert not is_dark(installation)
    await installation.start(gateway)
    await installation.until(lambda: is_dark(installation), what="the relay in the state that the holds ask for")
    after = disk(installation)
    assert after.holds == before.holds
    assert {entry for entries in before.entries.values() for entry in entries} <= set(after.entries[ACCOUNT])

    top_up(installation, name=b"payment---------")
    installation.mend("gw-1")
    await installation.until(lambda: not is_dark(installation), what="light after the payment")
    await balances_agree(installation)


@pytest.mark.req("D-1", "D-7")
async def test_a_correction_takes_supply_away_and_a_refund_gives_it_back(installation: Installation) -> None:
    pay(installation, "500.00", name=b"payment---------")
    await installation.until(lambda: not is_dark(installation), what="light after the payment")
    await correct(installation, -60_000, name=b"wrong account---", reason=AdjustmentReason.CORRECTION)
    await installation.until(lambda: is_dark(installation), what="the cut-off after the correction")
    await balances_agree(installation)
    await correct(installation, 60_000, name=b"refund----------", reason=AdjustmentReason.REFUND)
    await installation.until(lambda: not is_dark(installation), what="light after the refund")
    await balances_agree(installation)
    posting = schema.posting.c
    totals = await installation.transact(
        lambda connection: (
            connection.execute(sa.select(sa.func.sum(posting.amount_minor)).group_by(posting.transfer)).scalars().all()
        )
    )
    assert [int(total) for total in totals] == [0, 0, 0]


async def correct(installation: Installation, amount_minor: int, *, name: bytes, reason: AdjustmentReason) -> None:
    now_ms = installation.now_ms()
    await installation.transact(
        lambda connection: accounts.adjust(
            connection, UTILITY, ACCOUNT, adjustment_id=name, amount_minor=amount_minor, reason=reason, now_ms=now_ms
        )
    )


@pytest.mark.req("A-9", "F-2")
async def test_a_power_limit_opens_the_relay_and_lifting_it_gives_supply_back(installation: Installation) -> None:
    neighbour = installation.all_meters()[1]
    async with requester(installation) as client:
        client.ask(Limit(1), neighbour)
        await client.over()
        await installation.until(lambda: not installation.state(neighbour)["energised"], what="the cut-off")
        await installation.until_committed(
            partial(has_event, code=EVENT_POWER_LIMIT, meter=neighbour), what="the event of the cut-off"
        )
        client.ask(Limit(None), neighbour)
        await client.over()
        await installation.until(lambda: installation.state(neighbour)["energised"], what="supply again")
        assert neighbour not in disk(installation).holds


def has_event(connection: sa.Connection, *, code: str, meter: str) -> bool:
    table = schema.event.c
    query = sa.select(sa.func.count()).where(table.code == code, table.meter == meter)
    return int(connection.execute(query).scalar_one()) > 0
