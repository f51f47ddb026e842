"""Numbered segments: what goes out again, and what is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.errors import LinkError
from dlms.link.frame import FrameReader
from dlms.link.sequence import Incoming, Outgoing


def numbers(data: bytes) -> list[int]:
    return [frame.control >> 1 & 7 for frame in FrameReader().feed(data)]


@given(st.binary(min_size=1, max_size=500), st.integers(1, 100), st.integers(1, 7), st.integers(0, 7))
def test_segments_acknowledged_window_by_window_make_the_whole(
    payload: bytes, bytes_max: int, window: int, apdus_before: int
) -> None:
    outgoing = Outgoing(bytes_max=bytes_max, window=window)
    incoming = Incoming(bytes_max=500, window=window)
    for _ in range(apdus_before):
        outgoing.load(b"x")
        [frame] = FrameReader().feed(outgoing.window_frames(b"\x03\x21", 0))
        assert incoming.accept(frame.info, is_segmented=frame.is_segmented) == b"x"
        assert outgoing.acknowledge(incoming.number) == 1
    outgoing.load(payload)
    whole = None
    while not outgoing.is_done:
        frames = FrameReader().feed(outgoing.window_frames(b"\x03\x21", 5))
        assert len(frames) <= window
        assert [bool(frame.control & 0x10) for frame in frames] == [False] * (len(frames) - 1) + [True]
        for frame in frames:
            assert len(frame.info) <= bytes_max
            assert frame.control >> 5 == 5
            assert incoming.is_next(frame.control >> 1 & 7)
            whole = incoming.accept(frame.info, is_segmented=frame.is_segmented)
        assert outgoing.acknowledge(incoming.number) == len(frames)
    assert whole == payload


def test_sending_again_begins_with_the_first_frame_not_acknowledged() -> None:
    outgoing = Outgoing(bytes_max=1, window=3)
    outgoing.load(b"abcde")
    assert numbers(outgoing.window_frames(b"\x03\x21", 0)) == [0, 1, 2]
    assert numbers(outgoing.window_frames(b"\x03\x21", 0)) == [0, 1, 2]
    assert outgoing.acknowledge(2) == 2
    assert outgoing.outstanding_count == 1
    assert numbers(outgoing.window_frames(b"\x03\x21", 0)) == [2, 3, 4]
    assert outgoing.is_sent
    assert not outgoing.is_done
    assert outgoing.next_number == 5


def test_acknowledgements_of_what_was_not_sent_change_nothing() -> None:
    outgoing = Outgoing(bytes_max=1, window=2)
    outgoing.load(b"abcde")
    outgoing.window_frames(b"\x03\x21", 0)
    assert [outgoing.acknowledge(number) for number in (3, 4, 5, 6, 7)] == [None] * 5
    assert outgoing.acknowledge(0) == 0
    assert outgoing.outstanding_count == 2


def test_a_gap_is_told_from_an_old_frame() -> None:
    incoming = Incoming(bytes_max=100, window=3)
    for _ in range(7):
        incoming.accept(b"x", is_segmented=False)
    assert [number for number in range(8) if incoming.is_next(number)] == [7]
    assert [number for number in range(8) if incoming.is_ahead(number)] == [0, 1]


def test_more_bytes_than_allowed_are_refused_and_room_is_made_anew_for_each_apdu() -> None:
    incoming = Incoming(bytes_max=4, window=1)
    for _ in range(3):
        assert incoming.accept(b"ab", is_segmented=True) is None
        assert incoming.accept(b"cd", is_segmented=False) == b"abcd"
    incoming.accept(b"abc", is_segmented=True)
    with pytest.raises(LinkError, match="4 bytes"):
        incoming.accept(b"de", is_segmented=False)


def test_empty_segments_cannot_go_on_for_ever() -> None:
    incoming = Incoming(bytes_max=4, window=1)
    for _ in range(4):
        incoming.accept(b"", is_segmented=True)
    with pytest.raises(LinkError):
        incoming.accept(b"", is_segmented=True)
