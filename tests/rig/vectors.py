"""The golden vectors as tests read them: from the committed files, never from the code that made them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.keys import PinnedKeys, PublicKey, Purpose

FOLDER = Path(__file__).parent.parent / "vectors"


@dataclass(frozen=True, slots=True)
class Vector:
    """A signed message and what the index says of it."""

    name: str
    sealed: bytes
    address: Address
    external_aad: bytes
    entry: dict[str, Any]

    @property
    def reason(self) -> Reason:
        return Reason(self.entry["reason"])

    def __str__(self) -> str:
        return self.name


@cache
def index() -> dict[str, Any]:
    """Return the index, `vectors.json`."""
    content: dict[str, Any] = json.loads((FOLDER / "vectors.json").read_text())
    return content


def good_vectors() -> list[Vector]:
    """Return the vectors that must open."""
    return [_vector(entry) for entry in index()["messages"]]


def refused_vectors() -> list[Vector]:
    """Return the vectors that must be refused."""
    return [_vector(entry) for entry in index()["refused"]]


def registry() -> PinnedKeys:
    """Return the keys that a receiver of the vectors knows."""
    return PinnedKeys(
        PublicKey(Purpose(key["purpose"]), key["party"], bytes.fromhex(key["public"]), key["revoked"])
        for key in index()["keys"]
        if key["registered"]
    )


def _vector(entry: dict[str, Any]) -> Vector:
    utility, direction, kind, party = entry["address"]
    return Vector(
        entry["name"],
        (FOLDER / f"{entry['name']}.cbor").read_bytes(),
        Address(utility, Direction(direction), Kind(kind), party),
        bytes.fromhex(entry["external_aad"]),
        entry,
    )
