"""A conversation with a meter: one association from its opening to its release, over one link of the line.

Decides how an association comes about: with a counter the meter accepts (asked of its public client where we do not
know it), with a meter that proves to be the one that was there before or a new one, and how it ends when something in
it goes wrong. What is talked about is the business of whoever began it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from dlms.apdu.conformance import Conformance
from dlms.apdu.services import Selection
from dlms.client.association import ClientAssociation, Exchange
from dlms.client.settings import AssociationSettings, Granted
from dlms.cosem.attribute import AttributeRef, MethodRef
from dlms.cosem.codecs import DOUBLE_LONG_UNSIGNED
from dlms.cosem.registers import DataObject
from dlms.errors import (
    AccessRefusedError,
    AssociationRefusedError,
    DecodeError,
    DlmsError,
    LinkTimeoutError,
    RefusedError,
    ReplayError,
    SecurityError,
    ServiceRefusedError,
)
from dlms.link.events import ClientLink
from dlms.security.authentication import CHALLENGE_BYTES
from dlms.security.counters import PeerCounters
from dlms.security.keys import KEY_BYTES
from gateway.adapters.dlms.access import DEDICATED_OF, Access, DlmsMeter, Role
from gateway.adapters.dlms.counters import CounterBook, HeardCounters, SentCounter
from gateway.adapters.dlms.line import DlmsLine
from gateway.ports import LineDownError

EXCHANGE_S_MAX = 120
"""No request takes this long, with all the blocks of its answer."""

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")
MakeLink = Callable[[DlmsMeter, int], ClientLink]
"""Makes the link to a meter for a client address."""


class Conversation:
    """An open association; use it as a context manager, which releases it.

    Of what it raises, `RefusedError` and `DecodeError` leave it open as long as `is_open` says so.
    """

    def __init__(
        self,
        line: DlmsLine,
        link: ClientLink,
        association: ClientAssociation,
        *,
        meter: DlmsMeter,
        role: Role,
        sent: SentCounter | None = None,
        heard: HeardCounters | None = None,
        releases: bool,
    ) -> None:
        self.meter = meter
        self.role = role
        self._line = line
        self._link = link
        self._association = association
        self._sent = sent
        self._heard = heard
        self._releases = releases

    @property
    def is_open(self) -> bool:
        return self._association.is_open

    @property
    def granted(self) -> Granted:
        """What the meter agreed to."""
        assert self._association.granted is not None, "it is open"
        return self._association.granted

    def grants(self, needed: Conformance) -> bool:
        """Say whether the meter granted a service."""
        return self.granted.conformance & needed == needed

    async def get(self, attribute: AttributeRef[T], selection: Selection | None = None) -> T:
        return await self._do(self._association.get(attribute, selection))

    async def get_many(self, attributes: Sequence[AttributeRef[Any]]) -> list[Any]:
        """Return each one's value, or the error that says why there is none."""
        if not attributes:
            return []
        try:
            return await self._do(self._association.get_many(attributes))
        except RefusedError:
            # It grants lists and does not take this one.
            if len(attributes) == 1 or not self.is_open:
                raise
        return [await self._get_or_refusal(attribute) for attribute in attributes]

    async def _get_or_refusal(self, attribute: AttributeRef[Any]) -> Any:
        try:
            return await self.get(attribute)
        except AccessRefusedError as refusal:
            return refusal

    async def set(self, attribute: AttributeRef[T], value: Any) -> None:
        await self._do(self._association.set(attribute, value))

    async def set_many(self, values: Sequence[tuple[AttributeRef[Any], Any]]) -> list[AccessRefusedError | None]:
        return await self._do(self._association.set_many(values))

    async def invoke(self, method: MethodRef[P, R], parameters: P) -> R:
        return await self._do(self._association.invoke(method, parameters))

    async def open(self) -> Granted:
        """Open it; the link is connected."""
        return await self._do(self._association.open())

    async def _do(self, exchange: Exchange[T]) -> T:
        limit = asyncio.timeout(EXCHANGE_S_MAX)
        try:
            async with limit:
                return await self._run(exchange)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise LinkTimeoutError("the answer goes on without end") from exc
        finally:
            # Left in its middle, it breaks the association off: what is still to come fits nothing else.
            exchange.close()

    async def _run(self, exchange: Exchange[T]) -> T:
        answer: bytes | None = None
        while True:
            if self._sent is not None:
                await self._sent.reserve()
            try:
                apdu = next(exchange) if answer is None else exchange.send(answer)
            except StopIteration as stop:
                value: T = stop.value
                return value
            # An empty APDU asks for what follows a notification that came instead of the answer.
            answer = await (self._line.exchange(self._link, apdu) if apdu else self._line.wait_on(self._link))

    # ---- its end -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LineDownError):
            return
        is_interrupted = isinstance(error, asyncio.CancelledError)
        if is_interrupted or not self._link.is_connected:
            self._line.abandon(is_answer_due=is_interrupted)
            return
        # What was done is done; a meter that does not confirm the end forgets the association by itself.
        with suppress(DlmsError, LineDownError):
            await self.close()

    async def close(self) -> None:
        """Release the association and disconnect the link.

        Raises:
            LineDownError: The line broke.
            DlmsError: The meter did not confirm it.
        """
        try:
            if self._heard is not None:
                await self._heard.keep()
            # Over HDLC the end of the link is the end of the association (Green Book 9.4.5), and takes fewer bytes.
            if self._releases and self._association.is_open:
                await self._do(self._association.close())
        finally:
            await self._line.end(self._link)


class Conversations:
    """Begins conversations on one line.

    Args:
        line: The line.
        make_link: Makes the link to a meter; each is made once.
        counters: The gateway's.
        fresh_bytes: Random bytes that nobody can guess.
        releases: Associations are released before the link is closed.
        wall_s: Unix seconds as far as this machine knows, for a counter that nobody knows.
    """

    def __init__(
        self,
        line: DlmsLine,
        *,
        make_link: MakeLink,
        counters: CounterBook,
        fresh_bytes: Callable[[int], bytes],
        releases: bool,
        wall_s: Callable[[], int],
    ) -> None:
        self._line = line
        self._make_link = make_link
        self._counters = counters
        self._fresh_bytes = fresh_bytes
        self._releases = releases
        self._wall_s = wall_s
        self._links: dict[tuple[str, int], ClientLink] = {}

    async def begin(self, meter: DlmsMeter, role: Role) -> Conversation:
        """Open an association.

        Raises:
            LineDownError: The line cannot be opened, or broke.
            DlmsError: The meter does not answer, will not, or is not who it should be.
        """
        access = meter.roles[role]
        if not access.is_ciphered:
            return await self._open(meter, role, access, None, None, PeerCounters(meter.peer_counters))
        sent = await self._counters.sent(access.settings)
        heard = await self._counters.heard(meter.id, access.settings, meter.peer_counters)
        if sent.is_doubtful:
            await self._resolve_doubt(meter, access, sent)
        try:
            return await self._open(meter, role, access, sent, heard, heard.counters)
        except ReplayError as error:
            return await self._open_if_other(meter, role, access, sent, heard, error)
        except (AssociationRefusedError, ServiceRefusedError, SecurityError) as error:
            # A wrong secret and a counter that the meter has seen look alike.
            if not await self._corrects(meter, access, sent, error):
                raise
            return await self._open(meter, role, access, sent, heard, heard.counters)

    async def _open(
        self,
        meter: DlmsMeter,
        role: Role,
        access: Access,
        sent: SentCounter | None,
        heard: HeardCounters | None,
        peer_counters: PeerCounters,
    ) -> Conversation:
        settings = self._settings(access)
        association = ClientAssociation(
            settings, challenge=self._fresh_bytes(CHALLENGE_BYTES), counters=sent, peer_counters=peer_counters
        )
        link = self._link(meter, settings.client_sap)
        talk = Conversation(
            self._line,
            link,
            association,
            meter=meter,
            role=role,
            sent=sent,
            heard=heard,
            releases=self._releases,
        )
        is_linked = False
        try:
            await self._line.begin(link)
            is_linked = True
            granted = await talk.open()
        except BaseException as error:
            if sent is not None and is_linked and isinstance(error, LinkTimeoutError):
                # Some meters meet a counter that they have seen with silence.
                sent.is_doubtful = True
            await talk.__aexit__(type(error), error, error.__traceback__)
            raise
        if heard is not None and peer_counters is heard.counters:
            heard.adopt(granted.server_title, peer_counters)
        return talk

    async def _open_if_other(
        self,
        meter: DlmsMeter,
        role: Role,
        access: Access,
        sent: SentCounter,
        heard: HeardCounters,
        error: ReplayError,
    ) -> Conversation:
        """Open anew to a meter whose counter is too low, and believe it only if it is another meter than before."""
        counters = heard.unknown()
        talk = await self._open(meter, role, access, sent, heard, counters)
        title = talk.granted.server_title
        if title is None or title == heard.title:
            await talk.__aexit__(None, None, None)
            raise error
        heard.adopt(title, counters)
        return talk

    async def _corrects(self, meter: DlmsMeter, access: Access, sent: SentCounter, error: DlmsError) -> bool:
        """Say whether our counter was too low, and lift it if so."""
        if isinstance(error, ServiceRefusedError) and error.invocation_counter is not None:
            return sent.raise_to(error.invocation_counter)
        if access.counter is None:
            return False
        with suppress(DlmsError):
            return sent.raise_to(await self._shown_counter(meter, access.counter) + 1)
        return False

    async def _resolve_doubt(self, meter: DlmsMeter, access: Access, sent: SentCounter) -> None:
        """Lift our counter above what the meter shows to everybody, or above the time where it shows nothing."""
        least = 0
        if access.counter is not None:
            with suppress(RefusedError, DecodeError):
                least = await self._shown_counter(meter, access.counter) + 1
        if not least and not sent.next_value:
            least = max(self._wall_s() - _COUNTED_FROM_S, 1)
        sent.raise_to(least)
        sent.is_doubtful = False

    async def _shown_counter(self, meter: DlmsMeter, name: str) -> int:
        """Return the counter that the meter's public client shows for another one."""
        public = meter.roles[Role.PUBLIC]
        talk = await self._open(meter, Role.PUBLIC, public, None, None, PeerCounters(meter.peer_counters))
        async with talk:
            shown = await talk.get(DataObject(name).value.using(DOUBLE_LONG_UNSIGNED))
        if shown < 0:
            raise DecodeError("the meter shows an invocation counter below 0")
        return shown

    def _settings(self, access: Access) -> AssociationSettings:
        settings = access.settings
        if not access.uses_dedicated_key or settings.keys is None:
            return settings
        keys = replace(settings.keys, dedicated=self._fresh_bytes(KEY_BYTES))
        return replace(settings, keys=keys, form=DEDICATED_OF[settings.form])

    def _link(self, meter: DlmsMeter, client: int) -> ClientLink:
        name = (meter.id, client)
        if name not in self._links:
            self._links[name] = self._make_link(meter, client)
        return self._links[name]


_COUNTED_FROM_S = 1_577_836_800
"""2020: seconds since then rise faster than conversations do, and leave room for a century."""
