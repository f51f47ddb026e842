"""The golden vectors: bytes that never change, and what they mean."""

from typing import Any

import pytest

from tests.rig.vectors import FOLDER, Vector, good_vectors, index, refused_vectors, registry
from tests.vectors import make
from wire import codec
from wire.address import Kind
from wire.errors import Reason, WireError
from wire.facts import UpFact, decode_down_fact, encode_down_fact
from wire.messages import Batch, Facts, Message, facts_of, open_message, purpose_of
from wire.readings import Profile, Readings, captured, to_table
from wire.signing import open_sealed
from wire.topics import TopicTree

OPENED_ELSEWHERE = {
    Reason.BAD_TOPIC,  # by wire.topics, before there is an address
    Reason.RETAINED,  # by the receiver of the MQTT message
    Reason.EXPIRED,
    Reason.REPLAYED,
    Reason.SUPERSEDED,
    Reason.QUOTA_EXCEEDED,
    Reason.NOT_ASSIGNED,
    Reason.NOT_ALLOWED,
    Reason.UNKNOWN_METER,
}
"""Reasons that need more than the bytes and the keys: a topic, a clock, or what the receiver knows."""


def test_committed_bytes_are_what_the_contract_makes_today() -> None:
    files = make.build()
    changed = make.changed(files)
    assert not changed, make.CHANGED.format(names=", ".join(changed))
    missing = [name for name in files if not (FOLDER / name).exists()]
    assert not missing, "run: python -m tests.vectors.make"
    assert (FOLDER / make.INDEX).read_bytes() == files[make.INDEX], "run: python -m tests.vectors.make"


def test_every_committed_file_is_in_the_index() -> None:
    listed = {f"{entry['name']}.cbor" for part in ("messages", "refused") for entry in index()[part]}
    assert {path.name for path in FOLDER.glob("*.cbor")} == listed


@pytest.mark.parametrize("vector", good_vectors(), ids=str)
def test_a_vector_opens_to_the_content_of_the_index(vector: Vector) -> None:
    message, opened = open_message(vector.sealed, vector.address, registry())
    assert make.to_json(message) == vector.entry["message"]
    assert opened.digest.hex() == vector.entry["digest"]
    assert vector.address.to_bytes() == vector.external_aad
    assert codec.encode_message(message) == opened.payload, "the payload is not in its one deterministic form"
    if isinstance(message, Batch):
        assert make.to_json(facts_of(message)) == vector.entry["facts"]
    if isinstance(message, Facts):
        facts = [decode_down_fact(fact) for fact in message.facts]
        assert make.to_json(facts) == vector.entry["facts"]
        assert [encode_down_fact(fact) for fact in facts] == message.facts


def _read(vector: Vector) -> tuple[Message, list[UpFact]]:
    message, _ = open_message(vector.sealed, vector.address, registry())
    facts = facts_of(message) if isinstance(message, Batch) else []
    for fact in facts:
        if isinstance(fact, Readings):
            to_table(fact)
        if isinstance(fact, Profile):
            captured(fact)
    return message, facts


@pytest.mark.parametrize("vector", refused_vectors(), ids=str)
def test_a_bad_vector_is_refused_with_its_reason(vector: Vector) -> None:
    with pytest.raises(WireError) as refused:
        _read(vector)
    assert refused.value.reason is vector.reason, vector.entry["why"]


@pytest.mark.parametrize("vector", refused_vectors(), ids=str)
def test_a_bad_vector_fails_at_its_stage_and_not_before(vector: Vector) -> None:
    if vector.entry["stage"] == "open":
        with pytest.raises(WireError):
            open_message(vector.sealed, vector.address, registry())
        return
    message, _ = open_message(vector.sealed, vector.address, registry())
    assert isinstance(message, Batch)
    if vector.entry["stage"] == "facts":
        with pytest.raises(WireError):
            facts_of(message)
    else:
        (block,) = facts_of(message)
        assert isinstance(block, Readings)
        with pytest.raises(WireError):
            to_table(block)


def test_every_reason_that_bytes_can_have_has_a_vector() -> None:
    assert {vector.reason for vector in refused_vectors()} == set(Reason) - OPENED_ELSEWHERE


def test_every_message_and_fact_type_has_a_vector() -> None:
    messages = [entry["message"] for entry in index()["messages"]]
    facts = [fact for entry in index()["messages"] for fact in entry.get("facts", [])]
    assert {message[0] for message in messages} == {kind.value for kind in Kind}
    assert {fact[0] for fact in facts} == {
        "readings", "profile", "clock", "event", "meter-event", "receipt", "held", "entry", "health", "line",
        "policy",
    }  # fmt: skip
    effects = {message[-1][0] for message in messages if message[0] in {"command", "request"}}
    assert effects == {"disconnect", "reconnect", "limit", "read", "ping"}


@pytest.mark.parametrize("entry", index()["topics"], ids=lambda entry: entry["topic"] or "empty")
def test_a_topic_stands_for_the_address_of_the_index(entry: dict[str, Any]) -> None:
    tree = TopicTree("hillside")
    if entry["address"] is None:
        with pytest.raises(WireError) as refused:
            tree.parse(entry["topic"])
        assert refused.value.reason is Reason.BAD_TOPIC
    else:
        assert tree.parse(entry["topic"]).to_bytes().hex() == entry["external_aad"]


@pytest.mark.parametrize("vector", good_vectors(), ids=str)
def test_a_vector_holds_on_no_other_road(vector: Vector) -> None:
    for other in good_vectors():
        if other.address == vector.address:
            continue
        with pytest.raises(WireError) as refused:
            open_sealed(vector.sealed, other.address, registry(), purpose_of(vector.address.kind))
        assert refused.value.reason is Reason.BAD_SIGNATURE
