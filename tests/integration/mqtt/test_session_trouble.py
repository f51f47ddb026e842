"""Brokers that refuse, lie, say nothing or talk nonsense: the session names it and tries again."""

import random
from collections.abc import Callable

import pytest

from tests.rig.scripted_broker import CONNECT, SUBSCRIBE, scripted_broker
from tests.rig.sessions import connected_session, until, watched_session
from wire.runtime.mqtt import Cause, Connected, Lost, SubscribeRefused

pytestmark = pytest.mark.usefixtures("no_blocking_calls")

CONNACK_5 = b"\x20\x03\x00\x00\x00"
SECOND = 2


def connack_5(code: int) -> bytes:
    return b"\x20\x03\x00" + bytes([code]) + b"\x00"


def suback_5(subscribe: bytes, *codes: int) -> bytes:
    return b"\x90" + bytes([3 + len(codes)]) + subscribe[:2] + b"\x00" + bytes(codes)


@pytest.mark.parametrize(
    ("protocol", "connack", "cause"),
    [
        ("5", connack_5(0x86), Cause.REFUSED),
        ("5", connack_5(0x87), Cause.REFUSED),
        ("5", connack_5(0x84), Cause.REFUSED),
        ("3.1.1", b"\x20\x02\x00\x04", Cause.REFUSED),
        ("3.1.1", b"\x20\x02\x00\x05", Cause.REFUSED),
        ("3.1.1", b"\x20\x02\x00\x01", Cause.PROTOCOL),
        ("5", CONNACK_5 + b"\xe0\x02\x8e\x00", Cause.TAKEN_OVER),
        ("5", CONNACK_5 + b"\xe0\x02\x8b\x00", Cause.CLOSED),
        ("5", b"HTTP/1.1 400 Bad Request\r\n\r\n", Cause.TIMEOUT),
        ("5", b"\x20\x00", Cause.PROTOCOL),
        ("5", CONNACK_5 + b"\x32\x01\xff", Cause.PROTOCOL),
        ("5", b"\x20\xff\xff\xff\xff\xff\x7f", Cause.PROTOCOL),
        ("5", None, Cause.CLOSED),
        ("3.1.1", None, Cause.CLOSED),
        ("5", b"", Cause.TIMEOUT),
    ],
)
async def test_each_refusal_is_one_event_with_a_remedy_and_the_next_attempt_follows(
    protocol: str, connack: bytes | None, cause: Cause
) -> None:
    attempts = []

    def answer(kind: int, _body: bytes) -> bytes | None:
        if kind != CONNECT:
            return b""
        attempts.append(kind)
        return connack if len(attempts) < SECOND else (CONNACK_5 if protocol == "5" else b"\x20\x02\x00\x00")

    async with (
        scripted_broker(answer) as port,
        watched_session(port, protocol=protocol, connect_timeout_s=1) as owner,
    ):
        lost = await owner.next(Lost)
        assert lost.cause is cause
        assert lost.remedy
        assert "Traceback" not in lost.detail
        await owner.next(Connected)


async def test_a_refused_subscription_is_told_and_asked_for_again_alone() -> None:
    asked: list[bytes] = []

    def answer(kind: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return CONNACK_5
        if kind != SUBSCRIBE:
            return b""
        asked.append(body)
        return suback_5(body, 0x01, 0x87) if len(asked) < SECOND else suback_5(body, 0x01)

    async with (
        scripted_broker(answer) as port,
        connected_session(port, subscriptions=("mine", "yours")) as owner,
    ):
        refused = await owner.next(SubscribeRefused)
        assert (refused.topic_filter, refused.code) == ("yours", 0x87)
        assert refused.remedy
        await until(lambda: len(asked) == SECOND)
        assert b"yours" in asked[1]
        assert b"mine" not in asked[1]


def closes_after(connack: bytes) -> Callable[[int, bytes], bytes | None]:
    return lambda kind, _body: connack if kind == CONNECT else None


async def test_a_broker_that_accepts_and_hangs_up_is_not_hammered() -> None:
    async with (
        scripted_broker(closes_after(CONNACK_5)) as port,
        watched_session(port, subscriptions=("t",), reconnect_delay_ms=1, reconnect_delay_ms_max=1_000) as owner,
    ):
        await until(lambda: len(owner.seen(Lost)) >= 8)
        delays_ms = [lost.retry_delay_ms for lost in owner.seen(Lost)]
        assert max(delays_ms) > 16


async def test_a_host_that_does_not_resolve_is_named() -> None:
    async with watched_session(1883, host="no..such..host") as owner:
        lost = await owner.next(Lost)
        assert lost.cause is Cause.NAME
        assert "no..such..host" in lost.detail


@pytest.mark.parametrize("seed", range(100))
async def test_random_packets_of_a_broker_end_no_session(seed: int) -> None:
    rng = random.Random(seed)
    attempts: list[int] = []

    def answer(kind: int, _body: bytes) -> bytes | None:
        if kind != CONNECT:
            return b""
        attempts.append(kind)
        if len(attempts) >= SECOND:
            return CONNACK_5
        packets = [bytes([rng.randrange(256), length]) + rng.randbytes(length) for length in (1, 2, 5, 30)]
        rng.shuffle(packets)
        return CONNACK_5 + b"".join(packets) + b"\x20\x00"

    async with scripted_broker(answer) as port, watched_session(port, keep_alive_s=1) as owner:
        await owner.next(Lost)
        await owner.next(Connected)
        assert owner.session.is_connected
