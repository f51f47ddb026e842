"""Which commands meet a target, and which of them it is about."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cloud.monitoring.core.targets import BULK_COMMANDS_MIN, CommandScope, Metric, Target
from wire.messages import State

EFFECT_OF = {Metric.COMMAND_LATENCY: "relay", Metric.ON_DEMAND_READ: "read"}
"""The effect group that a metric is about."""


class CommandSeen(NamedTuple):
    """What became of a command that was issued for a gateway."""

    request: tuple[str, bytes]
    """Client and id of the request it belongs to."""
    effect: str
    issued_at_ms: int
    state: str
    state_at_ms: int


def commands_counted(commands: Sequence[CommandSeen], target: Target) -> tuple[int, int]:
    """Return how many commands a target is about, and how many of them met it.

    Met is what was carried out in time. Superseded commands are left out: nobody waits for them any more.

    Args:
        commands: All that were issued in a span; those of one request are issued at once.
        target: Of a metric of `EFFECT_OF`.
    """
    mine = [command for command in commands if command.effect == EFFECT_OF[target.metric]]
    waited_for = [command for command in _in_scope(mine, target.scope) if command.state != State.SUPERSEDED]
    met = [
        command
        for command in waited_for
        if command.state == State.EXECUTED and command.state_at_ms - command.issued_at_ms <= target.deadline_ms
    ]
    return len(waited_for), len(met)


def _in_scope(commands: Sequence[CommandSeen], scope: CommandScope) -> Iterable[CommandSeen]:
    if scope is CommandScope.ALL:
        return commands
    sizes = Counter(command.request for command in commands)
    wanted = scope is CommandScope.BULK
    return [command for command in commands if (sizes[command.request] >= BULK_COMMANDS_MIN) is wanted]
