"""The wrapper: packets in any pieces, and its two ends."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.errors import DecodeError, LinkError, LinkTimeoutError
from dlms.link.events import (
    ClientLink,
    Connected,
    Disconnected,
    Failed,
    LinkEvent,
    Peer,
    PeerReceived,
    Received,
    SendBytes,
    ServerEvent,
    ServerLink,
)
from dlms.link.wrapper import Packet, WrapperClient, WrapperReader, WrapperServer, WrapperSettings, pack, unpack
from tests.unit.dlms.link.line import pieces

packets = st.builds(Packet, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=300))
DATAGRAMS = WrapperSettings(is_datagrams=True)


def failure(events: tuple[LinkEvent | ServerEvent, ...]) -> LinkError:
    [event] = events
    assert isinstance(event, Failed)
    return event.error


def asking(settings: WrapperSettings | None = None) -> WrapperClient:
    client = WrapperClient(48, 1, settings or WrapperSettings(answer_timeout_ms=1_000))
    client.connect(now_ms=0)
    assert client.send(b"\xc0", now_ms=100) == (SendBytes(bytes.fromhex("0001003000010001c0")),)
    return client


def test_both_ends_are_links() -> None:
    client: ClientLink = WrapperClient(48, 1)
    server: ServerLink = WrapperServer()
    assert not client.is_connected
    assert server.next_deadline_ms() is None


@given(packets)
def test_a_packet_written_and_read_is_the_same(packet: Packet) -> None:
    assert unpack(pack(*packet)) == packet


@given(st.lists(packets, max_size=6), st.randoms(use_true_random=False))
def test_packets_in_any_pieces_come_out_whole_and_once(sent: list[Packet], rng: random.Random) -> None:
    reader = WrapperReader()
    stream = b"".join(pack(*packet) for packet in sent)
    assert [packet for piece in pieces(stream, rng) for packet in reader.feed(piece)] == sent


@given(st.binary(max_size=100))
def test_any_datagram_is_a_packet_or_an_error(datagram: bytes) -> None:
    try:
        packet = unpack(datagram)
    except DecodeError:
        return
    assert pack(*packet) == datagram


@given(st.binary(max_size=100), st.randoms(use_true_random=False))
def test_any_stream_is_packets_or_an_error(data: bytes, rng: random.Random) -> None:
    reader = WrapperReader(apdu_bytes_max=50)
    try:
        for piece in pieces(b"\x00\x01" + data, rng):
            reader.feed(piece)
    except DecodeError:
        return
    assert reader._held_bytes <= 58


def test_the_longest_apdu_goes_through_and_a_longer_one_is_refused() -> None:
    assert WrapperReader().feed(pack(1, 2, bytes(65_535))) == [Packet(1, 2, bytes(65_535))]
    with pytest.raises(LinkError, match="65536"):
        pack(1, 2, bytes(65_536))
    with pytest.raises(DecodeError):
        WrapperReader(apdu_bytes_max=10).feed(pack(1, 2, bytes(11))[:8])


def test_a_question_and_its_answer() -> None:
    client = asking()
    server = WrapperServer()
    [request] = server.receive(pack(48, 1, b"\xc0"), now_ms=100)
    assert request == PeerReceived(Peer(48, 1), b"\xc0")
    [reply] = server.send(Peer(48, 1), b"\xc4", now_ms=110)
    assert isinstance(reply, SendBytes)
    assert client.receive(reply.data, now_ms=120) == (Received(b"\xc4"),)
    assert client.next_deadline_ms() is None
    assert client.disconnect(now_ms=130) == (Disconnected(),)
    assert not client.is_connected


def test_an_answer_that_does_not_come_takes_the_link_down_so_that_it_is_not_the_next_answer() -> None:
    client = asking()
    assert client.next_deadline_ms() == 1_100
    assert client.on_timer(now_ms=1_099) == ()
    assert isinstance(failure(client.on_timer(now_ms=1_100)), LinkTimeoutError)
    assert client.receive(pack(1, 48, b"\xc4"), now_ms=1_101) == ()
    with pytest.raises(LinkError):
        client.send(b"\xc0", now_ms=1_102)
    assert client.connect(now_ms=2_000) == (Connected(),)


def test_an_answer_after_its_time_is_late_even_if_the_timer_was_not_run() -> None:
    assert isinstance(failure(asking().receive(pack(1, 48, b"\xc4"), now_ms=1_100)), LinkTimeoutError)


def test_a_second_question_before_the_answer_is_refused() -> None:
    with pytest.raises(LinkError, match="no answer yet"):
        asking().send(b"\xc0", now_ms=101)


@pytest.mark.parametrize(("source", "destination"), [(2, 48), (1, 49), (48, 1)])
def test_packets_between_other_ports_are_ignored(source: int, destination: int) -> None:
    client = asking()
    assert client.receive(pack(source, destination, b"wrong"), now_ms=110) == ()
    assert client.receive(pack(1, 48, b"\xc4"), now_ms=120) == (Received(b"\xc4"),)


@pytest.mark.parametrize("push", [b"\x0fpush", b"\xc2push", b"\xcapush", b"\xd2push"])
def test_a_notification_is_never_the_answer(push: bytes) -> None:
    client = asking()
    both = pack(1, 48, push) + pack(1, 48, b"\xc4")
    assert client.receive(both, now_ms=110) == (Received(push, is_unsolicited=True), Received(b"\xc4"))


def test_what_comes_when_nothing_was_asked_is_unsolicited() -> None:
    client = asking()
    client.receive(pack(1, 48, b"\xc4"), now_ms=110)
    assert client.receive(pack(1, 48, b"\xdb"), now_ms=120) == (Received(b"\xdb", is_unsolicited=True),)


def test_when_a_notification_looked_like_the_answer_the_time_goes_on_as_before() -> None:
    client = asking()
    assert client.receive(pack(1, 48, b"\xdbpush"), now_ms=110) == (Received(b"\xdbpush"),)
    assert client.keep_waiting(now_ms=120) == ()
    assert client.next_deadline_ms() == 1_100
    assert client.receive(pack(1, 48, b"\xdb"), now_ms=130) == (Received(b"\xdb"),)
    assert isinstance(failure(client.keep_waiting(now_ms=1_100)), LinkTimeoutError)
    with pytest.raises(LinkError):
        client.keep_waiting(now_ms=1_101)


def test_a_stream_that_makes_no_sense_takes_the_link_down() -> None:
    assert "version 1" in str(failure(asking().receive(b"HTTP/1.1 400", now_ms=110)))
    assert "version 1" in str(failure(WrapperServer().receive(b"GET / HTTP/1.1", now_ms=0)))


def test_a_datagram_that_makes_no_sense_is_ignored() -> None:
    client = asking(DATAGRAMS)
    whole = pack(1, 48, b"\xc4")
    for datagram in (b"", whole[:-1], whole + b"x", b"HTTP/1.1 400 Bad Request"):
        assert client.receive(datagram, now_ms=110) == ()
    assert client.receive(whole, now_ms=120) == (Received(b"\xc4"),)


def test_a_server_gives_up_a_silent_stream() -> None:
    server = WrapperServer(WrapperSettings(inactivity_timeout_ms=1_000))
    server.receive(pack(48, 1, b"\xc0"), now_ms=0)
    server.send(Peer(48, 1), b"\xc4", now_ms=500)
    assert server.pass_turn(Peer(48, 1), now_ms=600) == ()
    assert server.next_deadline_ms() == 1_600
    assert server.on_timer(now_ms=1_599) == ()
    assert isinstance(failure(server.on_timer(now_ms=1_600)), LinkTimeoutError)


def test_one_stream_carries_many_clients_and_devices() -> None:
    server = WrapperServer()
    events = server.receive(pack(16, 1, b"a") + pack(48, 2, b"b"), now_ms=0)
    assert events == (PeerReceived(Peer(16, 1), b"a"), PeerReceived(Peer(48, 2), b"b"))
    assert server.notify(Peer(48, 2), b"\x0f") == (SendBytes(pack(2, 48, b"\x0f")),)
