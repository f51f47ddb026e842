"""What other people's tests say that bytes of DLMS/COSEM mean, and what our stack makes of the same bytes."""

import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlms.apdu.acse import Mechanism
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse, encode_apdu
from dlms.apdu.services import DataNotification
from dlms.axdr import data as exact
from dlms.axdr.datetimes import CosemDateTime
from dlms.axdr.tags import BitString
from dlms.axdr.values import Value, decode_value
from dlms.errors import DecodeError
from dlms.link import wrapper
from dlms.link.address import decode_address
from dlms.link.frame import Frame, FrameReader, encode_frame, without_llc
from dlms.link.parameters import decode_parameters
from dlms.obis import obis_text
from dlms.security.authentication import Credentials, answer
from dlms.security.counters import PeerCounterPolicy, PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import Protector
from dlms.security.suite0 import AUTHENTICATED, ENCRYPTED, TAG_BYTES, Suite0

FOLDER = Path(__file__).parents[1] / "vectors" / "dlms"
FIELDS = {"name", "kind", "source", "licence", "hex", "what", "expected"}
OWN_TITLE = b"WPT\0\0\0\0\1"


def all_vectors() -> list[dict[str, Any]]:
    return [vector for path in sorted(FOLDER.glob("*.json")) for vector in json.loads(path.read_text())]


def of_kind(*kinds: str) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in all_vectors() if vector["kind"] in kinds]


def raw(vector: dict[str, Any], key: str = "hex") -> bytes:
    return bytes.fromhex(vector[key])


def plain(value: Value) -> Any:
    """Return a value as the files write it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, BitString):
        return {"bits": "".join(f"{byte:08b}" for byte in value.data)[: value.bits]}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def fields(apdu: Any) -> Any:
    """Return a dataclass of `dlms.apdu` as the files write it."""
    if dataclasses.is_dataclass(apdu):
        return {field.name: fields(getattr(apdu, field.name)) for field in dataclasses.fields(apdu)}
    if isinstance(apdu, bytes):
        return apdu.hex()
    if isinstance(apdu, tuple):
        return [fields(item) for item in apdu]
    return apdu


def frame_as_told(frame: Frame) -> dict[str, Any]:
    return {
        "destination": frame.destination.hex(),
        "source": frame.source.hex(),
        "control": frame.control,
        "segmented": frame.is_segmented,
        "info": frame.info.hex(),
    }


def check_body(apdu: DataNotification, expected: dict[str, Any]) -> None:
    assert apdu.long_invoke == expected["long_invoke"]
    assert apdu.sent_at.hex() == expected["sent_at"]
    if expected.get("refused"):
        with pytest.raises(DecodeError):
            decode_value(apdu.body)
        return
    assert plain(decode_value(apdu.body)) == expected["value"]
    tree = exact.decode(apdu.body)
    assert exact.encode(tree) == apdu.body


def scaled(value: Value) -> dict[str, float]:
    """Return by OBIS code what a list of (name, number, (scaler, unit)) says."""
    assert isinstance(value, list)
    found: dict[str, float] = {}
    for item in value:
        match item:
            case (bytes(name), int(number), (int(scaler), int())):
                found[obis_text(name)] = number * 10.0**scaler
            case _:
                pass
    return found


def test_the_files_say_where_their_bytes_come_from_and_under_which_licence() -> None:
    vectors = all_vectors()
    assert all(vector.keys() >= FIELDS and vector["source"] and vector["licence"] for vector in vectors)
    names = Counter((vector["source"].split("/")[0], vector["name"]) for vector in vectors)
    assert names.most_common(1)[0][1] == 1
    kinds = {"stream", "notification", "apdu", "acse", "ciphered", "gmac", "gcm", "data", "date-time", "wrapper"}
    assert {vector["kind"] for vector in vectors} == kinds
    named = {word.strip("()") for vector in vectors for word in vector["licence"].split() if word.endswith(".txt)")}
    assert all((FOLDER / name).exists() for name in named)


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[start : start + size] for start in range(0, len(stream), size))


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("vector", of_kind("stream"))
def test_a_stream_holds_the_frames_that_others_find_in_it(vector: dict[str, Any], size: int) -> None:
    reader = FrameReader()
    frames = [frame for piece in pieces(raw(vector), size) for frame in reader.feed(piece)]
    assert [frame_as_told(frame) for frame in frames] == vector["expected"]["frames"]
    assert reader.frames_bad_count == vector["expected"]["bad"]


@pytest.mark.parametrize("vector", of_kind("stream"))
def test_a_frame_made_of_the_same_parts_has_the_same_bytes(vector: dict[str, Any]) -> None:
    for frame in FrameReader().feed(raw(vector)):
        assert decode_address(frame.destination) != decode_address(frame.source)
        made = encode_frame(
            frame.destination + frame.source, frame.control, frame.info, is_segmented=frame.is_segmented
        )
        assert made.strip(b"\x7e") in raw(vector)


@pytest.mark.parametrize("vector", of_kind("stream"))
def test_a_push_in_frames_means_what_others_read_in_it(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    frames = FrameReader().feed(raw(vector))
    if "parameters" in expected:
        assert dataclasses.asdict(decode_parameters(frames[0].info)) == expected["parameters"]
    if "notification" in expected:
        encoded = without_llc(b"".join(frame.info for frame in frames))
        assert encoded is not None
        apdu = decode_apdu(encoded)
        assert isinstance(apdu, DataNotification)
        check_body(apdu, expected["notification"])
        if "published" in expected:
            assert scaled(decode_value(apdu.body)) == pytest.approx(expected["published"])


@pytest.mark.parametrize("vector", of_kind("notification"))
def test_a_push_means_what_others_read_in_it(vector: dict[str, Any]) -> None:
    encoded = without_llc(raw(vector))
    assert encoded is not None
    apdu = decode_apdu(encoded)
    assert isinstance(apdu, DataNotification)
    check_body(apdu, vector["expected"])
    if "published" in vector["expected"]:
        assert scaled(decode_value(apdu.body)) == pytest.approx(vector["expected"]["published"])


@pytest.mark.parametrize("vector", of_kind("apdu"))
def test_an_apdu_has_the_fields_that_others_read_and_is_written_as_it_was(vector: dict[str, Any]) -> None:
    apdu = decode_apdu(raw(vector))
    assert {"type": type(apdu).__name__, "fields": fields(apdu)} == vector["expected"]
    assert encode_apdu(apdu) == raw(vector)


@pytest.mark.parametrize("vector", of_kind("acse"))
def test_an_acse_apdu_has_the_fields_that_others_read_and_is_written_as_it_was(vector: dict[str, Any]) -> None:
    apdu = decode_acse(raw(vector))
    assert type(apdu).__name__ == vector["expected"]["type"]
    assert fields(apdu) == vector["expected"]["fields"]
    assert encode_acse(apdu) == raw(vector)


def keys_of(vector: dict[str, Any]) -> Keys:
    return Keys(encryption=raw(vector, "encryption_key"), authentication=raw(vector, "authentication_key"))


@pytest.mark.parametrize("vector", of_kind("ciphered"))
def test_a_ciphered_apdu_opens_to_what_others_sealed(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    protector = Protector(
        OWN_TITLE,
        raw(vector, "title"),
        keys_of(vector),
        ReservedCounter(0, lambda _bound: None),
        PeerCounters(PeerCounterPolicy.STRICT),
        required=expected["control"] & (AUTHENTICATED | ENCRYPTED),
    )
    opened = protector.unprotect(raw(vector))
    assert opened.apdu.hex() == expected["plain"]
    assert (opened.control, opened.counter, opened.title.hex()) == tuple(
        expected[key] for key in ("control", "counter", "title")
    )


@pytest.mark.parametrize("vector", of_kind("gmac"))
def test_a_challenge_is_answered_as_others_answer_it(vector: dict[str, Any]) -> None:
    credentials = Credentials(
        Mechanism.HIGH_GMAC, keys=keys_of(vector), own_title=raw(vector, "title"), peer_title=OWN_TITLE
    )
    given = answer(credentials, raw(vector), counters=ReservedCounter(vector["counter"], lambda _bound: None))
    assert given.hex() == vector["expected"]["answer"]


@pytest.mark.parametrize("vector", of_kind("gcm"))
def test_text_is_encrypted_as_the_specification_of_gcm_says(vector: dict[str, Any]) -> None:
    suite = Suite0(raw(vector, "encryption_key"), bytes(16))
    cipher = suite.seal(ENCRYPTED, raw(vector, "vector"), raw(vector))
    assert cipher.hex() == vector["expected"]["cipher"]
    assert suite.open(ENCRYPTED, raw(vector, "vector"), cipher) == raw(vector)
    assert len(raw(vector["expected"], "tag")) > TAG_BYTES


@pytest.mark.parametrize("vector", of_kind("data"))
def test_data_has_the_value_that_others_read(vector: dict[str, Any]) -> None:
    assert plain(decode_value(raw(vector))) == vector["expected"]["value"]
    assert exact.encode(exact.decode(raw(vector))) == raw(vector)


@pytest.mark.parametrize("vector", of_kind("date-time"))
def test_a_date_time_is_the_instant_that_others_read(vector: dict[str, Any]) -> None:
    told = dt.datetime.fromisoformat(vector["expected"]["iso"])
    instant = told if told.tzinfo else told.replace(tzinfo=dt.UTC)
    assert CosemDateTime(raw(vector)).to_utc_ms(0) == instant.timestamp() * 1000


@pytest.mark.parametrize("vector", of_kind("wrapper"))
def test_a_datagram_holds_the_apdu_that_others_find_in_it(vector: dict[str, Any]) -> None:
    packet = wrapper.unpack(raw(vector))
    expected = vector["expected"]
    assert (packet.source, packet.destination, packet.apdu.hex()) == (
        expected["source"],
        expected["destination"],
        expected["apdu"],
    )
    assert wrapper.pack(*packet) == raw(vector)
