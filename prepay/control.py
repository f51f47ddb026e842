"""From a balance to the credit hold: whether to place it, to lift it, or to leave it.

It decides by one policy per account: cut when the balance has used up the emergency credit, restore only above
`restore_above_minor`, and between the two change nothing, so that a relay does not chatter and a debt is paid first.
It touches no other hold. Carrying the change to the relay and telling the household are left to the gateway.
"""

from dataclasses import dataclass
from enum import Enum

from prepay.balance import Balance
from prepay.holds import Hold, Holds
from prepay.money import NO_CURRENCY


class Decider(Enum):
    """Who decides about credit for an account."""

    CLOUD = "cloud"
    BOX = "box"
    """The gateway by itself, with or without a network."""
    EXTERNAL = "external"
    """Another party's engine, by commands."""


class WarningLevel(Enum):
    """What to tell the household."""

    NONE = "none"
    LOW = "low"
    EMERGENCY = "emergency"
    """Nothing left but emergency credit."""
    EXHAUSTED = "exhausted"


class Cause(Enum):
    """Why a decision came out as it did."""

    EXHAUSTED = "exhausted"
    RESTORED = "restored"
    UNCHANGED = "unchanged"
    GRACE = "grace"
    """The balance is exhausted, and the account is not cut yet."""
    NOT_OPENED = "not_opened"
    """The account's opening has not arrived: the balance means nothing yet."""
    NOT_OURS = "not_ours"
    """Another party decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPolicy:
    """How credit is controlled for an account."""

    decider: Decider = Decider.BOX
    emergency_credit_minor: int = 0
    """How far below zero the balance may go before the relay opens."""
    restore_above_minor: int = 0
    """A held relay is released only above this balance."""
    low_balance_minor: int = 0
    """Warn at or below this balance."""
    grace_until_ms: int = 0
    """No cut before this instant."""

    def __post_init__(self) -> None:
        if self.emergency_credit_minor < 0:
            raise ValueError("emergency credit is an amount, not below zero")
        if self.restore_above_minor < -self.emergency_credit_minor:
            raise ValueError("restoring at a balance that is cut at would chatter")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceCreditHold:
    """Hold the relay for want of credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftCreditHold:
    """Lift the credit hold and no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about credit, with the balance that says so."""

    change: PlaceCreditHold | LiftCreditHold | None
    cause: Cause
    warning: WarningLevel
    amount_minor: int
    version: int
    digest: bytes
    at_ms: int

    def apply(self, holds: Holds) -> Holds:
        """Return the holds after this decision."""
        match self.change:
            case PlaceCreditHold():
                return holds.place(Hold.CREDIT)
            case LiftCreditHold():
                return holds.lift(Hold.CREDIT)
            case None:
                return holds


def decide(balance: Balance, policy: CreditPolicy, *, holds: Holds, decider: Decider) -> Decision:
    """Decide about the credit hold.

    Args:
        balance: Of the account, at the instant of the decision.
        policy: Of the account.
        holds: What stands on the relay now.
        decider: Who asks; anyone but the policy's decider changes nothing.
    """
    change, cause = _change(balance, policy, held=Hold.CREDIT in holds, decider=decider)
    return Decision(
        change=change,
        cause=cause,
        warning=warning(balance, policy),
        amount_minor=balance.amount_minor,
        version=balance.version,
        digest=balance.digest,
        at_ms=balance.at_ms,
    )


def warning(balance: Balance, policy: CreditPolicy) -> WarningLevel:
    """Return what to tell the household about its balance."""
    if balance.currency == NO_CURRENCY:
        return WarningLevel.NONE
    if balance.amount_minor <= -policy.emergency_credit_minor:
        return WarningLevel.EXHAUSTED
    if balance.amount_minor <= 0:
        return WarningLevel.EMERGENCY
    return WarningLevel.LOW if balance.amount_minor <= policy.low_balance_minor else WarningLevel.NONE


def _change(
    balance: Balance, policy: CreditPolicy, *, held: bool, decider: Decider
) -> tuple[PlaceCreditHold | LiftCreditHold | None, Cause]:
    if decider is not policy.decider:
        return None, Cause.NOT_OURS
    if balance.currency == NO_CURRENCY:
        return None, Cause.NOT_OPENED
    if held:
        restored = balance.amount_minor > policy.restore_above_minor
        return (LiftCreditHold(), Cause.RESTORED) if restored else (None, Cause.UNCHANGED)
    if balance.amount_minor > -policy.emergency_credit_minor:
        return None, Cause.UNCHANGED
    if balance.at_ms < policy.grace_until_ms:
        return None, Cause.GRACE
    return PlaceCreditHold(), Cause.EXHAUSTED
