"""The life of a command as the cloud sees it.

    accepted ──▶ sent ──▶ delivered ──▶ executed | failed | expired | superseded | refused
        │          └──────────┴──▶ unknown ──▶ (a late receipt has the last word)
        └──▶ expired (the deadline passed before it was ever sent)

Only the gateway ends a command that was sent: the cloud can say no more than `unknown`. A final state never changes.
"""

from wire.facts import Stage
from wire.messages import State

FINAL = frozenset({State.EXECUTED, State.FAILED, State.EXPIRED, State.SUPERSEDED, State.REFUSED})

UNKNOWN_AFTER_MS = 60_000
"""How long after its deadline a sent command's receipt is waited for."""
RESEND_MS = 5_000
RESEND_MS_MAX = 300_000
ASK_AGAIN_MS = 600_000
"""An unknown command is still sent from time to time: the answer is the receipt, not another run."""
ASK_MS_MAX = 30 * 86_400_000
"""So long after its deadline it is given up: gateways forget commands by then."""

_BY_STAGE = {
    Stage.ACCEPTED: State.DELIVERED,
    Stage.EXECUTED: State.EXECUTED,
    Stage.FAILED: State.FAILED,
    Stage.EXPIRED: State.EXPIRED,
    Stage.SUPERSEDED: State.SUPERSEDED,
    Stage.REFUSED: State.REFUSED,
}


def after_receipt(state: State, stage: Stage) -> State:
    """Return the state after what the gateway said."""
    if state in FINAL:
        return state
    new = _BY_STAGE[stage]
    if new is State.DELIVERED and state is State.UNKNOWN:
        return State.UNKNOWN
    return new


def after_timer(state: State, *, was_sent: bool, not_after_ms: int, now_ms: int) -> State:
    """Return the state once time has passed."""
    if state in FINAL or now_ms <= not_after_ms:
        return state
    if not was_sent:
        return State.EXPIRED
    return State.UNKNOWN if now_ms > not_after_ms + UNKNOWN_AFTER_MS else state


def next_due_ms(state: State, *, attempt_count: int, overdue_ms: int, timer_ms: int) -> int | None:
    """Return when to act on a command next, or None when nothing is left to do but to wait.

    Args:
        state: Its state.
        attempt_count: How often it was sent.
        overdue_ms: How long its deadline is over; below zero before.
        timer_ms: Real Unix time.
    """
    if state in FINAL or overdue_ms > ASK_MS_MAX:
        return None
    if state is State.UNKNOWN:
        return timer_ms + ASK_AGAIN_MS
    return timer_ms + min(RESEND_MS << min(attempt_count, 10), RESEND_MS_MAX)
