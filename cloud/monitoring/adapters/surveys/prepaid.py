"""How prepaid accounts stand: by gateway and currency, and one by one where meters have series of their own.

Sampled, for what a balance was is not what a later credit or point makes of it. Accounts are read some at a time, and
folded outside of the transaction.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import sqlalchemy as sa

from cloud import schema
from cloud.config import Monitoring
from cloud.monitoring.adapters.standings import ACCOUNT_COLUMNS, Unfolded, read_accounts
from cloud.monitoring.adapters.survey import Lines, MakeLines, Scope, Step, Survey, Window
from cloud.monitoring.core.points import point
from cloud.monitoring.core.standing import DAY_MS

ACCOUNTS_PER_STEP: Final = 50
"""Each has some 80 entries to be read, and an account that another gateway reported of is decoded on the way."""
_account = schema.account.c


@dataclass(slots=True)
class _Sums:
    """What the accounts of a gateway in one currency come to."""

    accounts_count: int = 0
    cut_off_count: int = 0
    low_count: int = 0
    days_left_below_1_count: int = 0
    days_left_below_3_count: int = 0
    balance_minor: int = 0
    spent_day_minor: int = 0


@dataclass(slots=True)
class _Work:
    """What the steps of one gateway work on."""

    scope: Scope
    gateway: str
    at_ms: int
    parts_left: int
    """Parts that were not folded yet, or could not be: without all of them there are no sums."""
    after: str = ""
    """The last account read."""
    sums: dict[str, _Sums] = field(default_factory=lambda: defaultdict(_Sums))
    """By currency."""


def _steps(connection: sa.Connection, scope: Scope, window: Window) -> Sequence[Step]:
    query = sa.select(_account.gateway, sa.func.count()).where(_account.utility == scope.utility)
    steps: list[Step] = []
    for gateway, count in connection.execute(query.group_by(_account.gateway).order_by(_account.gateway)):
        work = _Work(scope, gateway, window.until_ms, parts_left=-(-count // ACCOUNTS_PER_STEP))
        steps += [partial(_read_part, work) for _ in range(work.parts_left)]
    return steps


def _read_part(work: _Work, connection: sa.Connection) -> MakeLines:
    rows = connection.execute(
        sa.select(*ACCOUNT_COLUMNS)
        .where(_account.utility == work.scope.utility, _account.gateway == work.gateway, _account.name > work.after)
        .order_by(_account.name)
        .limit(ACCOUNTS_PER_STEP)
    ).all()
    if rows:
        # First of all, so that the next step goes on behind these even if they cannot be read.
        work.after = rows[-1].name
    unfolded = read_accounts(connection, work.scope.utility, rows, at_ms=work.at_ms - DAY_MS)

    def make_lines() -> Lines:
        lines = [_fold(work, account) for account in unfolded]
        work.parts_left -= 1
        if work.parts_left == 0:
            lines += [_gateway_line(work, currency, sums) for currency, sums in sorted(work.sums.items())]
        return [line for line in lines if line is not None]

    return make_lines


def _fold(work: _Work, account: Unfolded) -> str | None:
    """Add an account to the sums, and return its own line if it has one."""
    at_ms = work.at_ms
    standing = account.folded(since_ms=at_ms)
    balance_minor, spent_minor = standing.balance_minor(at_ms), standing.spent_minor(at_ms)
    days_left, is_cut_off = standing.days_left(at_ms), standing.is_cut_off(at_ms)
    sums = work.sums[account.currency]
    sums.accounts_count += 1
    sums.cut_off_count += is_cut_off
    sums.low_count += not is_cut_off and standing.is_low(at_ms)
    if balance_minor > 0 and days_left is not None:
        sums.days_left_below_1_count += days_left < 1
        sums.days_left_below_3_count += days_left < 3
    sums.balance_minor += balance_minor
    sums.spent_day_minor += spent_minor
    if not work.scope.meters:
        return None
    tags = {
        "account": account.name,
        "currency": account.currency,
        "gateway": account.gateway,
        "meter": account.meter,
        "utility": work.scope.utility,
    }
    fields = {
        "balance_minor": balance_minor,
        "spent_day_minor": spent_minor,
        "days_left": days_left,
        "cut_off": is_cut_off,
    }
    return point("account", tags, fields, utc_ms=at_ms)


def _gateway_line(work: _Work, currency: str, sums: _Sums) -> str | None:
    tags = {"currency": currency, "gateway": work.gateway, "utility": work.scope.utility}
    fields = {name: getattr(sums, name) for name in _Sums.__slots__}
    return point("prepaid_state", tags, fields, utc_ms=work.at_ms)


def _width_s(settings: Monitoring) -> int:
    return settings.balances_s


SURVEYS = (Survey(name="prepaid", width_s=_width_s, steps=_steps, sampled=True),)
