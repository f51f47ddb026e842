"""What an integrator may ask for: effects by name, meters by prefix."""

from dataclasses import dataclass

from wire.errors import Reason
from wire.messages import Request, effect_name

EFFECTS = ("disconnect", "reconnect", "limit", "read", "ping")


@dataclass(frozen=True, slots=True)
class Scope:
    """What one client may do."""

    effects: frozenset[str]
    """Names of effects, of `EFFECTS`."""
    meters: tuple[str, ...]
    """Prefixes of meter ids; `*` stands for every meter."""

    @classmethod
    def from_text(cls, effects: str, meters: str) -> "Scope":
        """Read a scope from its two comma-separated lists."""
        return cls(frozenset(effects.split(",")), tuple(prefix for prefix in meters.split(",") if prefix))

    def covers(self, meter: str) -> bool:
        """Tell whether a meter is in scope."""
        return any(prefix == "*" or meter.startswith(prefix) for prefix in self.meters)


def judge(request: Request, scope: Scope | None, *, now_ms: int) -> Reason | None:
    """Return why a whole request is refused, or None."""
    if scope is None or effect_name(request.effect) not in scope.effects:
        return Reason.NOT_ALLOWED
    if not all(scope.covers(meter) for meter in request.meters):
        return Reason.NOT_ALLOWED
    if request.not_after_ms <= now_ms:
        return Reason.EXPIRED
    return None
