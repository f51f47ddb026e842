"""How commands, demand reads and reconnections after a credit meet their targets; `collection` tells the rest.

What begins in a span of a target is told once, when the last deadline has passed: by then nothing changes it any more.
For reconnections the accounts are asked: a credit counts where the box held the relay before it and no longer had to
after it, and it is met when the cloud hears that supply is back. Register points that come late can change which
credits count when a past window is asked again.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import sqlalchemy as sa

from cloud import schema
from cloud.monitoring.adapters.arrivals import message_since
from cloud.monitoring.adapters.standings import ACCOUNT_COLUMNS, read_accounts
from cloud.monitoring.adapters.survey import Lines, MakeLines, Scope, Step, Survey, Window, no_lines
from cloud.monitoring.adapters.targets import latest_judgement_s, load_targets
from cloud.monitoring.core.latencies import EFFECT_OF, CommandSeen, commands_counted
from cloud.monitoring.core.targets import HOUR_MS, Metric, Target, level_line, settled_spans
from cloud.prepaid.adapters.accounts import CASH_BOOK
from wire.messages import State

CREDITS_PER_STEP: Final = 20
"""Of a past window all entries since then are read of each account."""
LAG_S: Final = 60
DARK_MS_MIN: Final = 60_000
"""So long before a credit the account must have been cut off: the first credit of a new one ends no darkness."""
EVENT_CREDIT_RESTORED: Final = "3.20.8.216"
"""IEC 61968-9, as gateways send it when they lift the credit hold."""
WALLET: Final = "wallet:"
_command, _event, _message = schema.command.c, schema.event.c, schema.message.c
_account = schema.account.c


class Paid(NamedTuple):
    """A credit."""

    account: str
    at_ms: int


@dataclass(slots=True)
class _Work:
    """What the steps about the credits of one span work on."""

    scope: Scope
    target: Target
    from_ms: int
    until_ms: int
    restored_ms: dict[str, list[int]] = field(default_factory=dict)
    """By meter when the cloud heard that supply was back, ascending."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many credits count, and how many were met."""
    steps_left: int = 0
    """Steps that were not done yet, or could not be: without all of them nothing is concluded."""

    @property
    def settled_ms(self) -> int:
        return self.until_ms + self.target.deadline_ms


def _steps(connection: sa.Connection, scope: Scope, window: Window) -> Sequence[Step]:
    settled = [
        (target, *span)
        for target in load_targets(scope.settings.targets_file)
        for span in settled_spans(target, from_ms=window.from_ms, until_ms=window.until_ms)
    ]
    steps: list[Step] = []
    about_commands = [item for item in settled if item[0].metric in EFFECT_OF]
    if about_commands:
        steps.append(partial(_read_commands, scope, about_commands))
    for target, from_ms, until_ms in settled:
        if target.metric is not Metric.RECONNECT_AFTER_CREDIT:
            continue
        work = _Work(scope, target, from_ms, until_ms)
        paid = _payments(connection, work)
        parts = [paid[at : at + CREDITS_PER_STEP] for at in range(0, len(paid), CREDITS_PER_STEP)]
        if parts:
            steps.append(partial(_read_restorations, work))
            steps += [partial(_read_paid, work, part) for part in parts]
            steps.append(partial(_conclude, work))
            work.steps_left = 1 + len(parts)
    return steps


# ---- commands --------------------------------------------------------------------------------------------------------


def _read_commands(scope: Scope, settled: Sequence[tuple[Target, int, int]], connection: sa.Connection) -> MakeLines:
    found = {span: _commands(connection, scope, *span) for span in {(from_ms, until) for _, from_ms, until in settled}}

    def make_lines() -> Lines:
        lines: list[str | None] = []
        for target, from_ms, until_ms in settled:
            count, met_count = commands_counted(found[from_ms, until_ms], target)
            lines.append(level_line(target, scope.utility, count=count, met_count=met_count, from_ms=from_ms))
        return [line for line in lines if line is not None]

    return make_lines


def _commands(connection: sa.Connection, scope: Scope, from_ms: int, until_ms: int) -> list[CommandSeen]:
    """Return the commands of a span; those for meters that no gateway serves are nobody's to carry out."""
    query = (
        sa.select(
            _command.client,
            _command.request,
            _command.effect,
            _command.issued_at_ms,
            _command.state,
            _command.state_at_ms,
        )
        # No command is issued after its deadline; by that there is an index.
        .where(_command.utility == scope.utility, _command.not_after_ms >= from_ms)
        .where(_command.issued_at_ms >= from_ms, _command.issued_at_ms < until_ms)
        .where(_command.effect.in_(EFFECT_OF.values()), _command.gateway != "")
    )
    return [CommandSeen((client, bytes(request)), *rest) for client, request, *rest in connection.execute(query)]


# ---- reconnections ---------------------------------------------------------------------------------------------------


def _payments(connection: sa.Connection, work: _Work) -> list[Paid]:
    book, wallet = schema.posting.alias("book"), schema.posting.alias("wallet")
    query = (
        sa.select(wallet.c.ledger_account, book.c.at_ms)
        .join_from(book, wallet, sa.and_(wallet.c.utility == book.c.utility, wallet.c.transfer == book.c.transfer))
        .where(book.c.utility == work.scope.utility, book.c.ledger_account == CASH_BOOK)
        .where(book.c.at_ms >= work.from_ms, book.c.at_ms < work.until_ms)
        .where(wallet.c.ledger_account.startswith(WALLET), wallet.c.amount_minor > 0)
        .order_by(wallet.c.ledger_account, book.c.at_ms)
    )
    return [Paid(name.removeprefix(WALLET), at_ms) for name, at_ms in connection.execute(query)]


def _read_restorations(work: _Work, connection: sa.Connection) -> MakeLines:
    """Read when the cloud heard that supply was back: of the gateway that lifted its hold, or closed by command."""
    events = (
        sa.select(_event.meter, _message.received_at_ms)
        .join_from(schema.event, schema.message, _message.id == _event.message)
        .where(_event.utility == work.scope.utility, _event.code == EVENT_CREDIT_RESTORED)
        .where(_event.message >= message_since(connection, work.from_ms))
        .where(_message.received_at_ms <= work.settled_ms)
    )
    commands = (
        sa.select(_command.meter, _command.state_at_ms)
        .where(_command.utility == work.scope.utility, _command.not_after_ms >= work.from_ms)
        .where(_command.effect == "relay", _command.state == State.EXECUTED.value, _command.relay_closed.is_(True))
        .where(_command.state_at_ms >= work.from_ms, _command.state_at_ms <= work.settled_ms)
    )
    heard = sorted((at_ms, meter) for query in (events, commands) for meter, at_ms in connection.execute(query))
    for at_ms, meter in heard:
        work.restored_ms.setdefault(meter, []).append(at_ms)
    work.steps_left -= 1
    return no_lines


def _read_paid(work: _Work, paid: Sequence[Paid], connection: sa.Connection) -> MakeLines:
    since_ms = min(item.at_ms for item in paid) - DARK_MS_MIN
    rows = connection.execute(
        sa.select(*ACCOUNT_COLUMNS).where(
            _account.utility == work.scope.utility, _account.name.in_({item.account for item in paid})
        )
    ).all()
    unfolded = read_accounts(connection, work.scope.utility, rows, at_ms=since_ms)

    def count() -> Lines:
        for account in unfolded:
            standing = account.folded(since_ms=since_ms)
            for item in paid:
                ends_a_cut = item.account == account.name and (
                    standing.is_cut_off(item.at_ms - DARK_MS_MIN) and not standing.is_cut_off(item.at_ms)
                )
                if ends_a_cut:
                    restored_ms = work.restored_ms.get(account.meter, [])
                    at = bisect_left(restored_ms, item.at_ms)
                    in_time = at < len(restored_ms) and restored_ms[at] - item.at_ms <= work.target.deadline_ms
                    work.counts.update(count=1, met=int(in_time))
        work.steps_left -= 1
        return no_lines()

    return count


def _conclude(work: _Work, connection: sa.Connection) -> MakeLines:  # noqa: ARG001
    def make_lines() -> Lines:
        line = level_line(
            work.target,
            work.scope.utility,
            count=work.counts["count"],
            met_count=work.counts["met"],
            from_ms=work.from_ms,
        )
        return [] if line is None or work.steps_left else [line]

    return make_lines


SURVEYS = (
    Survey(
        name="service levels",
        width_s=lambda _settings: HOUR_MS // 1_000,
        steps=_steps,
        reach_s=latest_judgement_s,
        lag_s=LAG_S,
    ),
)
