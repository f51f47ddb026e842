"""What may come in: from the bytes on a topic to checked facts, or to one typed refusal.

A batch whose signature holds but whose content does not is kept aside and its sender told, so that it does not come for
ever; anything else that does not hold is counted and forgotten. No input raises anything but what is declared.
"""

from dataclasses import dataclass

from wire.address import Address, Direction, Kind
from wire.errors import MalformedError, Reason, WireError
from wire.facts import UpFact
from wire.keys import KeyRegistry
from wire.messages import Batch, Hello, Request, facts_of, message_of, purpose_of
from wire.readings import Profile, Readings, captured, to_table
from wire.signing import Opened, open_sealed
from wire.topics import Lane, TopicTree


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedBatch:
    """A batch that holds in every part."""

    utility: str
    gateway: str
    lane: Lane
    digest: bytes
    sealed: bytes
    facts: list[UpFact]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedHello:
    """A hello that holds."""

    utility: str
    gateway: str
    hello: Hello


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequest:
    """A request of an integrator that holds."""

    utility: str
    client: str
    request: Request
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that does not hold."""

    utility: str
    reason: Reason
    party: str
    """Who signed it; empty where no signature held."""
    set_aside: bytes = b""
    """The signed bytes of a batch to keep aside; empty for none."""
    lane: Lane = Lane.BULK


Admitted = AdmittedBatch | AdmittedHello | AdmittedRequest


def admit(topic: str, payload: bytes, *, retained: bool, tree: TopicTree, keys: KeyRegistry) -> Admitted | Refused:
    """Check a message completely.

    Args:
        topic: Where it came in; says as whose and what it must have been signed.
        payload: Its bytes.
        retained: Whether the broker had kept it; nothing of ours is ever retained.
        tree: The utility's topics.
        keys: The utility's public keys.
    """
    try:
        address = tree.parse(topic)
        if address.direction not in (Direction.UP, Direction.CLIENT_UP):
            raise MalformedError("not a topic that is sent up", Reason.BAD_TOPIC)
        if retained:
            raise MalformedError("retained by the broker", Reason.RETAINED)
    except WireError as error:
        return Refused(utility=tree.utility, reason=error.reason, party="")
    lane = Lane.URGENT if topic.endswith("/urgent") else Lane.BULK
    aside = payload if address.kind is Kind.BATCH else b""
    try:
        opened = open_sealed(payload, address, keys, purpose_of(address.kind))
    except WireError as error:
        if error.reason is not Reason.REVOKED_KEY:
            return Refused(utility=tree.utility, reason=error.reason, party="")
        return Refused(utility=tree.utility, reason=error.reason, party=address.party, set_aside=aside, lane=lane)
    try:
        return _content(opened, address, payload, lane)
    except WireError as error:
        return Refused(utility=tree.utility, reason=error.reason, party=address.party, set_aside=aside, lane=lane)


def _content(opened: Opened, address: Address, sealed: bytes, lane: Lane) -> Admitted:
    match message_of(opened, address.kind):
        case Batch() as batch:
            facts = facts_of(batch)
            for fact in facts:
                match fact:
                    case Readings():
                        to_table(fact)
                    case Profile():
                        captured(fact)
                    case _:
                        pass
            return AdmittedBatch(
                utility=address.utility,
                gateway=address.party,
                lane=lane,
                digest=opened.digest,
                sealed=sealed,
                facts=facts,
            )
        case Hello() as hello:
            return AdmittedHello(utility=address.utility, gateway=address.party, hello=hello)
        case Request() as request:
            return AdmittedRequest(utility=address.utility, client=address.party, request=request, sealed=sealed)
        case other:
            raise MalformedError(f"a {type(other).__name__} is not sent up")
