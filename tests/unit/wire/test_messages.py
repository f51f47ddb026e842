import hypothesis
import pytest
from hypothesis import strategies as st

from tests.rig import strategies
from tests.rig.parties import PARTIES, REGISTRY, address_of, signer_of
from wire import codec, limits
from wire.address import Kind
from wire.errors import LimitExceededError, MalformedError
from wire.facts import FactsHeld, UpFact
from wire.keys import Purpose
from wire.messages import (
    Batch,
    Disconnect,
    Effect,
    Limit,
    Message,
    Ping,
    Read,
    Reconnect,
    effect_group,
    facts_of,
    make_batch,
    open_message,
    purpose_of,
    seal_message,
)

STORE = bytes(8)


def _kind_of(message: Message) -> Kind:
    return Kind(type(message).__name__.lower())


@hypothesis.given(message=strategies.any_message)
def test_every_message_comes_back_from_its_seal(message: Message) -> None:
    kind = _kind_of(message)
    sealed = seal_message(message, address_of(kind), signer_of(kind).key)
    received, opened = open_message(sealed, address_of(kind), REGISTRY)
    assert received == message
    assert codec.encode_message(received) == opened.payload


@hypothesis.given(facts=st.lists(strategies.up_facts, min_size=1, max_size=6))
def test_facts_come_back_from_a_batch(facts: list[UpFact]) -> None:
    batch = make_batch(facts, store=STORE, index=1)
    assert facts_of(batch) == facts
    assert len(batch.body) <= len(codec.encode(facts))


def test_a_batch_is_compressed_only_when_that_is_smaller() -> None:
    held = FactsHeld(facts=[bytes(16)] * 64, boot=bytes(8), tick_ms=1)
    assert make_batch([held], store=STORE, index=1).deflated
    short = FactsHeld(facts=[bytes(range(16))], boot=bytes(range(8)), tick_ms=1)
    assert not make_batch([short], store=STORE, index=1).deflated


def test_a_body_that_is_not_compressed_though_it_says_so_is_refused() -> None:
    batch = Batch(store=STORE, index=1, deflated=True, body=b"\x80")
    with pytest.raises(MalformedError):
        facts_of(batch)


def test_a_batch_of_more_facts_than_allowed_is_refused() -> None:
    held = FactsHeld(facts=[bytes(16)], boot=bytes(8), tick_ms=1)
    assert len(facts_of(make_batch([held] * limits.FACTS_PER_BATCH_MAX, store=STORE, index=1))) == 512
    with pytest.raises(LimitExceededError):
        make_batch([held] * (limits.FACTS_PER_BATCH_MAX + 1), store=STORE, index=1)
    too_many = codec.encode([held] * (limits.FACTS_PER_BATCH_MAX + 1))
    with pytest.raises(MalformedError):
        facts_of(Batch(store=STORE, index=1, deflated=False, body=too_many))


def test_a_body_beyond_its_bound_is_refused_by_size() -> None:
    held = FactsHeld(facts=[bytes(16)] * 64, boot=bytes(8), tick_ms=1)
    count = limits.BODY_BYTES_MAX // len(codec.encode(held)) + 1
    with pytest.raises(LimitExceededError):
        facts_of(make_batch([held] * count, store=STORE, index=1))


@pytest.mark.parametrize(
    ("effect", "group"),
    [(Disconnect(), "relay"), (Reconnect(), "relay"), (Limit(None), "limit"), (Read([]), "read"), (Ping(), "ping")],
    ids=str,
)
def test_commands_overtake_one_another_within_their_group(effect: Effect, group: str) -> None:
    assert effect_group(effect) == group


def test_commands_and_credits_take_keys_of_their_own() -> None:
    assert {kind: purpose_of(kind) for kind in Kind} == {
        Kind.HELLO: Purpose.GATEWAY,
        Kind.BATCH: Purpose.GATEWAY,
        Kind.WELCOME: Purpose.CLOUD_ACK,
        Kind.ACK: Purpose.CLOUD_ACK,
        Kind.FACTS: Purpose.CLOUD_CREDIT,
        Kind.COMMAND: Purpose.CLOUD_COMMAND,
        Kind.REQUEST: Purpose.INTEGRATOR,
        Kind.STATUS: Purpose.CLOUD_ACK,
    }


def test_sealing_with_a_key_of_another_purpose_is_our_own_mistake() -> None:
    batch = make_batch([FactsHeld(facts=[bytes(16)], boot=bytes(8), tick_ms=1)], store=STORE, index=1)
    with pytest.raises(AssertionError):
        seal_message(batch, address_of(Kind.BATCH), PARTIES["cloud-ack"].key)
    with pytest.raises(AssertionError):
        seal_message(batch, address_of(Kind.HELLO), PARTIES["gateway"].key)
