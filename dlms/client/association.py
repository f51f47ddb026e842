"""One association of a client with a logical device: open it, read, write and invoke by name, close it.

Decides what may be done when: one conversation at a time, none before the association is open, none after one was
broken off. Bytes go in and out through `Exchange`: whoever drives it sends what it yields over a link and gives it what
came back. How a conversation runs is decided in `opening`, `reading`, `writing` and `acting`.

A conversation that is abandoned, or whose answer was not acceptable, leaves the association broken: the server may
still send an answer to it, which must not become the answer to something else. A refusal breaks nothing.
"""

from collections.abc import Generator, Iterator, Sequence
from enum import Enum
from typing import Any, TypeVar

from dlms.apdu.blocks import GENERAL_BLOCK_TRANSFER
from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import (
    AttributeDescriptor,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    MethodDescriptor,
    Notification,
    SelectedAttribute,
    Selection,
)
from dlms.axdr.data import Data
from dlms.client import acting, opening, reading, writing
from dlms.client.channel import Channel, Exchange
from dlms.client.general_blocks import Reassembly
from dlms.client.settings import AssociationSettings, Granted
from dlms.cosem.attribute import AttributeRef, MethodRef
from dlms.errors import AccessRefusedError, ProtocolError, RefusedError, SecurityError
from dlms.security.authentication import HIGH_LEVEL, checked_challenge
from dlms.security.counters import CounterSource, PeerCounterPolicy, PeerCounters
from dlms.security.protection import Protector

__all__ = ["ClientAssociation", "Exchange"]

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


class _State(Enum):
    NEW = "not open"
    BUSY = "in the middle of another conversation"
    OPEN = "open"
    BROKEN = "broken off in the middle of a conversation; open a new one"
    CLOSED = "closed"


class ClientAssociation:
    """One association, from its AARQ to its end; for another one make another object, with another challenge."""

    def __init__(
        self,
        settings: AssociationSettings,
        *,
        challenge: bytes = b"",
        counters: CounterSource | None = None,
        peer_counters: PeerCounters | None = None,
    ) -> None:
        """Prepare an association; nothing is sent.

        Args:
            settings: What it is to be.
            challenge: For HLS: 8 to 64 random bytes that were never used before; 16 suit all servers.
            counters: Of what is sent, for ciphering and mechanism 5.
            peer_counters: What is demanded of the server's; strictly rising, if nothing is said.

        Raises:
            SecurityError: The settings need a challenge or counters, and there are none.
        """
        if settings.mechanism in HIGH_LEVEL:
            checked_challenge(challenge)
        protector: Protector | None = None
        if settings.is_ciphered and settings.keys is not None:
            if counters is None:
                raise SecurityError("ciphering needs invocation counters")
            peer_counters = peer_counters or PeerCounters(PeerCounterPolicy.STRICT)
            peer_counters.begin()
            required = settings.control if settings.required is None else settings.required
            protector = Protector(
                settings.system_title, settings.server_title, settings.keys, counters, peer_counters, required=required
            )
        self.granted: Granted | None = None
        """What the server agreed to, once the association is open."""
        self._settings = settings
        self._challenge = challenge
        self._counters = counters
        self._channel = Channel(settings, protector)
        self._state = _State.NEW
        self._pushed: Reassembly | None = None

    @property
    def is_open(self) -> bool:
        """Say whether a conversation can begin."""
        return self._state is _State.OPEN

    def open(self) -> Exchange[Granted]:
        """Open the association, both sides authenticated where the mechanism has it.

        Raises:
            AssociationRefusedError: The server rejects it.
            AuthenticationError: One side does not convince the other.
            DlmsError: Anything else that keeps it from being open.
        """
        if self._state is not _State.NEW:
            raise ProtocolError(f"the association cannot be opened: it is {self._state.value}")
        self._state = _State.BUSY
        granted: Granted | None = None
        try:
            granted = yield from opening.associate(self._channel, self._challenge, self._counters)
        finally:
            self._state = _State.BROKEN if granted is None else _State.OPEN
        self.granted = granted
        return granted

    def close(self) -> Exchange[None]:
        """Release the association; it is over, whatever comes of this.

        Raises:
            DlmsError: The server answers with something that is neither a release nor a refusal.
        """
        self._begin()
        self._state = _State.CLOSED
        yield from opening.release(self._channel)

    def get(self, attribute: AttributeRef[T], selection: Selection | None = None) -> Exchange[T]:
        """Read an attribute, or the part of it that is selected.

        Raises:
            AccessRefusedError: The server says no.
            RefusedError: It refuses the whole request.
            DecodeError: The value cannot be what the attribute holds.
        """
        return attribute.decode((yield from self.get_raw(attribute.descriptor, selection)))

    def get_raw(self, attribute: AttributeDescriptor, selection: Selection | None = None) -> Exchange[bytes]:
        """Read an attribute as A-XDR."""
        return (yield from self._alone(reading.read(self._channel, SelectedAttribute(attribute, selection))))

    def get_many(self, attributes: Sequence[AttributeRef[Any]]) -> Exchange[list[Any]]:
        """Read several attributes: each one's value, or the `AccessRefusedError` that says why there is none."""
        selected = [SelectedAttribute(attribute.descriptor) for attribute in attributes]
        outcomes = yield from self._alone(reading.read_all(self._channel, selected))
        return [
            reading.refusal_of(outcome.result, attribute.descriptor)
            if outcome.data is None
            else attribute.decode(outcome.data)
            for attribute, outcome in zip(attributes, outcomes, strict=True)
        ]

    def set(self, attribute: AttributeRef[T], value: T | Data) -> Exchange[None]:
        """Write an attribute.

        Raises:
            AccessRefusedError: The server says no.
            RefusedError: It refuses the whole request.
            ValueError: The value does not fit the attribute.
        """
        yield from self.set_raw(attribute.descriptor, attribute.encode(value))

    def set_raw(
        self, attribute: AttributeDescriptor, value: bytes, selection: Selection | None = None
    ) -> Exchange[None]:
        """Write an attribute as A-XDR."""
        yield from self._alone(writing.write(self._channel, SelectedAttribute(attribute, selection), value))

    def set_many(self, values: Sequence[tuple[AttributeRef[Any], Any]]) -> Exchange[list[AccessRefusedError | None]]:
        """Write several attributes: for each None, or the error that says why it was not written."""
        selected = [SelectedAttribute(attribute.descriptor) for attribute, _ in values]
        encoded = [attribute.encode(value) for attribute, value in values]
        results = yield from self._alone(writing.write_all(self._channel, selected, encoded))
        return [
            reading.refusal_of(result, attribute.descriptor) if result else None
            for (attribute, _), result in zip(values, results, strict=True)
        ]

    def invoke(self, method: MethodRef[P, R], parameters: P | Data) -> Exchange[R]:
        """Invoke a method.

        Raises:
            ActionRefusedError: The server says no.
            RefusedError: It refuses the whole request.
            DecodeError: What it returns cannot be what the method returns.
            ValueError: The parameters do not fit the method.
        """
        returned = yield from self.invoke_raw(method.descriptor, method.encode(parameters))
        return method.decode(returned)

    def invoke_raw(self, method: MethodDescriptor, parameters: bytes | None) -> Exchange[bytes | None]:
        """Invoke a method with A-XDR, and return what it returns as A-XDR."""
        return (yield from self._alone(acting.invoke(self._channel, method, parameters)))

    def on_unsolicited(self, apdu: bytes) -> Notification | None:
        """Return the notification that an APDU nobody asked for is; None if it is none, or not whole yet.

        Raises:
            DlmsError: It could not be read, or is not protected as agreed.
        """
        if apdu[:1] == bytes((GENERAL_BLOCK_TRANSFER,)):
            whole = self._add_pushed(apdu)
            if whole is None:
                return None
            apdu = whole
        opened = self._channel.open_answer(apdu)
        return opened if isinstance(opened, (DataNotification, EventNotification)) else None

    def take_notifications(self) -> Iterator[Notification]:
        """Yield, once, the notifications that came where an answer was due."""
        waiting = self._channel.notifications
        while waiting:
            yield waiting.popleft()

    def _add_pushed(self, apdu: bytes) -> bytes | None:
        """Collect a notification that comes in general blocks; the first block of another one begins anew."""
        block = decode_apdu(apdu)
        if not isinstance(block, GeneralBlockTransfer):
            return None
        if block.block == 1 or self._pushed is None:
            self._pushed = Reassembly(self._settings.transfer_bytes_max)
        pushed, self._pushed = self._pushed, None
        whole = pushed.add(block)
        if whole is None:
            self._pushed = pushed
        return whole

    def _begin(self) -> None:
        if self._state is not _State.OPEN:
            raise ProtocolError(f"the association is {self._state.value}")
        self._state = _State.BUSY
        self._channel.has_asked = False

    def _alone(self, exchange: Generator[bytes, bytes, T]) -> Exchange[T]:
        """Run a conversation with nothing beside it, and break the association off where it does not end well."""
        self._begin()
        after = _State.BROKEN
        try:
            result = yield from exchange
            after = _State.OPEN
        except RefusedError:
            after = _State.OPEN
            raise
        finally:
            self._state = after if self._channel.has_asked else _State.OPEN
        return result
