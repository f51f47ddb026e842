"""Credits sold: `sale`, by the window in which they were booked.

The ledger is append-only and double-entry. A credit is counted by its posting on the cash book alone, once; corrections
stand against books of their own and are no sales.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from cloud import schema
from cloud.monitoring.adapters.survey import MakeLines, Scope, Survey, Window, at_once, each_sample
from cloud.monitoring.core.points import point
from cloud.prepaid.adapters.accounts import CASH_BOOK

LAG_S: Final = 60

_posting = schema.posting.c
SALES = (
    # Cash is debited: what was paid stands below zero there.
    sa.select(_posting.currency, sa.func.count().label("count"), (-sa.func.sum(_posting.amount_minor)).label("minor"))
    .where(_posting.utility == sa.bindparam("of", type_=sa.String))
    .where(_posting.at_ms >= sa.bindparam("from_ms", type_=sa.BigInteger))
    .where(_posting.at_ms < sa.bindparam("until_ms", type_=sa.BigInteger))
    .where(_posting.ledger_account == CASH_BOOK)
    .group_by(_posting.currency)
)


def look(connection: sa.Connection, scope: Scope, window: Window) -> MakeLines:
    """Read the sums of a window's credits."""
    values = {"of": scope.utility, "from_ms": window.from_ms, "until_ms": window.until_ms}
    return partial(_lines, scope.utility, window, connection.execute(SALES, values).all())


def _lines(utility: str, window: Window, sums: Sequence[Any]) -> list[str]:
    lines = (
        point(
            "sale",
            {"utility": utility, "currency": currency},
            {"count": count, "amount_minor": int(minor)},
            utc_ms=window.from_ms,
        )
        for currency, count, minor in sums
    )
    return [line for line in lines if line is not None]


SURVEYS: tuple[Survey, ...] = (Survey(name="sales", width_s=each_sample, steps=at_once(look), lag_s=LAG_S),)
