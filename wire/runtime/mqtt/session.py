"""The MQTT session of a process: connected whenever the broker allows, bounded in both directions, never blocking.

What it promises
- It reconnects for ever, with jitter, and subscribes again on each connection, whatever the broker claims to remember.
- A message is acknowledged to the broker when the owner says so, after its commit. What is not acknowledged when the
  connection ends is forgotten here and sent again by the broker (amqtt does not); acknowledging it later does nothing.
- Unacknowledged messages are bounded in count and bytes: above the bound the socket is not read, and the broker
  waits. At most one publish window of further messages can slip through, which paho had under way.
- A publish settles: with the broker's PUBACK, its refusal, or `UnavailableError` the moment the connection ends.
  Nothing is sent again by this session; the owner has its own timer, and its receiver is idempotent.

What it leaves to the owner: what to say on `Connected`, when to send again, and whether a PUBACK means anything
(Mosquitto acknowledges before it saves). With MQTT 3.1.1 a refused publish looks like an accepted one.

While the intake is full no PUBACK is read either, since it stands behind messages in the same stream. So acknowledge
before you await a publish, or publish over a session of its own; one that waits regardless ends in its time-out, not
in a deadlock.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from types import TracebackType
from typing import NoReturn, Self

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wire.runtime.backoff import Backoff
from wire.runtime.errors import BusyError, PublishRefusedError, UnavailableError
from wire.runtime.mqtt.client import publish_properties
from wire.runtime.mqtt.config import MqttConfig
from wire.runtime.mqtt.events import Connected, Event, LinkError, Lost, SubscribeRefused
from wire.runtime.mqtt.intake import Intake, Message
from wire.runtime.mqtt.link import PACKET_TOO_LARGE, REFUSED_CODE_MIN, Link
from wire.runtime.tasks import background

SUBACK_TIMEOUT_S = 20.0


class MqttSession:
    """A lasting session with one broker; runs inside `async with`, or as `run()` in the owner's task group.

    Args:
        config: Broker, name and bounds.
        rng: Where the jitter of reconnecting comes from.
        on_event: Called in the event loop on each change of the connection; must not block.
    """

    def __init__(self, config: MqttConfig, *, rng: Random, on_event: Callable[[Event], None]) -> None:
        self._config = config
        self._on_event = on_event
        self._backoff = self._new_backoff(rng)
        self._subscribe_backoff = self._new_backoff(rng)
        self._intake = Intake(messages_max=config.intake_messages_max, bytes_max=config.intake_bytes_max)
        self._arrived = asyncio.Event()
        self._sequence = 0
        self._link: Link | None = None
        self._running: AbstractAsyncContextManager[object] | None = None

    def _new_backoff(self, rng: Random) -> Backoff:
        config = self._config
        delay_ms_max = max(config.reconnect_delay_ms, config.reconnect_delay_ms_max)
        return Backoff(rng=rng, delay_ms=config.reconnect_delay_ms, delay_ms_max=delay_ms_max)

    # -- life --

    async def __aenter__(self) -> Self:
        self._running = background(self.run(), name=f"mqtt[{self._config.client_id}]")
        await self._running.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._running is not None
        await self._running.__aexit__(kind, value, trace)

    async def run(self) -> NoReturn:
        """Keep the session connected until cancelled; then say farewell to the broker, which suppresses the will."""
        while True:
            link = Link(self._config, on_message=self._take_in)
            try:
                session_present = await link.open()
                trouble = await self._serve(link, session_present=session_present)
                was_connected = True
            except LinkError as exc:
                trouble, was_connected = exc, False
            finally:
                # Of this connection only; under the next one the same packet ids name other messages.
                self._intake.clear()
            await self._wait_after(trouble, was_connected=was_connected)

    async def _serve(self, link: Link, *, session_present: bool) -> LinkError:
        """Use one connection until it ends; return why."""
        loop = asyncio.get_running_loop()
        connected_at_s = loop.time()
        self._link = link
        try:
            async with background(self._keep_subscribed(link), name="mqtt-subscribe"):
                # It asks at once, before the owner can say hello, so that the answer to that finds us subscribed.
                await asyncio.sleep(0)
                self._on_event(Connected(session_present=session_present))
                reason = await asyncio.shield(link.ended)
        finally:
            self._link = None
            await link.close()
        if (loop.time() - connected_at_s) * 1_000 > self._config.reconnect_delay_ms_max:
            self._backoff.reset()
        return reason

    async def _wait_after(self, trouble: LinkError, *, was_connected: bool) -> None:
        delay_ms = self._backoff.next_delay_ms()
        self._on_event(
            Lost(
                cause=trouble.cause,
                detail=trouble.detail,
                remedy=trouble.remedy,
                was_connected=was_connected,
                retry_delay_ms=delay_ms,
            )
        )
        await asyncio.sleep(delay_ms / 1_000)

    async def _keep_subscribed(self, link: Link) -> None:
        """Subscribe, and ask again for what is refused or not answered."""
        self._subscribe_backoff.reset()
        wanted: Sequence[str] = self._config.subscriptions
        while wanted:
            suback = link.subscribe(wanted)
            await asyncio.wait((suback,), timeout=SUBACK_TIMEOUT_S)
            if link.ended.done():
                return
            refused = _refused(wanted, suback.result() if suback.done() else None)
            delay_ms = self._subscribe_backoff.next_delay_ms()
            for topic_filter, code, detail, remedy in refused:
                self._on_event(
                    SubscribeRefused(
                        topic_filter=topic_filter, code=code, detail=detail, remedy=remedy, retry_delay_ms=delay_ms
                    )
                )
            wanted = [topic_filter for topic_filter, *_ in refused]
            if wanted:
                await asyncio.sleep(delay_ms / 1_000)

    # -- receiving --

    @property
    def intake_messages_count(self) -> int:
        """Messages received and not acknowledged."""
        return self._intake.messages_count

    @property
    def intake_bytes_count(self) -> int:
        """Bytes of topic and payload received and not acknowledged."""
        return self._intake.bytes_count

    def _take_in(self, received: MQTTMessage) -> bool:
        """Queue one message; tell whether to read on."""
        try:
            topic = received.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"  # belongs to nobody, so the owner refuses it like any stranger
        self._sequence += 1
        self._intake.add(
            Message(
                topic=topic,
                payload=bytes(received.payload),
                qos=received.qos,
                retain=received.retain,
                duplicate=received.dup,
                sequence=self._sequence,
                packet_id=received.mid,
            )
        )
        self._arrived.set()
        return not self._intake.is_full

    async def next_batch(self, messages_max: int = 256) -> list[Message]:
        """Return the oldest messages not taken yet: at least one, at most `messages_max`; waits for the first."""
        while not self._intake.has_queued:
            self._arrived.clear()
            await self._arrived.wait()
        return self._intake.take(messages_max)

    def ack(self, messages: Iterable[Message]) -> None:
        """Acknowledge to the broker what the owner has committed; each in its order of arrival.

        Messages of an earlier connection, and those acknowledged before, are passed over: the broker sends or has
        sent the former again by itself.
        """
        released = self._intake.release(messages)
        link = self._link
        if link is None:
            return
        for message in released:
            link.ack(message.packet_id, qos=message.qos)
        if link.is_paused and self._intake.is_below_half:
            link.resume()

    # -- sending --

    @property
    def is_connected(self) -> bool:
        return self._link is not None and not self._link.ended.done()

    def _usable_link(self, topic: str, payload: bytes) -> Link:
        if len(payload) > self._config.payload_bytes_max:
            problem = f"a payload of {len(payload)} bytes is over the limit of {self._config.payload_bytes_max}"
            raise PublishRefusedError(topic=topic, code=PACKET_TOO_LARGE, problem=problem)
        if self._link is None or self._link.ended.done():
            raise UnavailableError(f"publish to {topic!r}: not connected")
        return self._link

    def try_publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        expiry_s: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        content_type: str | None = None,
    ) -> asyncio.Future[None]:
        """Send at once and return a future of its PUBACK; arguments and errors as in `publish`.

        The future may be dropped or cancelled; the publish keeps its place in the window until its PUBACK.

        Raises:
            BusyError: The window is full.
        """
        link = self._usable_link(topic, payload)
        if not link.window.try_take():
            raise BusyError(f"publish to {topic!r}: the window is full")
        properties = publish_properties(
            expiry_s=expiry_s, response_topic=response_topic, correlation=correlation, content_type=content_type
        )
        return _launch(link, topic, payload, qos=qos, properties=properties)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        expiry_s: int | None = None,
        response_topic: str | None = None,
        correlation: bytes | None = None,
        content_type: str | None = None,
    ) -> None:
        """Send one message and wait for the broker's PUBACK.

        Args:
            topic: Without wildcards.
            payload: At most `payload_bytes_max` of the configuration.
            qos: 1; with 0 it only waits until the bytes have left.
            expiry_s: How long the broker may keep it for absent receivers, in s. This and what follows: MQTT 5 only.
            response_topic: Where an answer is expected.
            correlation: What the answer shall carry.
            content_type: What the payload is.

        Raises:
            UnavailableError: Not connected, the connection ended, or no PUBACK came in time. It may have arrived all
                the same.
            PublishRefusedError: The broker or a limit refused it.
        """
        link = self._usable_link(topic, payload)
        properties = publish_properties(
            expiry_s=expiry_s, response_topic=response_topic, correlation=correlation, content_type=content_type
        )
        timeout_s = self._config.publish_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await link.window.take()
                await asyncio.shield(_launch(link, topic, payload, qos=qos, properties=properties))
        except TimeoutError as exc:
            raise UnavailableError(f"publish to {topic!r}: no PUBACK within {timeout_s} s") from exc


def _launch(link: Link, topic: str, payload: bytes, *, qos: int, properties: Properties | None) -> asyncio.Future[None]:
    """Send in a place of the window that is taken, and give it back when the publish has settled."""
    window = link.window
    try:
        future = link.send(topic, payload, qos=qos, properties=properties)
    except BaseException:
        window.give()
        raise
    future.add_done_callback(lambda _: window.give())
    return future


def _refused(
    topic_filters: Sequence[str], codes: Sequence[ReasonCode] | None
) -> list[tuple[str, int | None, str, str]]:
    """Return filter, code, detail and remedy of each subscription that does not stand; no `codes` means no answer."""
    if codes is None:
        remedy = "look at the broker's load and log"
        return [(topic_filter, None, "no answer", remedy) for topic_filter in topic_filters]
    remedy = "let the broker's access list admit this subscription"
    return [
        (topic_filter, code.value, str(code), remedy)
        for topic_filter, code in zip(topic_filters, codes, strict=False)
        if code.value >= REFUSED_CODE_MIN
    ]
