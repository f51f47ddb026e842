"""How a prepaid account stands at an instant: balance, use, and whether its box holds the relay for want of credit.

The balance is `prepay`'s, of the same set as everywhere. Cut off is what the box does by `prepay.control`: it holds the
relay from where the emergency credit is used up until the balance is above zero; only accounts that their box decides
about are cut off that way. Whether a meter has a relay at all the cloud does not know.
"""

from bisect import bisect_right
from collections.abc import Iterable

from prepay.account import Account
from prepay.balance import Balance
from prepay.control import CreditPolicy, Decider, WarningLevel, warning
from prepay.entries import Adjustment, Credit, Entry, Opening, RegisterPoint, Statement
from prepay.money import NO_CURRENCY
from wire.facts import PrepaidPolicy

DAY_MS = 86_400_000


class Standing:
    """An account that is asked about one or several instants.

    Args:
        account: Its name.
        policy: The last one issued.
        entries: What its balance is computed from; statements that close after `since_ms` are left aside.
        since_ms: The earliest instant to be asked about; earlier than the latest close it becomes that.
    """

    def __init__(self, account: str, policy: PrepaidPolicy, entries: Iterable[Entry], *, since_ms: int) -> None:
        counting = [entry for entry in entries if not isinstance(entry, Statement) or entry.closed_at_ms <= since_ms]
        # Terms before points, points by time: in any other order the account comes to the same with more work.
        self._balances: dict[int, Balance] = {}
        self._account = Account(account)
        self._account.update(sorted(counting, key=_order))
        self._money_ms = sorted(entry.issued_at_ms for entry in counting if isinstance(entry, Credit | Adjustment))
        self._opened_ms = min((entry.opened_at_ms for entry in counting if isinstance(entry, Opening)), default=0)
        self._policy = CreditPolicy(
            decider=Decider(policy.decides),
            emergency_credit_minor=policy.emergency_minor,
            low_balance_minor=policy.low_minor,
        )

    def balance_minor(self, at_ms: int) -> int:
        """Return the balance, at the latest close where the instant lies before."""
        return self._at(at_ms).amount_minor

    def spent_minor(self, at_ms: int) -> int:
        """Return what was used in the 24 hours before an instant, or since the latest close."""
        return self._at(at_ms).charged_minor - self._at(at_ms - DAY_MS).charged_minor

    def days_left(self, at_ms: int) -> float | None:
        """Return how many days the balance lasts at the use of the day before; None where nothing was used."""
        spent_minor = self.spent_minor(at_ms)
        return max(0, self.balance_minor(at_ms)) / spent_minor if spent_minor > 0 else None

    def is_low(self, at_ms: int) -> bool:
        """Tell whether the household is warned: at its warning level or living on emergency credit."""
        return warning(self._at(at_ms), self._policy) is not WarningLevel.NONE

    def is_cut_off(self, at_ms: int) -> bool:
        """Tell whether the box holds the relay; what was before the latest close is taken for no hold."""
        if self._policy.decider is not Decider.BOX:
            return False
        held = self._held_at(at_ms)
        for moment_ms in reversed(self._money_ms[: bisect_right(self._money_ms, at_ms)]):
            if held is not None or moment_ms <= self._account.closed_at_ms:
                break
            # Credits alone raise a balance: it came up to where it is, or fell to there from above.
            held = False if self._held_at(moment_ms) is False else self._held_at(moment_ms - 1)
        return held is True

    def _at(self, at_ms: int) -> Balance:
        instant_ms = max(at_ms, self._account.closed_at_ms)
        if instant_ms not in self._balances:
            self._balances[instant_ms] = self._account.balance(instant_ms)
        return self._balances[instant_ms]

    def _held_at(self, at_ms: int) -> bool | None:
        """Tell whether the balance alone says that the relay is held; None where it depends on what was before."""
        balance = self._at(at_ms)
        if at_ms < self._opened_ms:
            return False
        if balance.currency == NO_CURRENCY or balance.amount_minor > self._policy.restore_above_minor:
            return False
        return True if balance.amount_minor <= -self._policy.emergency_credit_minor else None


def _order(entry: Entry) -> int:
    return entry.taken_at_ms if isinstance(entry, RegisterPoint) else -1
