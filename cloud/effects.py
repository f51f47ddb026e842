"""What rooms ask the shell to do once their transaction is committed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Hand a signed message to the broker; whoever needs an answer repeats it until there is one."""

    topic: str
    sealed: bytes
