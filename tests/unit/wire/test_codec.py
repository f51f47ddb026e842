import zlib
from typing import Any

import cbor2
import hypothesis
import pytest
from hypothesis import strategies as st

from wire import codec
from wire.errors import LimitExceededError, MalformedError, Reason, UnsupportedVersionError
from wire.limits import DEPTH_MAX
from wire.messages import Disconnect, Message, Ping

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64 - 1), st.text(max_size=8), st.binary(max_size=8)),
    lambda children: st.lists(children, max_size=4),
    max_leaves=12,
)


def _depth(item: Any) -> int:
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 0


@hypothesis.given(item=PLAIN)
def test_plain_items_come_back(item: Any) -> None:
    hypothesis.assume(_depth(item) <= DEPTH_MAX)
    assert codec.decode_strict(codec.encode(item)) == item


@hypothesis.given(item=PLAIN)
def test_encoding_is_in_shortest_form(item: Any) -> None:
    assert codec.encode(item) == cbor2.dumps(item, canonical=True)


def test_every_tag_is_refused_whatever_it_marks() -> None:
    for tag in (*range(300), 1004, 43000, 55799, 2**32, 2**64 - 1):
        head = cbor2.dumps(tag)
        for content in (0, b"\x01", "x", [], [1, 2]):
            tagged = bytes([head[0] | 0xC0]) + head[1:] + cbor2.dumps(content)
            for data in (tagged, b"\x81" + tagged):
                with pytest.raises(MalformedError):
                    codec.decode_strict(data)


@pytest.mark.parametrize(
    "data",
    ["", "00 00", "9f ff", "5f 41 00 ff", "7f 61 61 ff", "bf ff", "a2 61 61 01 61 61 02", "ff", "1c", "18", "62 c3 28",
     "f8 14", "a1 01 02", "a1 80 00", "9b ff ff ff ff ff ff ff ff", "5b ff ff ff ff ff ff ff ff",
     "bb 00 00 00 ff ff ff ff ff", "81 " * 9 + "00"],
)  # fmt: skip
def test_what_is_not_one_plain_item_is_refused(data: str) -> None:
    with pytest.raises(MalformedError) as refused:
        codec.decode_strict(bytes.fromhex(data))
    assert refused.value.reason is Reason.MALFORMED


def test_nesting_is_allowed_to_its_bound() -> None:
    assert codec.decode_strict(b"\x81" * DEPTH_MAX + b"\x00")
    with pytest.raises(MalformedError):
        codec.decode_strict(b"\x81" * (DEPTH_MAX + 1) + b"\x00")


@pytest.mark.parametrize("version", [0, 2, -1, 2**64 - 1])
def test_another_version_is_refused_as_such(version: int) -> None:
    with pytest.raises(UnsupportedVersionError):
        codec.decode_message(cbor2.dumps([version, ["ping"]]), Message)


@pytest.mark.parametrize("payload", [1, [], [1], [1, ["ping"], 0], ["1", ["ping"]], [True, ["ping"]], [1.0, ["ping"]]])
def test_what_is_no_version_and_message_is_malformed(payload: object) -> None:
    with pytest.raises(MalformedError):
        codec.decode_message(cbor2.dumps(payload), Ping | None)


def test_version_true_is_no_version_one() -> None:
    assert codec.decode_message(cbor2.dumps([1, ["ping"]]), Ping | None) == Ping()
    with pytest.raises(MalformedError):
        codec.decode_message(b"\x82\xf5\x81\x64ping", Ping | None)


@hypothesis.given(data=st.binary(max_size=2_000), slack=st.integers(0, 3))
def test_inflating_gives_back_what_fits_exactly(data: bytes, slack: int) -> None:
    assert codec.inflate(zlib.compress(data), bytes_max=len(data) + slack) == data


@hypothesis.given(data=st.binary(min_size=1, max_size=2_000), missing=st.integers(1, 2_000))
def test_inflating_beyond_the_bound_is_refused(data: bytes, missing: int) -> None:
    hypothesis.assume(missing <= len(data))
    with pytest.raises(LimitExceededError) as refused:
        codec.inflate(zlib.compress(data), bytes_max=len(data) - missing)
    assert refused.value.reason is Reason.LIMIT_EXCEEDED


def test_stream_that_ends_in_empty_blocks_fits_its_bound_exactly() -> None:
    stream = zlib.compressobj()
    packed = stream.compress(b"a" * 500) + stream.flush(zlib.Z_FULL_FLUSH) + stream.flush(zlib.Z_FULL_FLUSH)
    assert codec.inflate(packed + stream.flush(), bytes_max=500) == b"a" * 500


@pytest.mark.parametrize("cut", [1, 4, 5])
def test_truncated_stream_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedError):
        codec.inflate(zlib.compress(b"abc" * 40)[:-cut], bytes_max=1_000)


@pytest.mark.parametrize("stream", [b"", b"\x78", zlib.compress(b"a") + b"\x00", zlib.compress(b"a", wbits=-15)])
def test_what_is_not_one_zlib_stream_is_malformed(stream: bytes) -> None:
    with pytest.raises(MalformedError):
        codec.inflate(stream, bytes_max=1_000)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 1_000])
def test_encoded_items_make_the_same_array_as_the_items(count: int) -> None:
    items = [[number, b"x", "y"] for number in range(count)]
    assert codec.encode_array([codec.encode(item) for item in items]) == codec.encode(items)


@pytest.mark.parametrize("item", [["pong"], [], [1], "ping", ["ping", 1], [b"ping"]])
def test_what_is_no_member_of_a_union_is_refused_whatever_stands_for_its_tag(item: object) -> None:
    with pytest.raises(MalformedError):
        codec.convert(item, Ping | Disconnect)
    assert codec.convert(["ping"], Ping | Disconnect) == Ping()
