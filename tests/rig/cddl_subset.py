"""A reader of the part of CDDL (RFC 8610) that the contract's messages use, exact where `pycddl` is lax.

It knows literals, ranges, choices, arrays with occurrences, `.size`, `.ge` and `.regexp`. Tags, maps and `.cbor`, which
only the envelope uses, are left to `tests.rig.cddl`.
"""

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:;[^\n]*\n\s*)*(?:
    (?P<text>"[^"]*") | (?P<number>-?\d+) | (?P<control>\.(?:size|ge|regexp)\b) | (?P<range>\.\.) |
    (?P<key>[a-z_]+:) | (?P<name>[A-Za-z]\w*) | (?P<sign>[][/,()*])
    )""",
    re.VERBOSE,
)
_PLAIN: dict[str, Check] = {
    "bool": lambda item: isinstance(item, bool),
    "null": lambda item: item is None,
    "int": lambda item: _is_int(item) and -(2**64) <= item < 2**64,
    "nint": lambda item: _is_int(item) and -(2**64) <= item < 0,
    "text": lambda item: isinstance(item, str),
    "bytes": lambda item: isinstance(item, bytes),
}


def _is_int(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


class Contract:
    """The rules of a CDDL text, read when they are asked for."""

    def __init__(self, text: str) -> None:
        self._rules = dict(re.findall(r"^([A-Z]\w*) = (.*?)(?=^\S[^\n]* = |^; ---|\Z)", text, re.MULTILINE | re.DOTALL))
        self._checks: dict[str, Check] = {}

    def conforms(self, rule: str, item: Any) -> bool:
        """Tell whether a decoded item conforms to a rule."""
        if rule not in self._checks:
            self._checks[rule] = _Reader(self, self._rules[rule]).choice()
        return self._checks[rule](item)


class _Reader:
    """Turns the text of one rule into a check."""

    def __init__(self, contract: Contract, text: str) -> None:
        self._contract = contract
        self._tokens: list[tuple[str, str]] = []
        position = 0
        text = re.sub(r";[^\n]*", "", text).rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            assert found, f"not CDDL of the subset: {text[position : position + 40]!r}"
            self._tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            position = found.end()

    def choice(self) -> Check:
        parts = [self._controlled()]
        while self._take("sign", "/"):
            parts.append(self._controlled())
        return lambda item: any(part(item) for part in parts)

    def _next_is(self, kind: str, value: str = "") -> bool:
        return bool(self._tokens) and self._tokens[0][0] == kind and value in ("", self._tokens[0][1])

    def _take(self, kind: str, value: str = "") -> str:
        return self._tokens.pop(0)[1] if self._next_is(kind, value) else ""

    def _number(self) -> int:
        return int(self._tokens.pop(0)[1])

    def _controlled(self) -> Check:
        base = self._single()
        match self._take("control"):
            case ".size":
                low, high = self._sizes()
                return lambda item: base(item) and low <= len(item.encode() if isinstance(item, str) else item) <= high
            case ".ge":
                lowest = self._number()
                return lambda item: base(item) and item >= lowest
            case ".regexp":
                pattern = re.compile(self._take("text")[1:-1])
                return lambda item: base(item) and pattern.fullmatch(item) is not None
            case _:
                return base

    def _sizes(self) -> tuple[int, int]:
        if not self._take("sign", "("):
            size = self._number()
            return size, size
        low = self._number()
        assert self._take("range")
        high = self._number()
        assert self._take("sign", ")")
        return low, high

    def _single(self) -> Check:
        if self._next_is("number"):
            low = high = self._number()
            if self._take("range"):
                high = self._number()
            return lambda item: _is_int(item) and low <= item <= high
        if literal := self._take("text"):
            return lambda item: isinstance(item, str) and item == literal[1:-1]
        if name := self._take("name"):
            return _PLAIN.get(name) or (lambda item: self._contract.conforms(name, item))
        assert self._take("sign", "["), f"not CDDL of the subset: {self._tokens[:5]}"
        return self._array()

    def _array(self) -> Check:
        entries: list[tuple[int, int, Check]] = []
        while not self._take("sign", "]"):
            self._take("key")
            low = high = 1
            if len(self._tokens) > 1 and self._tokens[1] == ("sign", "*"):
                low = self._number()
                self._take("sign", "*")
                high = self._number()
            entries.append((low, high, self.choice()))
            self._take("sign", ",")
        if len(entries) == 1:
            low, high, check = entries[0]
            return lambda item: isinstance(item, list) and low <= len(item) <= high and all(map(check, item))
        assert all(low == high == 1 for low, high, _ in entries), "an occurrence stands alone in its array"
        checks = [check for _, _, check in entries]
        return lambda item: (
            isinstance(item, list)
            and len(item) == len(checks)
            and all(check(part) for check, part in zip(checks, item, strict=True))
        )
