"""Whose push it is: by system title and key where it is ciphered, by what it calls itself where it is not.

What was believed last stands with the core; here is a copy of it, asked for again when somebody comes whom nobody
knows. A title that is not known is tried with the keys of those meters that have none yet; what opens with keys that
several have must also bear one of their names.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from dlms.apdu.codec import decode_apdu
from dlms.apdu.services import DataNotification, EventNotification
from dlms.axdr.values import Value
from dlms.errors import DecodeError, DlmsError, ReplayError, SecurityError, UnprotectedError
from dlms.security.counters import PeerCounters
from dlms.security.protection import Opened, Protector, sender_title
from dlms.security.suite0 import AUTHENTICATED
from gateway.adapters.dlms.push_contents import Notification, members_of, names_in
from gateway.adapters.dlms.push_meters import PushBook, PushMeter
from gateway.core.pushes import Sender

REFRESH_MS: Final = 5_000
"""How often the core is asked again at most."""
TRIALS_PER_S_MAX: Final = 500
"""Keys tried on pushes whose sender is not known."""
SERIAL_BYTES_MIN: Final = 6
"""A shorter name may be the end of any other."""
OUR_TITLE: Final = bytes(8)
"""Nothing is ever sent under it."""


class Refusal(StrEnum):
    """Why a push is not taken."""

    GARBLED = "garbled"
    NO_PUSH = "no-push"
    """Some other APDU."""
    UNKNOWN = "unknown-meter"
    """It names nobody whose pushes are taken, and no key that we have opens it."""
    UNPROTECTED = "unprotected"
    ALTERED = "altered"
    """It names a known sender, whose key does not open it."""
    REPLAYED = "replayed"
    UNFIT = "nothing-understood"
    FAULT = "fault"
    """Of this program."""


class RefusedPushError(Exception):
    """Raised when a push is not taken."""

    def __init__(self, refusal: Refusal, subject: str, detail: str = "") -> None:
        super().__init__(f"{refusal.value}: {subject}: {detail}")
        self.refusal = refusal
        self.subject = subject
        """A meter, or what the sender calls itself."""
        self.detail = detail


class _Silence:
    """The counters of what is never sent."""

    def take(self) -> NoReturn:
        raise SecurityError("pushes are not answered")


@dataclass(slots=True)
class Budget:
    """So many in a period, all of them at once if need be."""

    count_max: int
    period_ms: int
    period: int = -1
    count: int = 0

    def take(self, now_ms: int) -> bool:
        """Take one; False if there is none left."""
        period = now_ms // self.period_ms
        if period != self.period:
            self.period, self.count = period, 0
        self.count += 1
        return self.count <= self.count_max


class PushSenders:
    """Knows who sends.

    Args:
        meters: Whose pushes are taken.
        book: What visits found out.
        ask: Returns what the core knows of meters; awaited.
        now_ms: Monotonic milliseconds.
    """

    def __init__(
        self,
        meters: Sequence[PushMeter],
        *,
        book: PushBook,
        ask: Callable[[], Awaitable[Mapping[str, Sender]]],
        now_ms: Callable[[], int],
    ) -> None:
        self._meters = tuple(meters)
        self._book = book
        self._ask = ask
        self._now_ms = now_ms
        self._senders: dict[str, Sender] = {}
        self._names: dict[str, frozenset[bytes]] = {}
        self._asked_ms: int | None = None
        self._trials = Budget(TRIALS_PER_S_MAX, 1_000)
        keys = [meter.key_name for meter in meters]
        self._sole = {meter.id for meter in meters if keys.count(meter.key_name) == 1}
        """Meters whose keys no other has."""

    async def open(self, apdu: bytes, *, peer: str) -> tuple[PushMeter, Opened]:
        """Return the meter whose key opens a ciphered push, and what is in it.

        Raises:
            RefusedPushError: None does, or it was taken before.
            DecodeError: It is cut short.
        """
        await self._begin()
        title = sender_title(apdu)
        if title is None:
            return await self._open_untitled(apdu, peer)
        meter = self._by_title(title)
        if meter is None and await self._refresh():
            meter = self._by_title(title)
        return self._try(apdu, title) if meter is None else (meter, self._opened(meter, apdu, title))

    async def named(self, members: Sequence[Value], *, peer: str) -> PushMeter:
        """Return the meter that a plain push names.

        Raises:
            RefusedPushError: It names none, or one that has to protect what it pushes.
        """
        await self._begin()
        names = list(names_in(members))
        found = self._by_names(names)
        if not found and await self._refresh():
            found = self._by_names(names)
        if len(found) != 1:
            subject = names[0][:32].decode("ascii", errors="backslashreplace") if names else f"from {peer}"
            raise RefusedPushError(Refusal.UNKNOWN, subject)
        if found[0].keys is not None:
            raise RefusedPushError(Refusal.UNPROTECTED, found[0].id)
        return found[0]

    def believe(self, meter: PushMeter, opened: Opened) -> None:
        """Take a push that the core is told of, so that it is not taken twice."""
        serial = self._sender(meter).serial
        self._senders[meter.id] = Sender(opened.title, meter.key_name, opened.counter, serial)

    # ---- what is known -----------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """See to it that nobody is believed before it is known what was taken in earlier runs."""
        if self._asked_ms is None:
            await self._refresh()

    async def _refresh(self) -> bool:
        """Ask the core, unless it was asked just now; False if it was."""
        now_ms = self._now_ms()
        if self._asked_ms is not None and now_ms - self._asked_ms < REFRESH_MS:
            return False
        self._asked_ms = now_ms
        self._senders = dict(await self._ask())
        for meter in self._meters:
            serial = self._sender(meter).serial.encode()
            told = (await self._book.of(meter.id)).names
            self._names[meter.id] = frozenset(name for name in (*meter.names, *told, serial) if name)
        return True

    def _sender(self, meter: PushMeter) -> Sender:
        return self._senders.get(meter.id) or Sender(b"", b"", -1, "")

    def _title(self, meter: PushMeter) -> bytes:
        return meter.title or self._sender(meter).title

    def _by_title(self, title: bytes) -> PushMeter | None:
        return next((meter for meter in self._meters if meter.keys is not None and self._title(meter) == title), None)

    def _by_names(self, names: Sequence[bytes]) -> list[PushMeter]:
        return [meter for meter in self._meters if not self._names.get(meter.id, frozenset()).isdisjoint(names)]

    # ---- keys --------------------------------------------------------------------------------------------------------

    def _try(self, apdu: bytes, title: bytes) -> tuple[PushMeter, Opened]:
        """Try the keys of the meters that have no title yet."""
        for meter in self._meters:
            if meter.keys is None or self._title(meter) or not self._trials.take(self._now_ms()):
                continue
            with suppress(RefusedPushError):
                opened = self._opened(meter, apdu, title)
                if self._is_named(meter, opened.apdu):
                    return meter, opened
        raise RefusedPushError(Refusal.UNKNOWN, f"system title {title.hex()}")

    async def _open_untitled(self, apdu: bytes, peer: str) -> tuple[PushMeter, Opened]:
        """Open a form that does not name its sender: of one whose title is known."""
        await self._refresh()
        for meter in self._meters:
            title = self._title(meter)
            if meter.keys is None or not title or not self._trials.take(self._now_ms()):
                continue
            try:
                return meter, self._opened(meter, apdu, title)
            except RefusedPushError as refused:
                if refused.refusal is not Refusal.ALTERED:
                    raise
        raise RefusedPushError(Refusal.UNKNOWN, f"from {peer}")

    def _is_named(self, meter: PushMeter, plain: bytes) -> bool:
        """Tell whether a push that opens with a meter's keys is the meter's own."""
        names = self._names.get(meter.id)
        is_sole = meter.id in self._sole
        if not names:
            return is_sole
        # A device id is often the maker's letters and the serial number: enough where nobody else has the key.
        ends = tuple(name for name in names if len(name) >= SERIAL_BYTES_MIN) if is_sole else ()
        return any(name in names or name.endswith(ends) for name in _names_of(plain))

    def _opened(self, meter: PushMeter, apdu: bytes, title: bytes) -> Opened:
        assert meter.keys is not None, "a plain push is not opened"
        sender = self._sender(meter)
        is_same = (sender.title, sender.key) == (title, meter.key_name)
        counters = PeerCounters(meter.policy, sender.counter if is_same else -1)
        try:
            required = meter.required | AUTHENTICATED
            return Protector(OUR_TITLE, title, meter.keys, _Silence(), counters, required=required).unprotect(apdu)
        except ReplayError as error:
            raise RefusedPushError(Refusal.REPLAYED, meter.id, str(error)) from error
        except UnprotectedError as error:
            raise RefusedPushError(Refusal.UNPROTECTED, meter.id, str(error)) from error
        except SecurityError as error:
            raise RefusedPushError(Refusal.ALTERED, meter.id, str(error)) from error


def notification_in(plain: bytes, subject: str) -> Notification:
    """Return the push that a plain APDU is.

    Raises:
        RefusedPushError: It is none.
        DecodeError: It is cut short.
    """
    if plain[:1] not in {b"\x0f", b"\xc2"}:
        raise RefusedPushError(Refusal.NO_PUSH, subject)
    notification = decode_apdu(plain)
    if not isinstance(notification, DataNotification | EventNotification):
        raise DecodeError("a tag of a notification and none behind it")
    return notification


def _names_of(plain: bytes) -> Iterator[bytes]:
    with suppress(DlmsError, RefusedPushError):
        yield from names_in(members_of(notification_in(plain, "")))
