"""One session of a station: who has the turn, what is sent again, what is rejected."""

import pytest

from dlms.errors import FrameRejectedError, LinkError
from dlms.link.address import StationAddress
from dlms.link.events import Peer, PeerDisconnected, PeerReceived, SendBytes, ServerEvent
from dlms.link.frame import Frame, FrameReader
from dlms.link.parameters import DEFAULTS, LinkParameters
from dlms.link.session import ServerSession

PEER = Peer(48, 1, 17, 1)
FRMR = 0x97
REQUEST = b"\xe6\xe6\x00\xc0"
WINDOWED = LinkParameters(transmit_bytes_max=10, receive_bytes_max=10, transmit_window=3, receive_window=3)


def session(agreed: LinkParameters = DEFAULTS) -> ServerSession:
    return ServerSession(PEER, StationAddress(1, 17), b"\x61\x02\x23", agreed, apdu_bytes_max=100, now_ms=0)


def information(sent: int, received: int, info: bytes = REQUEST, *, poll: bool = True, more: bool = False) -> Frame:
    return Frame(b"\x02\x23", b"\x61", received << 5 | poll << 4 | sent << 1, info, more)


def ready(received: int, *, poll: bool = True, kind: int = 0x01) -> Frame:
    return Frame(b"\x02\x23", b"\x61", received << 5 | poll << 4 | kind)


def controls(events: tuple[ServerEvent, ...]) -> list[int]:
    return [
        frame.control for event in events if isinstance(event, SendBytes) for frame in FrameReader().feed(event.data)
    ]


def test_a_request_is_answered_with_the_turn_it_brought() -> None:
    station = session()
    assert station.on_frame(information(0, 0)) == (PeerReceived(PEER, b"\xc0"),)
    assert controls(station.send(b"\xc4")) == [0x30]


def test_a_request_seen_before_is_answered_again_and_not_carried_out_again() -> None:
    station = session()
    station.on_frame(information(0, 0))
    first = station.send(b"\xc4")
    assert station.on_frame(information(0, 0)) == first
    assert station.on_frame(ready(0)) == first
    assert controls(station.on_frame(ready(1))) == [0x31]


def test_asked_again_while_it_works_it_says_that_it_is_there() -> None:
    station = session()
    station.on_frame(information(0, 0))
    assert controls(station.on_frame(information(0, 0))) == [0x31]
    assert controls(station.on_frame(ready(0))) == [0x31]
    assert station.send(b"\xc4") == ()
    assert controls(station.on_frame(ready(0))) == [0x30]


def test_a_turn_that_was_given_back_is_not_used_again() -> None:
    station = session()
    station.on_frame(information(0, 0))
    assert controls(station.on_frame(ready(0))) == [0x31]
    assert station.send(b"\xc4") == ()


def test_a_second_request_is_not_taken_before_the_first_is_answered() -> None:
    station = session()
    station.on_frame(information(0, 0))
    assert controls(station.on_frame(information(1, 0))) == [0x31]
    assert station.send(b"\xc4") == ()
    assert controls(station.on_frame(ready(0))) == [0x30]
    assert station.on_frame(information(1, 1)) == (PeerReceived(PEER, b"\xc0"),)


def test_a_request_without_answer_gives_the_turn_back() -> None:
    station = session()
    station.on_frame(information(0, 0))
    assert controls(station.pass_turn()) == [0x31]
    assert station.pass_turn() == ()


def test_a_request_in_segments_is_put_together() -> None:
    station = session()
    assert controls(station.on_frame(information(0, 0, b"\xe6\xe6", more=True))) == [0x31]
    assert station.on_frame(information(1, 0, b"\x00one ", poll=False, more=True)) == ()
    # The lost third frame shows when the fourth comes; the poll tells the client where to go on.
    assert controls(station.on_frame(information(3, 0, b"three"))) == [0x51]
    assert station.on_frame(information(2, 0, b"two ", poll=False, more=True)) == ()
    assert station.on_frame(information(3, 0, b"three")) == (PeerReceived(PEER, b"one two three"),)


def test_a_long_answer_goes_out_window_by_window_from_what_is_missing() -> None:
    station = session(WINDOWED)
    station.on_frame(information(0, 0))
    assert controls(station.send(bytes(70))) == [0x20, 0x22, 0x34]
    assert controls(station.on_frame(ready(1))) == [0x22, 0x24, 0x36]
    assert controls(station.on_frame(ready(4))) == [0x28, 0x2A, 0x3C]
    assert controls(station.on_frame(ready(7))) == [0x3E]
    assert controls(station.on_frame(ready(0))) == [0x31]


def test_a_client_that_asks_something_else_does_not_get_the_rest() -> None:
    station = session(WINDOWED)
    station.on_frame(information(0, 0))
    station.send(bytes(70))
    assert station.on_frame(information(1, 2)) == (PeerReceived(PEER, b"\xc0"),)
    assert controls(station.send(b"\xc4")) == [2 << 5 | 0x10 | 2 << 1]


def test_a_client_that_is_not_ready_gets_no_data() -> None:
    station = session()
    station.on_frame(information(0, 0))
    station.send(b"\xc4")
    assert controls(station.on_frame(ready(0, kind=0x05))) == [0x31]
    assert controls(station.on_frame(ready(0))) == [0x30]


def test_a_command_without_poll_is_heard_and_not_answered() -> None:
    station = session()
    assert station.on_frame(ready(0, poll=False)) == ()
    assert station.on_frame(information(0, 0, poll=False)) == (PeerReceived(PEER, b"\xc0"),)
    assert station.send(b"\xc4") == ()
    assert controls(station.on_frame(ready(0))) == [0x30]


@pytest.mark.parametrize("frame", [ready(5), information(6, 5)])
def test_an_old_frame_with_old_numbers_is_ignored(frame: Frame) -> None:
    station = session()
    station.on_frame(information(0, 0))
    station.send(b"\xc4")
    assert station.on_frame(frame) == ()
    assert not station.is_over


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (information(0, 5), 0x08),
        (information(0, 0, bytes(104)), 0x04),
        (information(0, 0, b"no LLC"), 0x01),
        (ready(0, kind=0x09), 0x01),
        (Frame(b"\x02\x23", b"\x61", 0xBF), 0x01),
    ],
)
def test_what_cannot_be_is_rejected_and_ends_the_session(frame: Frame, reason: int) -> None:
    station = session()
    sent, gone = station.on_frame(frame)
    assert isinstance(sent, SendBytes)
    [reject] = FrameReader().feed(sent.data)
    assert reject.control == FRMR
    assert (reject.info[0], reject.info[2]) == (frame.control, reason)
    assert isinstance(gone, PeerDisconnected)
    assert isinstance(gone.error, FrameRejectedError)
    assert station.is_over


def test_an_answer_that_is_not_due_or_too_long_is_refused() -> None:
    station = session()
    with pytest.raises(LinkError, match="no request"):
        station.send(b"\xc4")
    station.on_frame(information(0, 0))
    with pytest.raises(LinkError, match="101"):
        station.send(bytes(101))
    assert controls(station.send(b"\xc4")) == [0x30]
    with pytest.raises(LinkError, match="no request"):
        station.send(b"\xc4")
