import hashlib

import cbor2
import hypothesis
import pytest

from tests.rig import strategies
from wire import codec
from wire.errors import MalformedError
from wire.facts import DownFact, Stage, UpFact, decode_down_fact, encode_down_fact, fact_id


@hypothesis.given(fact=strategies.up_facts)
def test_every_fact_that_goes_up_comes_back(fact: UpFact) -> None:
    assert codec.decode_as(codec.encode(fact), UpFact) == fact


@hypothesis.given(fact=strategies.down_facts)
def test_every_fact_that_goes_down_comes_back_under_the_same_name(fact: DownFact) -> None:
    encoded = encode_down_fact(fact)
    assert decode_down_fact(encoded) == fact
    assert encode_down_fact(decode_down_fact(encoded)) == encoded
    assert fact_id(encoded) == hashlib.sha256(encoded).digest()[:16]


@pytest.mark.parametrize(
    "fact",
    [
        ["event", bytes(8), 1, 1, "m-1", "3.26.0.85\n", ""],
        ["event", bytes(8), 1, 1, "m-1", "\u0663.26.0.85", ""],
        ["event", bytes(8), 1, 1, "m-1", "3.26.0", ""],
        ["event", bytes(8), 1, 1, "m-1\n", "3.26.0.85", ""],
        ["event", bytes(7), 1, 1, "m-1", "3.26.0.85", ""],
        ["event", bytes(8), 1, 1, "m-1", "3.26.0.85", "x" * 121],
        ["health", bytes(8), 1, "", [["Name", 1]]],
        ["health", bytes(8), 1, "", []],
        ["line", bytes(8), 1, "", [["name", 1]]],
        ["line", bytes(8), 1, "l-1", []],
        ["held", [], bytes(8), 1],
        ["entry", "", b"x"],
        ["entry", "a-1", b""],
        ["policy", "a-1", "m-1", 1, "box", "KES", 0, 0],
        ["rumour"],
        [],
        {},
    ],
    ids=repr,
)
def test_what_breaks_a_bound_is_no_fact_that_goes_up(fact: object) -> None:
    with pytest.raises(MalformedError):
        codec.decode_as(cbor2.dumps(fact), UpFact)


@pytest.mark.parametrize(
    "fact",
    [
        ["policy", "a-1", "m-1", 1, "box\n", "KES", 0, 0],
        ["policy", "a-1", "m-1", 1, "boxes", "KES", 0, 0],
        ["policy", "a-1", "m-1", 1, "box", "kes", 0, 0],
        ["policy", "a-1", "m-1", 1, "box", "KES\n", 0, 0],
        ["policy", "a-1", "m-1", 1, "box", "KES", -1, 0],
        ["held", [bytes(16)], bytes(8), 1],
    ],
    ids=repr,
)
def test_what_breaks_a_bound_is_no_fact_that_goes_down(fact: object) -> None:
    with pytest.raises(MalformedError):
        decode_down_fact(cbor2.dumps(fact))


def test_all_stages_but_accepted_are_final() -> None:
    assert {stage for stage in Stage if not stage.is_final} == {Stage.ACCEPTED}
