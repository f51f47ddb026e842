"""Any bytes are a message or a `WireError`: 300,000 inputs made by mutating, cutting, extending and inventing.

Seeded, so that a red run is red again; a failure prints the input and the seed that made it.
"""

import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import cbor2

from tests.rig.parties import PARTIES
from tests.rig.vectors import Vector, good_vectors, refused_vectors, registry
from wire import codec, limits
from wire.errors import Reason, WireError
from wire.facts import decode_down_fact
from wire.messages import Batch, Facts, Message, facts_of, open_message
from wire.readings import Profile, Readings, captured, to_rows
from wire.signing import seal

SEED = 20_260_101
SIGNED_INPUTS = 100_000
RESIGNED_INPUTS = 20_000
PAYLOAD_INPUTS = 90_000
BODY_INPUTS = 80_000
STRICT_INPUTS = 10_000
INPUT_BYTES_MAX = 700
"""Of the vectors that inputs are made of; longer ones only take longer."""

_KEYS = registry()
_GOOD = [vector for vector in good_vectors() if len(vector.sealed) <= INPUT_BYTES_MAX]
_ALL = _GOOD + [vector for vector in refused_vectors() if len(vector.sealed) <= INPUT_BYTES_MAX]
_ITEMS = [
    b"\x00", b"\x17", b"\x18\x00", b"\x1b" + b"\xff" * 8, b"\x20", b"\x3b" + b"\xff" * 8, b"\x40", b"\x5f", b"\x60",
    b"\x5b" + b"\xff" * 8, b"\x7b" + b"\x7f" * 8, b"\x7f", b"\x80", b"\x81" * 20, b"\x9b" + b"\x7f" * 8, b"\x9f",
    b"\xa0", b"\xa1\x61a\x00", b"\xbb" + b"\xff" * 8, b"\xbf", b"\xc0", b"\xc2\x41\x01", b"\xd8\x23\x62a+", b"\xf4",
    b"\xd9\xd9\xf7", b"\xf5", b"\xf6", b"\xf7", b"\xf8\xff", b"\xf9\x7e\x00", b"\xfa\x7f\x80\x00\x00", b"\xff",
]  # fmt: skip
_VALUES: list[Any] = [
    0, 1, -1, 23, 24, 255, 256, 2**31, 2**31 + 1, 2**32, 2**53, 2**62, -(2**62), 2**63 - 1, 2**63, 2**64 - 1, -(2**63),
    -(2**64), 2**64, 10**30, True, False, None, 0.0, 1.0, float("nan"), float("inf"), "", "a", "m-1", "m_1", "m-1\n",
    "readings", "event", "x" * 200, "\u0663", "\u0000", b"", bytes(6), bytes(8), bytes(16), bytes(32), bytes(1_100), [],
    [[]], [0] * 9_000, {}, {"a": 1}, {b"a": []}, cbor2.undefined, cbor2.CBORSimpleValue(99), cbor2.CBORTag(2, b"x"),
    cbor2.CBORTag(9_999, []),
]  # fmt: skip
Maker = Callable[[random.Random], tuple[bytes, Callable[[bytes], object]]]
"""Draws an input and what must read it."""


def _changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return the bytes with something done to them."""
    place = rng.randrange(len(data) + 1)
    match rng.randrange(9):
        case 0:
            return rng.randbytes(rng.randrange(200))
        case 1:
            return data[:place]
        case 2:
            return data + rng.randbytes(rng.randrange(1, 20))
        case 3:
            return data[:place] + rng.choice(_ITEMS) + data[place:]
        case 4:
            return data[:place] + rng.choice(_ITEMS) + data[place + 1 :]
        case 5:
            return data[:place] + data[place + rng.randrange(1, 9) :]
        case 6:
            other = rng.choice(others)
            return data[:place] + other[rng.randrange(len(other) + 1) :]
        case _:
            flipped = bytearray(data or b"\x00")
            for _ in range(rng.randrange(1, 4)):
                flipped[rng.randrange(len(flipped))] = rng.randrange(256)
            return bytes(flipped)


def _changed_within(rng: random.Random, item: Any) -> Any:
    """Return the item with one part at any depth replaced, repeated or taken out."""
    if not isinstance(item, list) or not item or rng.randrange(5) == 0:
        return rng.choice(_VALUES)
    place = rng.randrange(len(item))
    match rng.randrange(8):
        case 0:
            return item[:place] + item[place + 1 :]
        case 1:
            return item[:place] + [item[place]] * rng.randrange(2, 70) + item[place:]
        case _:
            return [*item[:place], _changed_within(rng, item[place]), *item[place + 1 :]]


def _some_change(rng: random.Random, sources: Sequence[bytes]) -> bytes:
    """Return one of the sources, changed as bytes or as what they stand for."""
    data = rng.choice(sources)
    if rng.randrange(2):
        return _changed(rng, data, sources)
    return cbor2.dumps(_changed_within(rng, codec.decode_strict(data)))


def _run(
    count: int, seed: int, one: Callable[[random.Random], tuple[bytes, Callable[[bytes], object]]]
) -> Counter[str]:
    """Feed `count` inputs to their readers; return how often each reason, or none, came out."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        data, read = one(rng)
        try:
            read(data)
            outcomes["accepted"] += 1
        except WireError as refused:
            outcomes[Reason(refused.reason).value] += 1
        except Exception as error:
            error.add_note(f"input {number} of seed {seed}: {data.hex()}")
            raise
    return outcomes


def _read_body(batch: Batch) -> None:
    for fact in facts_of(batch):
        if isinstance(fact, Readings):
            to_rows(fact)
        if isinstance(fact, Profile):
            captured(fact)


def _read_payload(payload: bytes) -> None:
    message = codec.decode_message(payload, Message)
    match message:
        case Batch():
            _read_body(message)
        case Facts():
            for fact in message.facts:
                decode_down_fact(fact)
        case _:
            pass


def _payload(vector: Vector) -> bytes:
    payload: bytes = cbor2.loads(vector.sealed).value[2]
    return payload


def test_no_signed_bytes_but_the_true_ones_open() -> None:
    sealed = [vector.sealed for vector in _ALL]
    true_ones = {(vector.sealed, vector.address) for vector in _ALL if vector.entry.get("stage") != "open"}

    def one(rng: random.Random) -> tuple[bytes, Callable[[bytes], object]]:
        vector = rng.choice(_ALL)
        data = _changed(rng, vector.sealed, sealed)

        def read(data: bytes) -> None:
            open_message(data, vector.address, _KEYS)
            assert (data, vector.address) in true_ones, "a changed message opened"

        return data, read

    outcomes = _run(SIGNED_INPUTS, SEED, one)
    assert {"malformed", "unsupported-algorithm", "unknown-key", "bad-signature"} <= set(outcomes)
    assert outcomes["bad-signature"] > SIGNED_INPUTS // 10


def test_no_payload_under_a_good_signature_ends_a_reader() -> None:
    payloads = [_payload(vector) for vector in _GOOD]

    def one(rng: random.Random) -> tuple[bytes, Callable[[bytes], object]]:
        return _some_change(rng, payloads), _read_payload

    outcomes = _run(PAYLOAD_INPUTS, SEED + 1, one)
    assert {"accepted", "malformed", "unsupported-version"} <= set(outcomes)


def test_no_payload_signed_anew_ends_a_receiver() -> None:
    payloads = [_payload(vector) for vector in _GOOD]
    at = next(vector.address for vector in _GOOD if vector.name == "batch-bulk-worked")
    key = PARTIES["gateway"].key

    def read(sealed: bytes) -> None:
        message, _ = open_message(sealed, at, _KEYS)
        assert isinstance(message, Batch)
        _read_body(message)

    def one(rng: random.Random) -> tuple[bytes, Callable[[bytes], object]]:
        return seal(_some_change(rng, payloads), at, key), read

    outcomes = _run(RESIGNED_INPUTS, SEED + 2, one)
    assert {"accepted", "malformed"} <= set(outcomes)


def test_no_body_ends_a_reader() -> None:
    batches = [message for vector in _GOOD for message in [codec.decode_message(_payload(vector), Message)]]
    bodies = [
        codec.inflate(batch.body, bytes_max=limits.BODY_BYTES_MAX) if batch.deflated else batch.body
        for batch in batches
        if isinstance(batch, Batch)
    ]
    streams = [batch.body for batch in batches if isinstance(batch, Batch) and batch.deflated]

    def plain(data: bytes) -> None:
        _read_body(Batch(store=bytes(8), index=1, deflated=False, body=data))

    def deflated(data: bytes) -> None:
        _read_body(Batch(store=bytes(8), index=1, deflated=True, body=data))

    def one(rng: random.Random) -> tuple[bytes, Callable[[bytes], object]]:
        if rng.randrange(4):
            return _some_change(rng, bodies), plain
        if rng.randrange(2):
            return zlib.compress(_some_change(rng, bodies), level=1), deflated
        return _changed(rng, rng.choice(streams), streams), deflated

    outcomes = _run(BODY_INPUTS, SEED + 3, one)
    assert {"accepted", "malformed"} <= set(outcomes)


def test_random_bytes_end_no_decoder() -> None:
    def one(rng: random.Random) -> tuple[bytes, Callable[[bytes], object]]:
        if rng.randrange(2):
            return rng.randbytes(rng.randrange(60)), codec.decode_strict
        return b"".join(rng.choices(_ITEMS, k=rng.randrange(12))), codec.decode_strict

    outcomes = _run(STRICT_INPUTS, SEED + 4, one)
    assert {"accepted", "malformed"} <= set(outcomes)


def test_the_inputs_are_three_hundred_thousand() -> None:
    assert SIGNED_INPUTS + PAYLOAD_INPUTS + RESIGNED_INPUTS + BODY_INPUTS + STRICT_INPUTS == 300_000
