"""The contract's CDDL as `pycddl` checks it, an implementation that knows nothing of ours.

`pycddl` 0.6.4 has faults that this module works around, so that the contract itself can be written as RFC 8610 has it:
regular expressions are searched for instead of matched, `.cbor` inside an array fails, and a choice of arrays depends
on its order or panics. So an envelope is checked part by part, and a choice by the alternative that its first element
names. What it does not see at all (any map passes for an empty one, a byte string for a number
within a range) stands in the tests.
"""

import re
from functools import cache
from pathlib import Path

import cbor2
import pycddl  # type: ignore[import-untyped]

CONTRACT = Path(__file__).parent.parent.parent / "wire" / "contract.cddl"


@cache
def contract_text() -> str:
    """Return the CDDL as it is in the tree."""
    return CONTRACT.read_text()


@cache
def alternatives_of(rule: str) -> list[str]:
    """Return the parts of a rule that is a choice on one line."""
    found = re.search(rf"^{rule} = ([^;\n]+)", contract_text(), re.MULTILINE)
    assert found, f"no rule {rule} in the contract"
    return found[1].strip().split(" / ")


@cache
def alternatives(choice: str) -> dict[str, str]:
    """Return the rules of a choice of arrays by the text that each begins with, such as `Message` or `UpFact`."""
    return {_first_text(rule): rule for rule in alternatives_of(choice)}


def _first_text(rule: str) -> str:
    found = re.search(rf'^{rule} = \[\s*(?:type: )?"([a-z-]+)"', contract_text(), re.MULTILINE)
    assert found, f"{rule} does not begin with its type"
    return found[1]


@cache
def _schema(rule: str, chosen: tuple[tuple[str, str], ...]) -> pycddl.Schema:
    text = re.sub(r'\.regexp "([^"]*)"', r'.regexp "^(\1)$"', contract_text())
    text = re.sub(r"bytes \.cbor \w+", "bytes", text)
    for choice, alternative in chosen:
        text = re.sub(rf"^{choice} = .+$", f"{choice} = {alternative}", text, flags=re.MULTILINE)
    return pycddl.Schema(f"TheRuleUnderTest = {rule}\n{text}")


def conforms(rule: str, encoded: bytes, **chosen: str) -> bool:
    """Tell whether CBOR bytes conform to a rule of the contract, with some choices narrowed to one alternative."""
    schema = _schema(rule, tuple(sorted(chosen.items())))
    try:
        schema.validate_cbor(encoded)
    except (pycddl.ValidationError, ValueError):
        return False
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return False  # it panics on some wrong items, never on a good one
    return True


def item_conforms(choice: str, item: object) -> bool:
    """Tell whether an item conforms to the alternative of a choice that its first element names."""
    match item:
        case [str() as name, *fields] if name in alternatives(choice):
            if name in {"command", "request"}:
                return (
                    bool(fields)
                    and item_conforms("Effect", fields[-1])
                    and conforms(alternatives(choice)[name], cbor2.dumps(item), Effect="any")
                )
            return conforms(alternatives(choice)[name], cbor2.dumps(item))
        case _:
            return False


def signed_conforms(sealed: bytes) -> bool:
    """Tell whether a signed message conforms: the envelope, its protected header, its payload."""
    if not conforms("SignedMessage", sealed):
        return False
    protected, _, payload, _ = cbor2.loads(sealed).value
    try:
        item = cbor2.loads(payload)
    except cbor2.CBORDecodeError:
        return False
    return (
        conforms("ProtectedHeader", protected)
        and isinstance(item, list)
        and len(item) == 2
        and item_conforms("Message", item[1])
        and conforms("Payload", payload, Message="any")
    )
