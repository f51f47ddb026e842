"""Pushes: what a meter says unasked is proved, understood and handed on; the rest is refused, counted and told once.

Whose push it is `push_senders` finds out, what it says `push_contents`. One push at a time is looked at: a store that
is slow slows the senders, and nothing is believed twice. Nothing that comes ends this.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import GeneralBlockTransfer
from dlms.client.general_blocks import Reassembly
from dlms.errors import DecodeError, DlmsError
from dlms.security.protection import is_ciphered
from gateway.adapters.dlms.push_contents import contents_of, members_of
from gateway.adapters.dlms.push_meters import PushBook
from gateway.adapters.dlms.push_senders import Budget, PushSenders, Refusal, RefusedPushError, notification_in
from gateway.core.acquisition import Pushed
from wire.runtime.clock import Clock

APDU_BYTES_MAX: Final = 8_192
"""Of one push; one with a status word has 100 bytes, one with a row of values some hundreds."""
TOLD_MAX: Final = 1_024
"""Senders of whom it is remembered what was told of them last."""
LINES_PER_HOUR_MAX: Final = 60
HOUR_MS: Final = 3_600_000
_BLOCK: Final = b"\xe0"
"""General block transfer."""
_REMEDIES: Final = {
    Refusal.REPLAYED: 'somebody repeats it; if this meter forgets its counter, set its peer_counters to "unchecked"',
    Refusal.UNPROTECTED: 'let the meter protect its pushes, or set security = "none" in its dlms.push',
    Refusal.ALTERED: "compare keys and system title of the meter with its dlms.push",
    Refusal.UNKNOWN: "give the meter a dlms.push with its title or name, or close the port to this sender",
    Refusal.UNFIT: "let a visit read the meter's push list, or push the event status word",
}

_log = structlog.get_logger()


class PushStream:
    """APDUs that come by one way, some of them in general blocks."""

    def __init__(self) -> None:
        self._blocks: Reassembly | None = None

    def whole(self, apdu: bytes) -> bytes | None:
        """Return the APDU that is whole now, if one is.

        Raises:
            DlmsError: A block that fits nothing.
        """
        if apdu[:1] != _BLOCK:
            return apdu
        block = decode_apdu(apdu)
        if not isinstance(block, GeneralBlockTransfer):
            raise DecodeError("a tag of a general block and none behind it")
        if block.block == 1 or self._blocks is None:
            self._blocks = Reassembly(APDU_BYTES_MAX)
        blocks, self._blocks = self._blocks, None
        whole = blocks.add(block)
        if whole is None:
            self._blocks = blocks
        return whole


class PushReader:
    """Takes pushes of all meters.

    Args:
        senders: Who sends.
        book: What visits found out.
        sink: Takes what was understood; awaited.
        clock: Stamps.
    """

    def __init__(
        self, senders: PushSenders, *, book: PushBook, sink: Callable[[Pushed], Awaitable[None]], clock: Clock
    ) -> None:
        self._senders = senders
        self._book = book
        self._sink = sink
        self._clock = clock
        self._busy = asyncio.Lock()
        self._lines = Budget(LINES_PER_HOUR_MAX, HOUR_MS)
        self._told: OrderedDict[str, Refusal] = OrderedDict()
        """By sender, why it was refused last; who is taken is not there."""
        self.taken = 0
        self.refused: Counter[Refusal] = Counter()

    async def take(self, apdu: bytes, stream: PushStream, *, peer: str) -> bool:
        """Take what came, whatever it is; False if it is refused.

        Args:
            apdu: One APDU.
            stream: Of the way by which it came.
            peer: Address from which it came.
        """
        tick_ms = self._clock.tick_ms()
        try:
            whole = stream.whole(apdu)
            if whole is None:
                return True
            async with self._busy:
                pushed = await self._read(whole, tick_ms, peer)
                await self._sink(pushed)
        except RefusedPushError as refused:
            self._refuse(refused.refusal, refused.subject, refused.detail, peer)
            return False
        except DlmsError as error:
            self._refuse(Refusal.GARBLED, f"from {peer}", str(error), peer)
            return False
        except Exception:  # noqa: BLE001  what we trip over must not keep others out
            self.refused[Refusal.FAULT] += 1
            if self._may_write():
                _log.exception("push.failed", peer=peer)
            return False
        if pushed.word is None and not pushed.samples:
            self._refuse(Refusal.UNFIT, pushed.meter_id, "", peer)
            return False
        self.taken += 1
        if self._told.pop(pushed.meter_id, None) is not None and self._may_write():
            _log.info("push.taken_again", sender=pushed.meter_id)
        return True

    async def _read(self, apdu: bytes, tick_ms: int, peer: str) -> Pushed:
        opened = None
        if is_ciphered(apdu):
            meter, opened = await self._senders.open(apdu, peer=peer)
            notification = notification_in(opened.apdu, meter.id)
            members = members_of(notification)
            self._senders.believe(meter, opened)
        else:
            notification = notification_in(apdu, f"from {peer}")
            members = members_of(notification)
            meter = await self._senders.named(members, peer=peer)
        lists = await self._book.of(meter.id)
        contents = contents_of(notification, members, profile=meter.profile, lists=lists)
        return Pushed(
            meter_id=meter.id,
            tick_ms=tick_ms,
            at_s=contents.at_s,
            word=contents.word,
            samples=contents.samples,
            title=opened.title if opened is not None else b"",
            key=meter.key_name,
            counter=opened.counter if opened is not None else -1,
        )

    def _refuse(self, refusal: Refusal, sender: str, detail: str, peer: str) -> None:
        self.refused[refusal] += 1
        if self._told.get(sender) is refusal:
            self._told.move_to_end(sender)
            return
        self._told[sender] = refusal
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        if self._may_write():
            remedy = _REMEDIES.get(refusal, "")
            _log.warning("push.refused", reason=refusal, sender=sender, detail=detail, peer=peer, remedy=remedy)

    def _may_write(self) -> bool:
        return self._lines.take(self._clock.monotonic_ms())
