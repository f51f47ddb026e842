"""A line with DLMS meters: drives data links over a carrier, one conversation at a time.

It opens the carrier, and after a failure only when a growing pause is over; does what a link's events say; keeps its
deadlines by the time of the event loop; counts what was carried. Links are given from outside and live as long as the
line: what may still come late of an earlier conversation, they know. Where frames carry no numbers (`keeps_open` is
false) every conversation has a stream of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from dlms.errors import LinkTimeoutError
from dlms.link.client import HdlcClient
from dlms.link.events import ClientLink, Connected, Disconnected, Failed, LinkEvent, Received, SendBytes
from gateway.adapters.dlms.carriers import Carrier
from gateway.ports import LineDownError, LineUsage

RECONNECT_MIN_MS = 500
RECONNECT_MAX_MS = 30_000
OPEN_MS_MAX = 10_000
BITS_PER_BYTE = 10
"""Eight data bits, start and stop."""

Unsolicited = Callable[[ClientLink, bytes], None]
"""Takes an APDU that a station sent unasked."""


class DlmsLine:
    """One line.

    Args:
        carrier: Its bytes.
        keeps_open: The stream outlives a conversation.
        settle_ms: How long an answer that nobody waits for any more may take to come, after a break.
        baud: Of a serial line, whose sending takes its time; 0 where it does not matter.
        on_unsolicited: Takes what stations say unasked; dropped without one.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        keeps_open: bool,
        settle_ms: int,
        baud: int = 0,
        on_unsolicited: Unsolicited | None = None,
    ) -> None:
        self.usage = LineUsage()
        self._carrier = carrier
        self._keeps_open = keeps_open
        self._settle_ms = settle_ms
        self._byte_ms = BITS_PER_BYTE * 1_000 / baud if baud else 0.0
        self._on_unsolicited = on_unsolicited
        self._links: dict[int, ClientLink] = {}
        self._is_open = False
        self._open_from_ms = 0.0
        self._failures = 0
        self._settled_at_ms = 0.0
        self._written_at_ms = 0.0
        self._sent_by_ms = 0.0
        """When the last byte will have gone out."""
        self._pending: deque[LinkEvent] = deque()
        self._is_asking = False
        """What was sent last has neither been answered nor counted as a failure."""
        self._is_heard = False
        """Something has come since."""
        self._bad_count = 0
        """Frames that had come damaged by then."""

    # ---- conversations -----------------------------------------------------------------------------------------------

    async def begin(self, link: ClientLink) -> None:
        """Connect a link.

        Raises:
            LineDownError: The carrier cannot be opened, or broke.
            LinkError: The station does not take the connection.
        """
        self._links[id(link)] = link
        await self._make_ready()
        self._pending.clear()
        await self._until(link, link.connect(now_ms=self._now_ms()), Connected)

    async def exchange(self, link: ClientLink, apdu: bytes) -> bytes:
        """Send an APDU and return the answer.

        Raises:
            LineDownError: The carrier broke.
            LinkError: The link did not carry it.
        """
        event = await self._until(link, link.send(apdu, now_ms=self._now_ms()), Received)
        assert isinstance(event, Received), "asked for"
        return event.apdu

    async def wait_on(self, link: ClientLink) -> bytes:
        """Return the next APDU that answers the request sent last; the one before was no answer.

        Raises:
            LineDownError: The carrier broke.
            LinkError: The link did not carry it.
        """
        event = await self._until(link, link.keep_waiting(now_ms=self._now_ms()), Received)
        assert isinstance(event, Received), "asked for"
        return event.apdu

    async def end(self, link: ClientLink) -> None:
        """Disconnect a link that has nothing under way.

        Raises:
            LineDownError: The carrier broke.
            LinkError: The station did not confirm it.
        """
        try:
            await self._until(link, link.disconnect(now_ms=self._now_ms()), Disconnected)
        finally:
            if not self._keeps_open:
                self._close()

    def abandon(self, *, is_answer_due: bool) -> None:
        """Give a conversation up in its middle, perhaps with an answer still on its way."""
        if is_answer_due:
            self._count_failure()
        if not self._keeps_open:
            self._close()
        elif is_answer_due:
            self._settled_at_ms = max(self._loop_ms(), self._sent_by_ms) + self._settle_ms

    def reset(self) -> None:
        """Drop the carrier; the next conversation opens it anew."""
        self._close()
        self._settled_at_ms = 0.0

    # ---- the carrier -------------------------------------------------------------------------------------------------

    async def _make_ready(self) -> None:
        if self._is_open and not self._keeps_open:
            self._close()
        if self._is_open:
            try:
                await self._let_settle()
            except OSError:
                # It broke while nobody used it: that is made good at once.
                self._close()
        if not self._is_open:
            await self._open()

    async def _open(self) -> None:
        wait_ms = self._open_from_ms - self._loop_ms()
        if wait_ms > 0:
            raise LineDownError("the line is down", retry_in_ms=max(round(wait_ms), 1))
        try:
            async with asyncio.timeout(OPEN_MS_MAX / 1_000):
                await self._carrier.open()
        except TimeoutError as exc:
            raise self._down("the line cannot be opened: nothing answers", broke=False) from exc
        except OSError as exc:
            raise self._down(f"the line cannot be opened: {exc}", broke=False) from exc
        self._is_open = True

    async def _let_settle(self) -> None:
        """Throw away what came for nobody, and after a break wait until nothing can come any more."""
        while True:
            until_ms = self._settled_at_ms if self._settled_at_ms >= self._loop_ms() + 1 else None
            data = await self._read(until_ms if until_ms is not None else 0.0)
            if data is None and until_ms is None:
                return

    def _down(self, problem: str, *, broke: bool) -> LineDownError:
        # A converter hangs up on idle connections: the first break is made good at once, later ones with no answer in
        # between are not, or one that hangs up on every request would be asked without end.
        self._count_failure()
        growing_ms = min(RECONNECT_MIN_MS << min(self._failures, 10), RECONNECT_MAX_MS)
        wait_ms = 0 if broke and not self._failures else growing_ms
        self._failures += 1
        self._open_from_ms = self._loop_ms() + wait_ms
        self._close()
        return LineDownError(problem, retry_in_ms=wait_ms)

    def _count_failure(self) -> None:
        """What was sent last got no good answer; counted once."""
        self.usage.failures += self._is_asking
        self._is_asking = False

    def _close(self) -> None:
        self._carrier.close()
        self._is_open = False
        self._pending.clear()
        for link in self._links.values():
            link.reset()

    # ---- driving a link ----------------------------------------------------------------------------------------------

    async def _until(self, link: ClientLink, events: tuple[LinkEvent, ...], wanted: type[LinkEvent]) -> LinkEvent:
        """Do what a link says until it says something of a kind; bounded by the link's own deadlines."""
        self._pending.extend(events)
        while True:
            while self._pending:
                event = self._pending.popleft()
                if self._is_news(link, event, wanted):
                    return event
            self._pending.extend(await self._next_events(link))

    def _is_news(self, link: ClientLink, event: LinkEvent, wanted: type[LinkEvent]) -> bool:
        match event:
            case SendBytes(data=data):
                self._write(link, data)
            case Received(apdu=apdu, is_unsolicited=True):
                if self._on_unsolicited is not None:
                    self._on_unsolicited(link, apdu)
            case Failed(error=error):
                self._count_failure()
                if not self._keeps_open:
                    self._close()
                raise error
            case _:
                # Over the wrapper a link connects by itself; only what a station sent is a sign of life.
                if isinstance(event, Received) or (isinstance(event, Connected) and event.parameters is not None):
                    self._failures = 0
                self._is_asking = False
                return isinstance(event, wanted)
        return False

    async def _next_events(self, link: ClientLink) -> tuple[LinkEvent, ...]:
        deadline_ms = link.next_deadline_ms()
        if deadline_ms is None:
            raise LinkTimeoutError("the link waits for nothing")
        # A station can answer only when the last byte has gone out.
        late_ms = max(self._sent_by_ms - self._written_at_ms, 0.0)
        try:
            data = await self._read(deadline_ms + late_ms)
        except OSError as exc:
            raise self._down(f"the connection broke: {exc}", broke=True) from exc
        events: tuple[LinkEvent, ...] = ()
        if data is not None:
            self.usage.received_bytes += len(data)
            self._is_heard = True
            events = link.receive(data, now_ms=self._now_ms())
        due_ms = link.next_deadline_ms()
        # Rounded, as links are told the time: a hair before the deadline it is due already.
        if not events and due_ms is not None and round(self._loop_ms() - late_ms) >= due_ms:
            events = link.on_timer(now_ms=self._now_ms())
            # A station that has said it needs time is asked again when that is over, too.
            if events and (not self._is_heard or _frames_bad_count(link) > self._bad_count):
                self._count_failure()
        return events

    def _write(self, link: ClientLink, data: bytes) -> None:
        self.usage.transactions += 1
        self.usage.sent_bytes += len(data)
        self._is_asking, self._is_heard, self._bad_count = True, False, _frames_bad_count(link)
        self._written_at_ms = self._loop_ms()
        self._sent_by_ms = max(self._sent_by_ms, self._written_at_ms) + len(data) * self._byte_ms
        try:
            self._carrier.write(data)
        except OSError as exc:
            raise self._down(f"the connection broke: {exc}", broke=True) from exc

    async def _read(self, until_ms: float) -> bytes | None:
        """Return what arrives until a time of the loop, None if nothing does."""
        limit = asyncio.timeout_at(until_ms / 1_000)
        try:
            async with limit:
                return await self._carrier.read()
        except TimeoutError:
            # TCP has an error of this name, too.
            if limit.expired():
                return None
            raise

    @staticmethod
    def _loop_ms() -> float:
        return asyncio.get_running_loop().time() * 1_000

    def _now_ms(self) -> int:
        return round(self._loop_ms())


def _frames_bad_count(link: ClientLink) -> int:
    return link.frames_bad_count if isinstance(link, HdlcClient) else 0
