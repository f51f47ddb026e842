"""docs/protocol.md says what the code does: names, numbers and the worked examples."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.rig.vectors import good_vectors, index
from wire import facts, limits, messages, readings
from wire.address import Direction, Kind
from wire.codec import VERSION
from wire.errors import Reason
from wire.facts import Stage, TimeSource
from wire.keys import Purpose
from wire.messages import State, purpose_of
from wire.topics import TopicTree

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "protocol.md"
TEXT = DOCUMENT.read_text()
INLINE_STRUCTS = {
    "Restore": ["epoch", "position"],
    "Floor": ["meter", "effect", "version"],
    "Quarantined": ["digest", "reason"],
    "Exceptional": ["row", "column", "quality"],
    "Channel": ["obis", "scaler", "unit"],
    "Column": ["channel", "deltas"],
    "ReadValue": ["obis", "scaler", "unit", "value"],
    "Metric": ["name", "value"],
}


def _block(label: str) -> str:
    found = re.search(rf"^```{label}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"no block {label}"
    return found[1]


def _bytes_of(block: str) -> bytes:
    return bytes.fromhex("".join(line.split("#")[0] for line in block.splitlines()))


def _section(heading: str) -> str:
    found = re.search(rf"^### `{heading}`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"no section for {heading}"
    return found[1]


def _first_column(section: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def _tagged(union: Any) -> list[Any]:
    return list(union.__args__)


TAGGED = [*_tagged(messages.Message), *_tagged(facts.UpFact), facts.PrepaidPolicy]


@pytest.mark.parametrize("struct", TAGGED, ids=lambda struct: struct.__name__)
def test_every_message_and_fact_has_a_table_with_its_fields_in_order(struct: type[msgspec.Struct]) -> None:
    assert _first_column(_section(str(struct.__struct_config__.tag))) == list(struct.__struct_fields__)


@pytest.mark.parametrize("name", INLINE_STRUCTS)
def test_every_inline_array_is_written_with_its_fields_in_order(name: str) -> None:
    struct = getattr(messages, name, None) or getattr(facts, name, None) or getattr(readings, name)
    assert list(struct.__struct_fields__) == INLINE_STRUCTS[name]
    assert f"[{', '.join(INLINE_STRUCTS[name])}]" in TEXT


def test_no_struct_of_the_contract_is_missing() -> None:
    structs = {
        struct.__name__
        for module in (messages, facts, readings)
        for struct in vars(module).values()
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
    }
    effects = {struct.__name__ for struct in _tagged(messages.Effect)}
    local = {"Row", "Table"}
    assert structs - local == {struct.__name__ for struct in TAGGED} | effects | set(INLINE_STRUCTS)


@pytest.mark.parametrize("effect", _tagged(messages.Effect), ids=lambda struct: struct.__name__)
def test_every_effect_is_in_the_table_with_its_group(effect: Any) -> None:
    tag, fields = effect.__struct_config__.tag, effect.__struct_fields__
    written = ", ".join([f'"{tag}"', *fields])
    made = effect(*[None for _ in fields])
    assert f"| `[{written}]` | `{messages.effect_group(made)}` |" in TEXT


def test_the_refusals_table_has_every_reason_in_order() -> None:
    section = TEXT[TEXT.index("## Refusals") : TEXT.index("## Limits")]
    assert _first_column(section) == [reason.value for reason in Reason]


def test_the_limits_table_has_every_limit_with_its_value() -> None:
    section = TEXT[TEXT.index("## Limits") : TEXT.index("## A worked message")]
    written = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", section, re.MULTILINE))
    assert written == {name: str(value) for name, value in vars(limits).items() if name.isupper()}


def test_the_states_table_has_every_state_in_order() -> None:
    section = TEXT[TEXT.index("## Life of a command") : TEXT.index("## Integrators")]
    assert _first_column(section) == [state.value for state in State]
    diagram = _block("mermaid")
    assert all(state.value in diagram for state in State)


@pytest.mark.parametrize("word", [*Stage, *TimeSource, *Purpose, *Direction, *Kind])
def test_every_word_of_the_contract_is_explained(word: str) -> None:
    assert f"`{word}`" in TEXT


def test_every_kind_has_a_topic_with_the_purpose_of_its_key() -> None:
    tree = TopicTree("hillside", root="")
    topics = {
        Kind.HELLO: [tree.up("{gateway}", "hello")],
        Kind.BATCH: [tree.up("{gateway}", "urgent"), tree.up("{gateway}", "bulk")],
        **{kind: [tree.down("{gateway}", kind)] for kind in (Kind.WELCOME, Kind.ACK, Kind.FACTS, Kind.COMMAND)},
        **{kind: [tree.client("{client}", kind)] for kind in (Kind.REQUEST, Kind.STATUS)},
    }
    assert set(topics) == set(Kind)
    for kind, written in topics.items():
        for topic in written:
            (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| `{topic.removeprefix('/')}` |"))
            assert f"`{kind}`" in row
            assert row.endswith(f"`{purpose_of(kind)}` |")


def test_the_version_is_the_one_of_the_code() -> None:
    assert TEXT.startswith(f"# The protocol, version {VERSION}\n")
    assert f"`[version, message]`, version `{VERSION}`" in TEXT


def test_the_worked_message_is_the_vector_byte_by_byte() -> None:
    (vector,) = (vector for vector in good_vectors() if vector.name == "request-disconnect")
    (key,) = (key for key in index()["keys"] if key["name"] == vector.entry["signed_by"])
    assert _bytes_of(_block("hex request-disconnect")) == vector.sealed
    assert _bytes_of(_block("hex external_aad")) == vector.external_aad
    for digits in (key["seed"], key["public"], key["kid"], vector.entry["digest"]):
        assert digits in TEXT


def test_the_worked_readings_are_the_vector() -> None:
    (vector,) = (vector for vector in good_vectors() if vector.name == "batch-bulk-worked")
    assert [json.loads(_block("json worked-readings"))] == vector.entry["facts"]


def test_the_contract_and_the_example_lie_where_the_document_says() -> None:
    for path in ("../wire/contract.cddl", "examples/integrator.py", "../tests/vectors"):
        assert f"({path})" in TEXT
        assert (DOCUMENT.parent / path).exists()
