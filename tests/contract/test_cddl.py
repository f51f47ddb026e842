"""`wire/contract.cddl` says what the code does: what one accepts the other accepts, as far as CDDL can say it."""

import re
from collections.abc import Iterator
from typing import Any

import cbor2
import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from tests.rig import cddl, strategies
from tests.rig.cddl_subset import Contract
from tests.rig.vectors import Vector, good_vectors, index, refused_vectors, registry
from tests.vectors import samples
from wire import codec, facts, limits, messages
from wire.errors import Reason, WireError

UNIONS: dict[str, Any] = {"Message": messages.Message, "UpFact": facts.UpFact, "DownFact": facts.DownFact}

BEYOND_CDDL = {
    "refused-long-head",  # CDDL speaks of values, not of their encoding
    "refused-indefinite-envelope",
    "refused-indefinite",
    "refused-trailing-byte",  # and of one item, not of what follows it
    "refused-payload-trailing",
    "refused-too-long",
    "refused-kind-inside",  # and not of the road
    "refused-bignum",  # and an integer is one in either encoding
}
BEYOND_PYCDDL = {
    "refused-unprotected-header",  # takes every map for an empty one
    "refused-text-for-bytes",  # and `.size` as all there is to a byte string
}


@pytest.mark.parametrize("vector", good_vectors(), ids=str)
def test_every_vector_conforms(vector: Vector) -> None:
    assert cddl.signed_conforms(vector.sealed)
    assert cddl.conforms("Address", vector.external_aad)
    protected, _, payload, _ = cbor2.loads(vector.sealed).value
    assert cddl.conforms("SignedBytes", cbor2.dumps(["Signature1", protected, vector.external_aad, payload]))
    message, _ = messages.open_message(vector.sealed, vector.address, registry())
    if isinstance(message, messages.Batch):
        body = codec.decode_strict(codec.encode(messages.facts_of(message)))
        assert all(cddl.item_conforms("UpFact", fact) for fact in body)
        assert cddl.conforms("BatchBody", cbor2.dumps(body), UpFact="any")
    if isinstance(message, messages.Facts):
        assert all(cddl.item_conforms("DownFact", codec.decode_strict(fact)) for fact in message.facts)


@pytest.mark.parametrize(
    "vector",
    [
        vector
        for vector in refused_vectors()
        if vector.reason in {Reason.MALFORMED, Reason.UNSUPPORTED_ALGORITHM, Reason.UNSUPPORTED_VERSION}
        and vector.entry["stage"] == "open"
        and vector.name not in BEYOND_CDDL | BEYOND_PYCDDL
    ],
    ids=str,
)
def test_what_is_malformed_does_not_conform(vector: Vector) -> None:
    assert not cddl.signed_conforms(vector.sealed)


@pytest.mark.parametrize(
    ("choice", "strategy"),
    [
        ("Message", strategies.any_message),
        ("UpFact", strategies.up_facts),
        ("DownFact", strategies.down_facts),
    ],
)
@hypothesis.given(data=st.data())
def test_whatever_is_drawn_within_bounds_conforms(choice: str, strategy: Any, data: st.DataObject) -> None:
    assert cddl.item_conforms(choice, codec.decode_strict(codec.encode(data.draw(strategy))))


def _content() -> Iterator[tuple[str, Any]]:
    """Yield one encoded example of each message and fact type, with effects, values and exceptions inside."""
    for entry in index()["messages"]:
        if entry["name"] not in {"hello-first", "welcome", "ack", "batch-bulk-profile", "batch-bulk-snapshot"}:
            yield "Message", _from_json(entry["message"])
    for fact in [samples.worked_block(), samples.CLOCK, samples.POWER_FAILED, samples.READ_RESULT, samples.HELD,
                 samples.CREDIT, samples.HEALTH]:  # fmt: skip
        yield "UpFact", codec.decode_strict(codec.encode(fact))
    yield "DownFact", codec.decode_strict(codec.encode(samples.POLICY))


def _from_json(item: Any) -> Any:
    match item:
        case {"hex": str() as digits}:
            return bytes.fromhex(digits)
        case list():
            return [_from_json(part) for part in item]
        case _:
            return item


WRONG: tuple[Any, ...] = (
    0, 1, 64, 65, 255, 256, -1, -12, -13, 2**31, 2**31 + 1, 2**53 - 1, 2**53, 2**62, -(2**62), 2**63 - 1, 2**63,
    1_577_836_799_999, 4_102_444_800_001, 10**9 + 1, 10**12 + 1, True, None, 1.5, "", "a", "m-1", "m_1", "A" * 33,
    "x" * 600, "executed", "relay", "box", "KES", "3.26.0.85", "2.5.259", b"", bytes(6), bytes(8), bytes(16),
    bytes(17), bytes(32), bytes(1_025), [], [0], {}, {"a": 1},
)  # fmt: skip


def _mutations(item: Any) -> Iterator[Any]:
    """Yield the item with each part replaced by each wrong thing, with a part more, and with one less."""
    if isinstance(item, list):
        yield item[:-1]
        yield [*item, 0]
        yield [*item, item[-1]] if item else [0]
        for position, part in enumerate(item):
            for changed in _mutations(part):
                yield [*item[:position], changed, *item[position + 1 :]]
    yield from WRONG


def _accepted(choice: str, item: Any) -> bool:
    try:
        codec.decode_as(cbor2.dumps(item), UNIONS[choice])
    except WireError:
        return False
    return True


def test_code_and_contract_accept_the_same_of_many_changed_messages() -> None:
    contract = Contract(cddl.contract_text())
    refused = 0
    for choice, item in _content():
        assert contract.conforms(choice, item)
        for changed in _mutations(item):
            accepted = _accepted(choice, changed)
            assert contract.conforms(choice, changed) == accepted, f"accepted: {accepted}; {choice} {changed!r}"
            refused += not accepted
    assert refused > 10_000


def test_pycddl_accepts_what_the_code_accepts_of_changed_messages_and_little_else() -> None:
    refused = refused_by_both = 0
    for choice, item in _content():
        for changed in _mutations(item):
            accepted = _accepted(choice, changed)
            conforms = cddl.item_conforms(choice, changed)
            assert conforms or not accepted, f"the code accepts what the contract forbids: {choice} {changed!r}"
            refused += not accepted
            refused_by_both += not accepted and not conforms
    assert refused_by_both > 0.8 * refused, "pycddl misses some wrong types inside arrays, but not that many"


@pytest.mark.parametrize(
    ("rule", "lowest", "highest"),
    [
        ("Scaler", -12, 12),
        ("Unit", 1, 255),
        ("Counter", 0, 2**53 - 1),
        ("TickMs", 0, limits.TICK_MS_MAX),
        ("TimeMs", limits.TIME_MS_MIN, limits.TIME_MS_MAX),
        ("Epoch", 1, 2**31),
        ("Version", 1, 2**63 - 1),
        ("Value", -limits.VALUE_MAX, limits.VALUE_MAX),
        ("Delta", -2 * limits.VALUE_MAX, 2 * limits.VALUE_MAX),
        ("PowerLimit", 0, 10**9),
    ],
)
def test_a_bound_is_the_same_in_both(rule: str, lowest: int, highest: int) -> None:
    contract = Contract(cddl.contract_text())
    *below_zero, other = [part for part in cddl.alternatives_of(rule) if part != "null"]
    for number, expected in ((lowest, True), (highest, True), (lowest - 1, False), (highest + 1, False)):
        # One part at a time: pycddl takes a number above zero for a `nint`.
        part = below_zero[0] if number < 0 and below_zero else other
        assert cddl.conforms(part, cbor2.dumps(number)) is expected, number
        assert contract.conforms(rule, number) is expected, number


def test_every_struct_of_the_code_is_a_rule_with_the_same_fields() -> None:
    structs = {
        struct.__name__: list(struct.__struct_fields__)
        for module in (messages, facts)
        for struct in vars(module).values()
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct) and struct is not msgspec.Struct
    }
    for name, fields in structs.items():
        rule = re.search(rf"^{name} = \[(.*?)\]$", cddl.contract_text(), re.MULTILINE | re.DOTALL)
        assert rule, f"no rule {name}"
        named = re.findall(r"(\w+): ", re.sub(r";.*", "", rule[1]))
        assert [field for field in named if field != "type"] == fields, name
