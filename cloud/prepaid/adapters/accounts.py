"""Accounts: opened, credited and adjusted by the cloud.

Each entry goes down to the box and into the ledger in one transaction.
The balance is computed, never stored: from the entries issued here and the register points the box sent up, by the same
function that the box uses.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cloud import schema
from cloud.database import insert, insert_new
from cloud.headend.adapters.assignments import gateway_of
from cloud.headend.adapters.down_facts import send_down
from cloud.prepaid.adapters.members import members_of
from prepay.balance import BALANCE_VERSION, Balance, balance
from prepay.entries import Adjustment, AdjustmentReason, Assignment, Credit, Entry, Opening, Tariff
from prepay.identity import encode, entry_digest
from prepay.money import Currency, price_parts
from wire import codec
from wire.errors import MalformedError
from wire.facts import EntryFact, PrepaidPolicy, decode_down_fact, encode_down_fact

TRANSFER_ID_BYTES: Final = 16
CASH_BOOK: Final = "cash"
"""The other side of every credit, and of nothing else."""


class UnknownAccountError(LookupError):
    """Raised when an account is not there."""


class DifferentTransferError(ValueError):
    """Raised when an id was used before, for another amount or account."""


class UnknownMeterError(LookupError):
    """Raised when a meter is assigned to no gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What an account needs to begin."""

    name: str
    meter: str
    """Assigned to a gateway before."""
    currency: str
    exponent: int
    price: str
    """Flat, per kWh, in the currency, as a decimal number."""
    opening_wh: int
    rated_power_w: int
    register_step_wh: int = 1
    register_modulus_wh: int = 0
    decides: str = "box"
    emergency_minor: int = 0
    low_minor: int = 0


def open_account(connection: sa.Connection, utility: str, new: NewAccount, *, now_ms: int) -> None:
    """Open an account, give it its price and tell the box; doing it again changes nothing.

    Raises:
        UnknownMeterError: The meter is assigned to no gateway.
        ValueError: The price is no decimal number, or something else lies out of its bounds.
    """
    gateway = gateway_of(connection, utility, new.meter, now_ms=now_ms)
    if not gateway:
        raise UnknownMeterError(new.meter)
    policy = PrepaidPolicy(
        account=new.name,
        meter=new.meter,
        version=now_ms,
        decides=new.decides,
        currency=new.currency,
        emergency_minor=new.emergency_minor,
        low_minor=new.low_minor,
    )
    encoded_policy = encode_down_fact(policy)
    try:
        decode_down_fact(encoded_policy)
    except MalformedError as error:
        raise ValueError(f"the account is not within bounds: {error.detail}") from error
    row = {
        "utility": utility,
        "name": new.name,
        "meter": new.meter,
        "gateway": gateway,
        "currency": new.currency,
        "policy": encoded_policy,
    }
    opened = connection.execute(insert(connection, schema.account).on_conflict_do_nothing().values(row))
    if opened.rowcount == 0:
        return
    for entry in _first_entries(utility, new, now_ms):
        add_entry(connection, utility, new.name, entry, now_ms=now_ms)
    send_down(connection, utility, gateway, policy, now_ms=now_ms)


def _first_entries(utility: str, new: NewAccount, now_ms: int) -> tuple[Entry, ...]:
    price, price_digits = price_parts(new.price, Currency(new.currency, new.exponent))
    return (
        Opening(
            account=new.name,
            currency=new.currency,
            exponent=new.exponent,
            tariff_class=new.name,
            opened_at_ms=now_ms,
        ),
        Assignment(
            account=new.name,
            meter_serial=new.meter,
            installation=1,
            opening_wh=new.opening_wh,
            from_ms=now_ms,
            rated_power_w=new.rated_power_w,
            register_step_wh=new.register_step_wh,
            register_modulus_wh=new.register_modulus_wh,
        ),
        Tariff(
            id=hashlib.sha256(f"{utility} {new.name} {now_ms}".encode()).digest()[:16],
            scope=new.name,
            predecessor=b"",
            price=price,
            price_digits=price_digits,
            effective_from_ms=now_ms,
        ),
    )


def add_entry(connection: sa.Connection, utility: str, account: str, entry: Entry, *, now_ms: int) -> None:
    """Add an entry that the cloud authorises, and send it down; the same entry is added once.

    Raises:
        UnknownAccountError: There is no such account.
        ValueError: A part of the entry lies out of its bounds; the box would not take it.
    """
    table = schema.account.c
    gateway = connection.execute(
        sa.select(table.gateway).where(table.utility == utility, table.name == account)
    ).scalar()
    if gateway is None:
        raise UnknownAccountError(account)
    encoded = encode(entry)
    try:
        codec.decode_as(encoded, Entry)
    except MalformedError as error:
        raise ValueError(f"the {type(entry).__name__.lower()} is not within bounds: {error.detail}") from error
    row = {
        "utility": utility,
        "digest": entry_digest(entry),
        "account": account,
        "encoded": encoded,
        "gateway": None,
        "message": None,
    }
    insert_new(connection, schema.entry, [row])
    send_down(connection, utility, str(gateway), EntryFact(account=account, entry=encoded), now_ms=now_ms)


def credit(
    connection: sa.Connection, utility: str, account: str, *, credit_id: bytes, amount_minor: int, now_ms: int
) -> None:
    """Book a payment: the wallet is credited and cash debited; the same id is booked once.

    Raises:
        UnknownAccountError: There is no such account.
        DifferentTransferError: Another one was booked under the same id.
        ValueError: A part lies out of its bounds.
    """
    if _is_booked(connection, utility, account, credit_id, amount_minor):
        return
    entry = Credit(id=credit_id, account=account, amount_minor=amount_minor, issued_at_ms=now_ms)
    add_entry(connection, utility, account, entry, now_ms=now_ms)
    _post(connection, utility, account, credit_id, amount_minor, book=CASH_BOOK, now_ms=now_ms)


def adjust(
    connection: sa.Connection,
    utility: str,
    account: str,
    *,
    adjustment_id: bytes,
    amount_minor: int,
    reason: AdjustmentReason,
    refers_to: bytes = b"",
    now_ms: int,
) -> None:
    """Book a correction, fee, refund or debt; the same id is booked once.

    Raises:
        UnknownAccountError: There is no such account.
        DifferentTransferError: Another one was booked under the same id.
        ValueError: A part lies out of its bounds.
    """
    if _is_booked(connection, utility, account, adjustment_id, amount_minor):
        return
    entry = Adjustment(
        id=adjustment_id,
        account=account,
        amount_minor=amount_minor,
        reason=reason,
        refers_to=refers_to,
        issued_at_ms=now_ms,
    )
    add_entry(connection, utility, account, entry, now_ms=now_ms)
    _post(connection, utility, account, adjustment_id, amount_minor, book=f"adjustment:{reason.name}", now_ms=now_ms)


def set_tariff(connection: sa.Connection, utility: str, account: str, tariff: Tariff, *, now_ms: int) -> None:
    """Give an account a tariff.

    Raises:
        UnknownAccountError: There is no such account.
    """
    add_entry(connection, utility, account, tariff, now_ms=now_ms)


def balance_of(connection: sa.Connection, utility: str, account: str, *, at_ms: int) -> Balance:
    """Return an account's balance at an instant, with version and digest as the box would show them.

    It is computed from the latest statement that closes at or before the instant, so the box shows the same unless it
    holds a later one.

    Raises:
        UnknownAccountError: There is no such account.
    """
    entries = members_of(connection, utility, account, at_ms=at_ms).entries()
    if not entries:
        raise UnknownAccountError(account)
    return balance(BALANCE_VERSION, entries, account=account, at_ms=at_ms)


def accounts(connection: sa.Connection, utility: str) -> list[tuple[str, str, str]]:
    """Return (account, meter, gateway) of all accounts."""
    table = schema.account.c
    rows = connection.execute(
        sa.select(table.name, table.meter, table.gateway).where(table.utility == utility).order_by(table.name)
    )
    return [(row.name, row.meter, row.gateway) for row in rows]


def _is_booked(connection: sa.Connection, utility: str, account: str, transfer: bytes, amount_minor: int) -> bool:
    """Tell whether a transfer is in the ledger.

    Raises:
        DifferentTransferError: Under its id there is another one.
    """
    table = schema.posting.c
    booked = {
        row.ledger_account: row.amount_minor
        for row in connection.execute(
            sa.select(table.ledger_account, table.amount_minor).where(
                table.utility == utility, table.transfer == transfer
            )
        )
    }
    if booked and booked.get(f"wallet:{account}") != amount_minor:
        raise DifferentTransferError(f"{transfer.hex()} was booked before, for another amount or account")
    return bool(booked)


def _post(
    connection: sa.Connection,
    utility: str,
    account: str,
    transfer: bytes,
    amount_minor: int,
    *,
    book: str,
    now_ms: int,
) -> None:
    currency = connection.execute(
        sa.select(schema.account.c.currency).where(
            schema.account.c.utility == utility, schema.account.c.name == account
        )
    ).scalar_one()
    common = {"utility": utility, "transfer": transfer, "currency": currency, "at_ms": now_ms}
    rows = [
        common | {"ledger_account": f"wallet:{account}", "amount_minor": amount_minor},
        common | {"ledger_account": book, "amount_minor": -amount_minor},
    ]
    connection.execute(sa.insert(schema.posting), rows)
