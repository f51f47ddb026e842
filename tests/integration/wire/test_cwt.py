"""Our envelopes are COSE as python-cwt understands it, and the other way round."""

from typing import Any

import cbor2
import pytest

from tests.rig.foreign import ask
from tests.rig.vectors import Vector, good_vectors, index, registry
from wire.messages import open_message

pytestmark = pytest.mark.timeout(400)  # the first run installs python-cwt
KEYS: dict[str, dict[str, Any]] = {key["name"]: key for key in index()["keys"]}


def _question(vector: Vector, **changes: str) -> dict[str, str]:
    key = KEYS[vector.entry["signed_by"]]
    return {
        "name": vector.name,
        "public": key["public"],
        "kid": key["kid"],
        "external_aad": vector.external_aad.hex(),
        "sealed": vector.sealed.hex(),
        **changes,
    }


def test_cwt_verifies_every_vector_with_its_address() -> None:
    vectors = good_vectors()
    answers = ask("cwt", "cwt_verify.py", {"verify": [_question(vector) for vector in vectors]})["verify"]
    for vector, answer in zip(vectors, answers, strict=True):
        assert answer == {
            "name": vector.name,
            "payload": cbor2.loads(vector.sealed).value[2].hex(),
            "algorithm": "-19",
            "kid": KEYS[vector.entry["signed_by"]]["kid"],
            "unprotected": "0",
        }


def test_cwt_refuses_every_vector_under_another_address_or_altered() -> None:
    questions = []
    for vector in good_vectors():
        other = next(other for other in good_vectors() if other.external_aad != vector.external_aad)
        altered = bytearray(vector.sealed)
        altered[30] ^= 1
        questions += [
            _question(vector, external_aad=other.external_aad.hex()),
            _question(vector, external_aad=""),
            _question(vector, sealed=altered.hex()),
        ]
    answers = ask("cwt", "cwt_verify.py", {"verify": questions})["verify"]
    assert len(answers) == len(questions)
    assert all("error" in answer for answer in answers)


def test_what_cwt_signs_opens_and_is_the_same_bytes() -> None:
    vectors = good_vectors()
    questions = [
        {
            "seed": KEYS[vector.entry["signed_by"]]["seed"],
            "public": KEYS[vector.entry["signed_by"]]["public"],
            "kid": KEYS[vector.entry["signed_by"]]["kid"],
            "external_aad": vector.external_aad.hex(),
            "payload": cbor2.loads(vector.sealed).value[2].hex(),
        }
        for vector in vectors
    ]
    answers = ask("cwt", "cwt_verify.py", {"sign": questions})["sign"]
    for vector, answer in zip(vectors, answers, strict=True):
        sealed = bytes.fromhex(answer["sealed"])
        theirs, _ = open_message(sealed, vector.address, registry())
        ours, _ = open_message(vector.sealed, vector.address, registry())
        assert theirs == ours
        assert sealed == vector.sealed
