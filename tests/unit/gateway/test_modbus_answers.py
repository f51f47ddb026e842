from random import Random

import pytest
from pymodbus.framer import FramerRTU

from gateway.adapters.modbus_answers import AnswerFilter


def crc(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def asked(request: bytes, *, rtu: bool) -> AnswerFilter:
    answers = AnswerFilter(rtu=rtu, monotonic_ms=lambda: 7)
    assert answers.hook(True, request) == request
    return answers


READ = crc(bytes.fromhex("0104004800 02"))
GOOD = crc(bytes.fromhex("010404 4366 1999"))
TCP_READ = bytes.fromhex("00050000 0006 01 04 0048 0002")
TCP_GOOD = bytes.fromhex("00050000 0007 01 04 04 4366 1999")


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("0104 0048 0002", "0104 04 43661999"),
        ("f703 0bd3 0001", "f703 02 0001"),
        ("0901 0003 0001", "0901 01 01"),
        ("0901 0003 0009", "0901 02 ff01"),
        ("0905 0003 ff00", "0905 0003 ff00"),
        ("0104 0048 0002", "0184 02"),
    ],
)
def test_answer_and_refusal_of_every_function_pass(request_hex: str, answer_hex: str) -> None:
    request, answer = bytes.fromhex(request_hex), bytes.fromhex(answer_hex)
    assert asked(crc(request), rtu=True).hook(False, crc(answer)) == crc(answer)
    head = b"\x00\x05\x00\x00"
    framed = head + len(answer).to_bytes(2) + answer
    assert asked(head + b"\x00\x06" + request, rtu=False).hook(False, framed) == framed


def test_an_acknowledgement_of_another_switching_does_not_pass() -> None:
    answers = asked(crc(bytes.fromhex("0905 0003 ff00")), rtu=True)
    assert answers.hook(False, crc(bytes.fromhex("0905 0003 0000"))) == b""
    assert answers.hook(False, crc(bytes.fromhex("0905 0004 ff00"))) == b""


@pytest.mark.parametrize("rtu", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_the_answer_is_found_among_noise_in_any_pieces(seed: int, rtu: bool) -> None:  # noqa: FBT001
    rng = Random(seed)
    request, good = (READ, GOOD) if rtu else (TCP_READ, TCP_GOOD)
    answers = asked(request, rtu=rtu)
    # TCP loses no bytes, so an answer that breaks off before another exists on serial lines only.
    broken = good[: rng.randrange(len(good))] if rtu else b""
    stream = rng.randbytes(rng.randrange(40)) + broken + good
    found, pause = b"", 0
    while not found:
        pause = min(pause + rng.randint(1, 9), len(stream))
        found = answers.hook(False, stream[:pause])
    assert found == good
    assert answers.received_bytes == pause


@pytest.mark.parametrize("rtu", [True, False])
def test_a_damaged_answer_never_passes_with_other_content(rtu: bool) -> None:  # noqa: FBT001
    rng = Random(3)
    request, good = (READ, GOOD) if rtu else (TCP_READ, TCP_GOOD)
    for _ in range(5_000):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        passed = asked(request, rtu=rtu).hook(False, bytes(damaged))
        if rtu:
            assert passed in {b"", good}
        else:
            # Whoever changes the value itself on TCP has changed a checksum of TCP too.
            assert passed == b"" or passed[:9] == good[:9] or passed[7] == 0x84


def test_activity_and_bytes_are_noted() -> None:
    answers = asked(READ, rtu=True)
    assert (answers.sent_bytes, answers.received_bytes, answers.heard) == (8, 0, False)
    answers.hook(False, b"\x00")
    answers.hook(False, b"\x00" + GOOD)
    assert (answers.received_bytes, answers.heard, answers.active_ms) == (10, True, 7)
    answers.hook(True, READ)
    assert answers.heard is False
