"""Local prepaid control: the box follows each account by itself and holds the relay when credit is used up.

The balance is what `prepay` computes from the set of entries on this disk: credits and tariffs that came down,
register points that this box took. A point is taken each hour, at every switching, and whenever the register shows
that credit is about to run out; each goes up as it is, so that the cloud computes the same balance from the same set.
A statement of the cloud takes the place of the points up to its close: they leave memory and disk with it. The box
makes the same statement of its own points first and reports a difference; what was signed counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gateway.core.acquisition import Mirror
from gateway.core.collection import Collector
from gateway.core.moment import Moment
from gateway.core.relays import Relays
from gateway.core.store import Priority, SupplyStore
from prepay.account import Account
from prepay.balance import Balance
from prepay.closing import is_covered
from prepay.control import CreditPolicy, Decider, WarningLevel, decide
from prepay.entries import (
    QUANTITY_MAX,
    Adjustment,
    Assignment,
    Credit,
    Entry,
    PointReason,
    RegisterPoint,
    Release,
    Statement,
)
from prepay.holds import Hold
from prepay.identity import ForeignEntryError, encode, entry_digest, require_account
from prepay.money import charge_minor
from prepay.statement import TooMuchToCarryError, differences, make_statement
from wire import codec
from wire.errors import MalformedError
from wire.facts import EntryFact, PrepaidPolicy, decode_down_fact

HOUR_MS = 3_600_000
EVENT_CREDIT_EXHAUSTED = "3.20.8.150"
"""IEC 61968-9: electric meter, billing, credit, minimum limit reached."""
EVENT_CREDIT_RESTORED = "3.20.8.216"
EVENT_CREDIT_LOW = "3.20.8.223"
EVENT_STATEMENT_DIFFERS = "5.20.0.79"
"""IEC 61968-9: gateway, billing, error."""


@dataclass(slots=True)
class _Supply:
    """A meter that counts, or has counted, for an account."""

    account: Account
    policy: PrepaidPolicy | None = None
    assignment: Assignment | None = None
    """The latest installation's."""
    released: int = 0
    """The latest installation that ended."""
    point_hour: int = -1
    point_wh: int = -1
    warned: WarningLevel = WarningLevel.NONE

    @property
    def is_assigned(self) -> bool:
        return self.assignment is not None and self.assignment.installation > self.released

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Of all accounts of a meter the highest counts, in whatever order their entries came."""
        return self.is_assigned, self.assignment.from_ms if self.assignment else -1, self.account.name


@dataclass(slots=True)
class _Tables:
    by_account: dict[str, Account] = field(default_factory=dict)
    by_meter: dict[str, dict[str, _Supply]] = field(default_factory=dict)
    """For each meter what it is to each account it was ever named with."""
    last_credits: dict[str, Credit] = field(default_factory=dict)
    """For each account the one that was signed last."""


def signed_ms(entry: Entry) -> int:
    """Return the instant at which the cloud signed an entry, 0 where it says none: it is at least that late."""
    return entry.issued_at_ms if isinstance(entry, Credit | Adjustment | Statement) else 0


class CreditControl:
    """Places and lifts the credit hold of each meter whose account the box decides about."""

    def __init__(self, store: SupplyStore, *, collector: Collector, relays: Relays, boot: bytes) -> None:
        self._store = store
        self._collector = collector
        self._relays = relays
        self._boot = boot
        self._tables = _Tables()
        self._waiting: dict[str, int] | None = None
        """Meters to be decided about once all entries that came together are in, and as of when; None otherwise."""
        for account, encoded in store.entries():
            entry: Entry = codec.decode_as(encoded, Entry)
            self._account(account).add(entry)
            self._learn(account, entry)
        for encoded in store.down_facts():
            # What was refused when it came is held all the same.
            with suppress(MalformedError):
                fact = decode_down_fact(encoded)
                if isinstance(fact, PrepaidPolicy):
                    self._take_policy(fact)

    def accounts(self) -> Iterator[tuple[str, Account]]:
        """Return the accounts this box follows."""
        yield from self._tables.by_account.items()

    def balance(self, account: str, at_ms: int) -> Balance | None:
        """Return the balance of an account, or None if this box does not follow it."""
        known = self._tables.by_account.get(account)
        return None if known is None else _balance(known, at_ms)

    def mirror(self, meter: str, at_ms: int) -> Mirror | None:
        """Return what a meter is to show of its account, or None if it has none."""
        supply = self._current(meter)
        if supply is None or not supply.is_assigned:
            return None
        balance = _balance(supply.account, at_ms)
        last = self._tables.last_credits.get(supply.account.name)
        return Mirror(
            is_prepaid=True,
            balance_minor=balance.amount_minor,
            balance_at_s=at_ms // 1_000,
            recharge_minor=last.amount_minor if last is not None else None,
            recharge_at_s=last.issued_at_ms // 1_000 if last is not None else 0,
            total_minor=balance.credited_minor,
        )

    @contextmanager
    def together(self, now: Moment) -> Iterator[None]:
        """Decide once about what came in one message: an account's policy may stand in it before its first credit."""
        waiting: dict[str, int] = {}
        self._waiting = waiting
        try:
            yield
        finally:
            self._waiting = None
        for meter, at_ms in waiting.items():
            self._decide(meter, at_ms=at_ms, now=now)

    def on_entry(self, account: str, entry: Entry, *, at_ms: int, now: Moment) -> None:
        """Take an entry that the cloud signed.

        Raises:
            MalformedError: It names another account.
        """
        try:
            require_account(entry, account)
        except ForeignEntryError as error:
            raise MalformedError(str(error)) from error
        known = self._account(account)
        if isinstance(entry, Statement):
            self._compare(known, entry, now)
        if not known.add(entry):
            return
        self._store.add_entry(account, entry_digest(entry), encode(entry))
        self._store.drop_entries(known.take_covered())
        self._learn(account, entry)
        for meter in self._meters_of(account):
            self._decide(meter, at_ms=at_ms, now=now)

    def on_policy(self, fact: PrepaidPolicy, *, at_ms: int, now: Moment) -> None:
        """Take who decides about an account, and by what bounds."""
        self._take_policy(fact)
        self._decide(fact.meter, at_ms=at_ms, now=now)

    def on_register(self, meter: str, energy_wh: int, *, tick_ms: int, at_ms: int, now: Moment) -> None:
        """Follow a meter's register; `at_ms` is the tick in UTC as far as it is known."""
        supply = self._current(meter)
        if supply is None or not supply.is_assigned or not 0 <= energy_wh <= QUANTITY_MAX:
            return
        hour = at_ms // HOUR_MS
        if supply.point_hour < 0 or hour != supply.point_hour:
            self._add_point(supply, energy_wh, PointReason.HOURLY, tick_ms=tick_ms, at_ms=at_ms)
        elif self._may_run_out(supply, energy_wh, at_ms):
            self._add_point(supply, energy_wh, PointReason.SWITCHING, tick_ms=tick_ms, at_ms=at_ms)
        else:
            return
        self._decide(meter, at_ms=at_ms, now=now)

    def _compare(self, account: Account, statement: Statement, now: Moment) -> None:
        """Report where an own statement comes to other figures; only where it starts from the same predecessor."""
        if statement.closed_at_ms <= account.closed_at_ms:
            return
        entries: list[Entry] = [codec.decode_as(encoded, Entry) for encoded in self._store.entries_of(account.name)]
        if not _follows(statement, entries):
            return
        try:
            own = make_statement(
                entries, account=account.name, closed_at_ms=statement.closed_at_ms, issued_at_ms=statement.issued_at_ms
            )
        except TooMuchToCarryError as error:
            found = [str(error)]
        else:
            found = list(differences(statement, own))
        if found:
            detail = f"{account.name} at {statement.closed_at_ms}: {'; '.join(found)}"
            self._collector.add_event(EVENT_STATEMENT_DIFFERS, now=now, detail=detail)

    def _account(self, name: str) -> Account:
        return self._tables.by_account.setdefault(name, Account(name))

    def _meters_of(self, account: str) -> Iterable[str]:
        return [meter for meter, supplies in self._tables.by_meter.items() if account in supplies]

    def _current(self, meter: str) -> _Supply | None:
        return max(self._tables.by_meter.get(meter, {}).values(), key=lambda supply: supply.rank, default=None)

    def _learn(self, account: str, entry: Entry) -> None:
        match entry:
            case Assignment():
                supply = self._supply(entry.meter_serial, account)
                if supply.assignment is None or entry.installation > supply.assignment.installation:
                    supply.assignment = entry
                    supply.point_hour = -1
            case Release():
                supply = self._supply(entry.meter_serial, account)
                supply.released = max(supply.released, entry.installation)
            case RegisterPoint():
                supply = self._supply(entry.meter_serial, account)
                supply.point_hour = max(supply.point_hour, entry.taken_at_ms // HOUR_MS)
                supply.point_wh = max(supply.point_wh, entry.energy_wh)
            case Credit():
                last = self._tables.last_credits.get(account)
                if last is None or entry.issued_at_ms >= last.issued_at_ms:
                    self._tables.last_credits[account] = entry
            case _:
                pass

    def _supply(self, meter: str, account: str) -> _Supply:
        supplies = self._tables.by_meter.setdefault(meter, {})
        if account not in supplies:
            supplies[account] = _Supply(self._account(account))
        return supplies[account]

    def _take_policy(self, fact: PrepaidPolicy) -> None:
        supply = self._supply(fact.meter, fact.account)
        if supply.policy is None or fact.version > supply.policy.version:
            supply.policy = fact

    def _may_run_out(self, supply: _Supply, energy_wh: int, at_ms: int) -> bool:
        """Tell whether the energy since the last point may have used up what was left."""
        policy = supply.policy
        if policy is None or energy_wh <= supply.point_wh:
            return False
        price = supply.account.price_at(at_ms)
        if price is None:
            return False
        left_minor = _balance(supply.account, at_ms).amount_minor + policy.emergency_minor
        held = left_minor <= 0
        used_minor = charge_minor(energy_wh - supply.point_wh, price=price.price, price_digits=price.price_digits)
        # One more than the estimate, since each period is rounded only once.
        return not held and left_minor <= used_minor + 1

    def _add_point(self, supply: _Supply, energy_wh: int, reason: PointReason, *, tick_ms: int, at_ms: int) -> None:
        assert supply.assignment is not None, "points are taken of assigned meters only"
        point = RegisterPoint(
            meter_serial=supply.assignment.meter_serial,
            installation=supply.assignment.installation,
            boot_id=self._boot,
            tick_ms=tick_ms,
            taken_at_ms=at_ms,
            energy_wh=energy_wh,
            reason=reason,
        )
        supply.point_hour = at_ms // HOUR_MS
        supply.point_wh = energy_wh
        encoded = encode(point)
        is_closed = is_covered(point, supply.account.closed_at_ms)
        if supply.account.add(point):
            self._store.add_entry(supply.account.name, entry_digest(point), encoded)
        elif not is_closed:
            return
        self._collector.add_fact(EntryFact(account=supply.account.name, entry=encoded), Priority.LEDGER)

    def _decide(self, meter: str, *, at_ms: int, now: Moment) -> None:
        if self._waiting is not None:
            self._waiting[meter] = at_ms
            return
        supply = self._current(meter)
        if supply is None or supply.policy is None or not self._relays.has_relay(meter):
            return
        balance = _balance(supply.account, at_ms)
        policy = CreditPolicy(
            decider=Decider(supply.policy.decides),
            emergency_credit_minor=supply.policy.emergency_minor,
            low_balance_minor=supply.policy.low_minor,
        )
        if policy.decider is not Decider.BOX:
            # Whoever decides now disconnects by command; a hold of ours would stand for ever.
            self._relays.lift(meter, Hold.CREDIT)
        decision = decide(balance, policy, holds=self._relays.holds(meter), decider=Decider.BOX)
        if decision.change is not None:
            self._carry_out(
                meter, held=Hold.CREDIT in decision.apply(self._relays.holds(meter)), balance=balance, now=now
            )
        if decision.warning is WarningLevel.LOW and supply.warned is WarningLevel.NONE:
            self._collector.add_event(EVENT_CREDIT_LOW, now=now, meter=meter, detail=str(balance))
        supply.warned = decision.warning

    def _carry_out(self, meter: str, *, held: bool, balance: Balance, now: Moment) -> None:
        if held:
            self._relays.place(meter, Hold.CREDIT)
            self._collector.add_event(EVENT_CREDIT_EXHAUSTED, now=now, meter=meter, detail=str(balance))
        else:
            self._relays.lift(meter, Hold.CREDIT)
            self._collector.add_event(EVENT_CREDIT_RESTORED, now=now, meter=meter, detail=str(balance))


def _balance(account: Account, at_ms: int) -> Balance:
    """Return a balance, no earlier than the close: a clock that was set back would ask for one that is not known."""
    return account.balance(max(at_ms, account.closed_at_ms))


def _follows(statement: Statement, entries: Sequence[Entry]) -> bool:
    """Tell whether a set holds what a statement started from."""
    if statement.predecessor:
        return any(isinstance(entry, Statement) and entry_digest(entry) == statement.predecessor for entry in entries)
    return any(isinstance(entry, RegisterPoint) for entry in entries)
