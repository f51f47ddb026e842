"""One connection to the broker: a paho client made for it, fed by the event loop, never used again once it has ended.

A client for each connection means that nothing of an old one can come back: paho keeps no queue to send again, and a
publish without PUBACK fails the moment the connection ends. paho's thread is not used. Its connect() blocks (name,
TCP, TLS), so it runs in a thread of its own until the socket stands; from then on everything happens in the loop.

The keep-alive is ours, not paho's, because a socket we chose not to read must not be taken for a dead broker.

When to connect, what to keep and what to tell the owner is left to the session.
"""

import asyncio
import ssl
import struct
from collections.abc import Callable, Sequence
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, Final

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from wire.runtime.errors import BusyError, ConfigError, PublishRefusedError, UnavailableError
from wire.runtime.mqtt.client import LastError, connect, make_client
from wire.runtime.mqtt.config import MqttConfig
from wire.runtime.mqtt.events import Cause, LinkError, broken_off, explain, farewell, no_answer, nonsense, refusal
from wire.runtime.mqtt.window import Window
from wire.runtime.threads import in_daemon_thread

READS_PER_TURN = 64
"""Packets handled before other tasks of the loop get their turn."""
CONNECT_STEPS = 4
"""Steps of connecting allowed for, each as long as `connect_timeout_s`: addresses tried, reads of a handshake."""
FAREWELL_S = 1.0
"""How long a farewell may take to leave."""
PUBLISH_OVERHEAD_BYTES = 512
"""Allowance for header and properties when a broker limits its packets."""
PINGREQ: Final = b"\xc0\x00"
REFUSED_CODE_MIN = 0x80
PACKET_TOO_LARGE = 0x95
PROTOCOL_ERROR = 0x82

# What paho raises on bytes that are no MQTT, besides the malformed packets it reports itself.
_UNPARSABLE = (MQTTException, ValueError, LookupError, TypeError, AttributeError, struct.error)


class Link:
    """A connection from CONNECT to its end.

    Args:
        config: The session's.
        on_message: Called in the loop for each message received; returns whether to read on.
    """

    def __init__(self, config: MqttConfig, *, on_message: Callable[[MQTTMessage], bool]) -> None:
        self._config = config
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._is_v5 = config.protocol == "5"
        self.ended: asyncio.Future[LinkError] = self._loop.create_future()
        """Settled once, with the reason, when the connection has ended; never raises."""
        self.window = Window(config.publish_window)
        """Places for publishes on their way."""
        self._packet_bytes_max = 0
        self._accepted: asyncio.Future[bool] = self._loop.create_future()
        self._refusal: LinkError | None = None
        self._in_flight: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._subacks: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._is_adopted = False
        self._is_reading = False
        self._is_writing = False
        """Whether the loop watches for the socket to take more."""
        self._flushes = False
        """Whether a flush is on its way."""
        self._packets_count = 0
        self._received_at_s = self._sent_at_s = self._pinged_at_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._last_error = LastError()
        self._client = make_client(config, last_error=self._last_error)
        self._set_callbacks()

    def _set_callbacks(self) -> None:
        client = self._client
        client.on_connect = self._handle_connack
        client.on_disconnect = self._handle_disconnect
        client.on_message = self._handle_message
        client.on_publish = self._handle_puback
        client.on_subscribe = self._handle_suback
        client.on_socket_close = self._handle_socket_close
        client.on_socket_register_write = self._handle_register_write
        client.on_socket_unregister_write = self._handle_unregister_write

    # -- life --

    async def open(self) -> bool:
        """Connect and be accepted; return whether the broker still knew our session.

        Raises:
            LinkError: It did not come to that. The link has ended.
        """
        config = self._config
        try:
            async with asyncio.timeout(CONNECT_STEPS * config.connect_timeout_s):
                await in_daemon_thread(
                    lambda: connect(self._client, config), name="mqtt-connect", discard=lambda _: self._drop_socket()
                )
            self._adopt()
            waiting = (self._accepted, self.ended)
            await asyncio.wait(waiting, timeout=config.connect_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, ValueError, ConfigError) as exc:
            self._end(explain(exc, host=config.host, port=config.port))
        except asyncio.CancelledError:
            self._end(LinkError(Cause.CLOSED, "stopped while connecting", ""))
            raise
        if not self._accepted.done():
            self._end(no_answer(timeout_s=config.connect_timeout_s))
        if self.ended.done():
            raise self.ended.result()
        return self._accepted.result()

    def _adopt(self) -> None:
        """Let the loop feed the connected client."""
        sock = self._socket()
        # Small packets that wait for each other's TCP acknowledgement cost 40 ms a round.
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._is_adopted = True
        self._sent_at_s = self._loop.time()
        self.resume()
        self._flush()
        self._arm_timer()

    async def close(self) -> None:
        """Say farewell, which suppresses the will, after everything queued has been sent; bounded in time."""
        if not self.ended.done():
            self._guard(self._client.disconnect)
            await asyncio.wait((self.ended,), timeout=FAREWELL_S)
        self._end(LinkError(Cause.CLOSED, "closed by us", ""))

    def _end(self, reason: LinkError) -> None:
        if self.ended.done():
            return
        self.ended.set_result(reason)
        if self._timer is not None:
            self._timer.cancel()
        self._drop_socket()
        for topic, future in self._in_flight.values():
            if not future.done():
                future.set_exception(UnavailableError(f"publish to {topic!r}: {reason.detail}"))
        for suback in self._subacks.values():
            suback.cancel()
        self._in_flight.clear()
        self._subacks.clear()

    def _drop_socket(self) -> None:
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._forget_socket(sock)
            sock.close()

    def _forget_socket(self, sock: Any) -> None:
        self._is_reading = False
        self._is_writing = False
        if self._is_adopted and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())

    # -- what the session asks for --

    def send(self, topic: str, payload: bytes, *, qos: int, properties: Properties | None) -> asyncio.Future[None]:
        """Queue one publish; the future settles with its PUBACK, or fails with the connection.

        Raises:
            UnavailableError: The connection has ended.
            PublishRefusedError: The packet is longer than this broker accepts.
        """
        if self.ended.done():
            raise UnavailableError(f"publish to {topic!r}: {self.ended.result().detail}")
        packet_bytes = PUBLISH_OVERHEAD_BYTES + len(topic.encode()) + len(payload)
        if 0 < self._packet_bytes_max < packet_bytes:
            problem = f"{packet_bytes} bytes are more than the {self._packet_bytes_max} this broker accepts"
            raise PublishRefusedError(topic=topic, code=PACKET_TOO_LARGE, problem=problem)
        info = self._client.publish(topic, payload, qos=qos, properties=properties if self._is_v5 else None)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            raise BusyError(f"publish to {topic!r}: too many wait for their acknowledgement")
        future: asyncio.Future[None] = self._loop.create_future()
        # An owner may let go of the future; its exception then concerns nobody.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._in_flight[info.mid] = (topic, future)
        # At once, since what the caller does next may take longer than the message takes to arrive.
        self._flush()
        return future

    def subscribe(self, topic_filters: Sequence[str]) -> asyncio.Future[list[ReasonCode]]:
        """Queue one SUBSCRIBE with QoS 1; the future settles with its SUBACK, or is cancelled with the connection."""
        future: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        if self._is_v5:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            _, mid = self._client.subscribe([(topic_filter, options) for topic_filter in topic_filters])
        else:
            _, mid = self._client.subscribe([(topic_filter, 1) for topic_filter in topic_filters])
        if mid is None or self.ended.done():
            future.cancel()
        else:
            self._subacks[mid] = future
        return future

    def ack(self, packet_id: int, *, qos: int) -> None:
        """Queue the acknowledgement of one received message."""
        if not self.ended.done():
            self._client.ack(packet_id, qos)

    def pause(self) -> None:
        """Stop reading; what the broker sends waits in the network's buffers, and then at the broker."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket().fileno())

    def resume(self) -> None:
        """Read again."""
        if self._is_reading or self.ended.done() or self._client.socket() is None:
            return
        self._is_reading = True
        self._received_at_s = self._loop.time()
        self._loop.add_reader(self._socket().fileno(), self._on_readable)
        # Bytes that TLS has deciphered already wake no selector.
        self._loop.call_soon(self._on_readable)

    @property
    def is_paused(self) -> bool:
        return not self._is_reading

    # -- the loop's callbacks --

    def _socket(self) -> Any:
        sock = self._client.socket()
        assert sock is not None
        return sock

    def _guard(self, call: Callable[[], object]) -> None:
        """Let paho work; whatever it cannot digest ends the connection and nothing else."""
        try:
            call()
        except OSError as exc:
            self._end(broken_off(str(exc), greeted=self._accepted.done(), tls=self._config.tls is not None))
        except _UNPARSABLE as exc:
            self._end(nonsense(type(exc).__name__))

    def _on_readable(self) -> None:
        for _ in range(READS_PER_TURN):
            if not self._is_reading or self.ended.done():
                return
            packets_count = self._packets_count
            self._received_at_s = self._loop.time()
            self._guard(self._client.loop_read)
            if self._packets_count == packets_count:
                break
        sock = self._client.socket()
        if self._is_reading and isinstance(sock, ssl.SSLSocket) and sock.pending() > 0:
            self._loop.call_soon(self._on_readable)

    def _on_writable(self) -> None:
        if not self.ended.done():
            self._sent_at_s = self._loop.time()
            self._guard(self._client.loop_write)

    def _flush_queued(self) -> None:
        if self._flushes:
            self._flush()

    def _flush(self) -> None:
        """Send what is queued; only what the socket does not take waits until it is writable."""
        self._flushes = False
        if not self._is_adopted or self._is_writing:
            return
        self._on_writable()
        if not self.ended.done() and self._client.want_write() and self._client.socket() is not None:
            self._is_writing = True
            self._loop.add_writer(self._socket().fileno(), self._on_writable)

    # -- the keep-alive --

    @property
    def _keep_alive_s(self) -> int:
        return self._client.keepalive or self._config.keep_alive_s  # the broker may have set its own

    def _arm_timer(self) -> None:
        self._timer = self._loop.call_later(self._keep_alive_s / 4, self._on_timer)

    def _on_timer(self) -> None:
        now_s = self._loop.time()
        if self._is_reading and now_s - self._received_at_s > 1.5 * self._keep_alive_s:
            detail = f"the broker has been silent for {now_s - self._received_at_s:.0f} s"
            self._end(LinkError(Cause.SILENT, detail, "check the network: the connection was dead without a sign"))
            return
        idle_s = 0.75 * self._keep_alive_s
        hears_nothing = now_s - self._received_at_s >= idle_s and now_s - self._pinged_at_s >= idle_s
        if self._accepted.done() and (hears_nothing or now_s - self._sent_at_s >= idle_s):
            self._guard(self._ping)
        if not self.ended.done():
            self._arm_timer()

    def _ping(self) -> None:
        # paho sends a ping only where it also judges the answer, so ours goes between two of its packets.
        if not self._client.want_write() and self._client.socket() is not None:
            self._pinged_at_s = self._sent_at_s = self._loop.time()
            self._socket().send(PINGREQ)

    # -- paho's callbacks; they only note, since paho holds locks around them --

    def _handle_connack(self, _c: Client, _u: Any, flags: ConnectFlags, code: ReasonCode, limits: Any) -> None:
        if code.value >= REFUSED_CODE_MIN:
            self._refusal = refusal(code.value, str(code))
            return
        self._packet_bytes_max = getattr(limits, "MaximumPacketSize", 0)
        self.window = Window(min(self._config.publish_window, getattr(limits, "ReceiveMaximum", 0xFFFF)))
        if not self._accepted.done():
            self._accepted.set_result(flags.session_present)

    def _handle_disconnect(self, _c: Client, _u: Any, flags: DisconnectFlags, code: ReasonCode, _p: Any) -> None:
        if self._refusal is not None:
            reason = self._refusal
        elif flags.is_disconnect_packet_from_server:
            reason = farewell(code.value, str(code))
        elif code.value == PROTOCOL_ERROR:
            reason = nonsense("no MQTT packet that is due")
        else:
            detail = self._last_error.text or "the connection was closed"
            reason = broken_off(detail, greeted=self._accepted.done(), tls=self._config.tls is not None)
        # Not at once: paho is still in the middle of this socket.
        self._loop.call_soon(self._end, reason)

    def _handle_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:
        self._packets_count += 1
        if not self._on_message(message):
            self.pause()

    def _handle_puback(self, _c: Client, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        self._packets_count += 1
        topic, future = self._in_flight.pop(mid, ("", None))
        if future is None or future.done():
            return
        if code.value >= REFUSED_CODE_MIN:
            future.set_exception(PublishRefusedError(topic=topic, code=code.value, problem=str(code)))
        else:
            future.set_result(None)

    def _handle_suback(self, _c: Client, _u: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        self._packets_count += 1
        future = self._subacks.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(codes)

    def _handle_socket_close(self, _c: Client, _u: Any, sock: Any) -> None:
        self._forget_socket(sock)

    def _handle_register_write(self, _c: Client, _u: Any, _s: Any) -> None:
        # Mostly the socket takes everything, and asking the selector first would cost more than sending.
        if self._is_adopted and not self._flushes:
            self._flushes = True
            self._loop.call_soon(self._flush_queued)

    def _handle_unregister_write(self, _c: Client, _u: Any, sock: Any) -> None:
        if self._is_writing and sock.fileno() >= 0:
            self._is_writing = False
            self._loop.remove_writer(sock.fileno())
