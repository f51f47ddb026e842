"""Topics: where a message of each address travels on a broker, and what may be subscribed to.

The tree lies under a root (`wp/1`), one root per utility. A topic only routes; trust comes from the signature.
"""

from dataclasses import dataclass
from enum import StrEnum

from wire.address import Address, Direction, Kind, is_name, require_name
from wire.errors import MalformedError, Reason


class Lane(StrEnum):
    """The two roads of batches, read in separate sessions: what must not wait, and what may."""

    URGENT = "urgent"
    BULK = "bulk"


_UP = {"hello": Kind.HELLO, "urgent": Kind.BATCH, "bulk": Kind.BATCH}
_DOWN = {"welcome": Kind.WELCOME, "ack": Kind.ACK, "facts": Kind.FACTS, "command": Kind.COMMAND}
_CLIENT = {"request": (Direction.CLIENT_UP, Kind.REQUEST), "status": (Direction.CLIENT_DOWN, Kind.STATUS)}


@dataclass(frozen=True, slots=True)
class TopicTree:
    """The topics of one utility."""

    utility: str
    root: str = "wp/1"

    def up(self, gateway: str, leaf: str) -> str:
        """Return a topic that a gateway publishes to: leaf `hello`, `urgent`, `bulk` or `bye`."""
        return f"{self.root}/g/{gateway}/up/{leaf}"

    def down(self, gateway: str, kind: Kind) -> str:
        """Return a topic that a gateway receives on."""
        return f"{self.root}/g/{gateway}/down/{kind.value}"

    def down_filter(self, gateway: str) -> str:
        """Return the filter of all that comes down to a gateway."""
        return f"{self.root}/g/{gateway}/down/+"

    def up_filter(self, leaf: str, *, share: str = "") -> str:
        """Return the cloud's filter of one leaf of all gateways, shared among handlers if `share` names a group."""
        prefix = f"$share/{share}/" if share else ""
        return f"{prefix}{self.root}/g/+/up/{leaf}"

    def client(self, client: str, kind: Kind) -> str:
        """Return a topic of an integrator's own tree."""
        return f"{self.root}/c/{client}/{kind.value}"

    def request_filter(self, *, share: str = "") -> str:
        """Return the cloud's filter of all integrators' requests."""
        prefix = f"$share/{share}/" if share else ""
        return f"{prefix}{self.root}/c/+/request"

    def parse(self, topic: str) -> Address:
        """Return the address that a topic stands for.

        Raises:
            MalformedError: Not a topic of this tree (reason `bad-topic`).
        """
        if topic.startswith(self.root + "/"):
            match topic[len(self.root) + 1 :].split("/"):
                case ["g", gateway, "up", leaf] if leaf in _UP:
                    return Address(self.utility, Direction.UP, _UP[leaf], require_name(gateway))
                case ["g", gateway, "down", leaf] if leaf in _DOWN:
                    return Address(self.utility, Direction.DOWN, _DOWN[leaf], require_name(gateway))
                case ["c", client, leaf] if leaf in _CLIENT:
                    direction, kind = _CLIENT[leaf]
                    return Address(self.utility, direction, kind, require_name(client))
                case _:
                    pass
        raise MalformedError(f"{topic[:80]!r} is no topic under {self.root}", Reason.BAD_TOPIC)

    def bye_gateway(self, topic: str) -> str | None:
        """Return the gateway whose will this topic carries, or None."""
        prefix, suffix = f"{self.root}/g/", "/up/bye"
        gateway = topic[len(prefix) : -len(suffix)]
        return gateway if topic == f"{prefix}{gateway}{suffix}" and is_name(gateway) else None
