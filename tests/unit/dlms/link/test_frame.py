"""Frames: known bytes, and finding them in any stream."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.link.address import StationAddress, encode_client
from dlms.link.frame import (
    FINAL,
    FRAME_LENGTH_MAX,
    INFO_BYTES_MAX,
    SNRM,
    UA,
    Frame,
    FrameReader,
    encode_frame,
    information_control,
    without_llc,
)
from tests.unit.dlms.link.bitwise import bitwise_fcs
from tests.unit.dlms.link.line import pieces

# Printed in many manuals: the public client's SNRM to server 1, and a UA that grants 128 bytes and windows of one.
SNRM_FRAME = bytes.fromhex("7ea0070321930f017e")
UA_INFO = bytes.fromhex("818012050180060180070400000001080400000001")
UA_FRAME = bytes.fromhex("7ea01e210373c37a") + UA_INFO + bytes.fromhex("533b7e")

server_addresses = st.builds(StationAddress, st.integers(0, 0x3FFF), st.integers(0, 0x3FFF))
frames = st.builds(
    Frame,
    server_addresses.map(StationAddress.encode),
    st.integers(0, 127).map(encode_client),
    st.integers(0, 255),
    st.one_of(
        st.binary(max_size=60),
        st.integers(1, INFO_BYTES_MAX).map(lambda count: b"\x7e\xa0" * (count // 2)),
        st.lists(st.sampled_from([b"\x7e", b"\xa0", b"\x07", SNRM_FRAME[:-1], UA_FRAME[:-3]]), max_size=9).map(
            b"".join
        ),
    ),
    st.booleans(),
)


def plain_bytes(frame: Frame) -> bytes:
    """Return a frame's bytes, worked out slowly and with the bitwise FCS."""
    addresses = frame.destination + frame.source
    length = 2 + len(addresses) + 1 + 2 + (len(frame.info) + 2 if frame.info else 0)
    header = (0xA000 | frame.is_segmented << 11 | length).to_bytes(2, "big") + addresses + bytes((frame.control,))
    body = header + bitwise_fcs(header)
    if frame.info:
        body += frame.info
        body += bitwise_fcs(body)
    return b"\x7e" + body + b"\x7e"


def encoded(frame: Frame) -> bytes:
    return encode_frame(frame.destination + frame.source, frame.control, frame.info, is_segmented=frame.is_segmented)


def test_the_frames_that_manuals_print_come_out_byte_by_byte() -> None:
    assert encode_frame(b"\x03\x21", SNRM | FINAL) == SNRM_FRAME
    assert encode_frame(b"\x21\x03", UA | FINAL, UA_INFO) == UA_FRAME
    assert FrameReader().feed(SNRM_FRAME + UA_FRAME) == [
        Frame(b"\x03", b"\x21", SNRM | FINAL),
        Frame(b"\x21", b"\x03", UA | FINAL, UA_INFO),
    ]


@given(frames)
def test_a_frame_has_the_bytes_of_the_standard(frame: Frame) -> None:
    assert encoded(frame) == plain_bytes(frame)


@given(st.lists(frames, min_size=1, max_size=5), st.randoms(use_true_random=False), st.booleans())
def test_frames_in_any_pieces_come_out_whole_and_once(
    sent: list[Frame],
    rng: random.Random,
    is_flag_shared: bool,  # noqa: FBT001
) -> None:
    stream = b"".join(encoded(frame) for frame in sent)
    if is_flag_shared:
        stream = b"".join(encoded(frame)[:-1] for frame in sent) + b"\x7e"
    reader = FrameReader()
    assert [frame for piece in pieces(stream, rng) for frame in reader.feed(piece)] == sent
    assert reader.frames_bad_count == 0


@given(frames)
def test_a_frame_is_complete_with_its_last_byte_and_not_before(frame: Frame) -> None:
    reader = FrameReader()
    data = encoded(frame)
    assert [reader.feed(data[at : at + 1]) for at in range(len(data) - 1)] == [[]] * (len(data) - 1)
    assert reader.is_mid_frame
    assert reader.feed(data[-1:]) == [frame]
    assert not reader.is_mid_frame


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\x10" * 50,
        b"\x7e" * 20,
        b"\x7e\xa7",
        b"\x7e\xa7\xff\x03\x21",
        b"\x7e\xa7\xff" * 40,
        b"\x7e\xa0\x07\x03\x21\x93\x0f\x02",
        SNRM_FRAME[:5],
        UA_FRAME[3:-1],
    ],
)
def test_the_next_frame_behind_garbage_is_found_at_once(garbage: bytes) -> None:
    reader = FrameReader()
    assert reader.feed(garbage + UA_FRAME)[-1:] == [Frame(b"\x21", b"\x03", UA | FINAL, UA_INFO)]
    reader = FrameReader()
    found = [frame for byte in garbage + UA_FRAME for frame in reader.feed(bytes((byte,)))]
    assert found[-1:] == [Frame(b"\x21", b"\x03", UA | FINAL, UA_INFO)]


def test_a_frame_cut_short_does_not_take_the_next_with_it() -> None:
    reader = FrameReader()
    reader.feed(UA_FRAME[:20])
    assert reader.is_mid_frame
    assert reader.feed(UA_FRAME) == [Frame(b"\x21", b"\x03", UA | FINAL, UA_INFO)]
    assert reader.frames_bad_count == 1


def test_what_came_before_a_reset_is_forgotten() -> None:
    reader = FrameReader()
    reader.feed(UA_FRAME[:20])
    reader.reset()
    assert not reader.is_mid_frame
    assert reader.feed(SNRM_FRAME) == [Frame(b"\x03", b"\x21", SNRM | FINAL)]


@pytest.mark.parametrize("bit", range(8, (len(UA_FRAME) - 1) * 8))
def test_a_frame_with_a_wrong_bit_is_dropped_and_the_next_one_is_not(bit: int) -> None:
    spoilt = bytearray(UA_FRAME)
    spoilt[bit // 8] ^= 1 << bit % 8
    assert FrameReader().feed(bytes(spoilt) + SNRM_FRAME) == [Frame(b"\x03", b"\x21", SNRM | FINAL)]


def test_a_frame_inside_the_information_of_a_spoilt_one_is_not_taken_for_one() -> None:
    outer = bytearray(encode_frame(b"\x03\x21", 0x10, b"before" + SNRM_FRAME + b"behind"))
    outer[12] ^= 1
    reader = FrameReader()
    assert reader.feed(bytes(outer)) == []
    assert reader.frames_bad_count == 1


@given(st.binary(max_size=400), st.randoms(use_true_random=False))
def test_any_bytes_leave_at_most_one_incomplete_frame_behind(data: bytes, rng: random.Random) -> None:
    reader = FrameReader()
    for piece in pieces(data, rng):
        reader.feed(piece)
    assert reader._held_bytes <= FRAME_LENGTH_MAX + 1


def test_a_stream_that_pretends_to_begin_long_frames_is_not_kept() -> None:
    reader = FrameReader()
    header = b"\xa7\xff\x03\x21\x10"
    opening = b"\x7e" + header + bitwise_fcs(header)
    for _ in range(100):
        reader.feed(opening + bytes(300))
        assert reader._held_bytes <= FRAME_LENGTH_MAX + 1


def test_the_longest_information_field_goes_through_with_the_longest_addresses() -> None:
    frame = Frame(b"\x02\x02\x02\x03", b"\x21", 0x10, bytes(INFO_BYTES_MAX))
    assert FrameReader().feed(encoded(frame)) == [frame]


def test_an_address_of_three_bytes_is_no_frame() -> None:
    header = b"\xa0\x09\x02\x02\x03\x21\x93"
    assert FrameReader().feed(b"\x7e" + header + bitwise_fcs(header) + b"\x7e") == []


def test_control_fields_of_i_frames_carry_both_numbers_and_the_final_bit() -> None:
    assert information_control(0, 0, is_final=True) == 0x10
    assert information_control(1, 2, is_final=True) == 0x52
    all_of_them = itertools.product(range(8), range(8), (False, True))
    assert len({information_control(sent, received, is_final=final) for sent, received, final in all_of_them}) == 128


def test_the_llc_header_of_either_side_is_taken_off() -> None:
    assert without_llc(b"\xe6\xe6\x00\xc0\x01") == b"\xc0\x01"
    assert without_llc(b"\xe6\xe7\x00") == b""
    assert without_llc(b"\xc0\x01\xc1") is None
