"""Makes the golden vectors: `python -m tests.vectors.make` writes those that are missing and changes none.

Signed bytes are evidence for years, so a vector never changes. While the contract has not left the house,
`--replace` writes all of them anew.
"""

import argparse
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cbor2
import msgspec

from tests.rig.parties import PARTIES, UTILITY, address_of, signer_of
from tests.vectors.refusals import refusals
from tests.vectors.samples import samples
from wire import codec
from wire.address import Address
from wire.errors import WireError
from wire.facts import decode_down_fact
from wire.messages import Batch, Facts, Message, facts_of, seal_message
from wire.signing import digest_of
from wire.topics import TopicTree

FOLDER = Path(__file__).parent
INDEX = "vectors.json"
_PLAIN_BYTES_MAX = 2**24
CHANGED = """\
The contract has other bytes than its golden vectors: {names}.
Messages with the old bytes are in stores and databases and must stay readable. Undo the change, or make it a new
version: raise wire.codec.VERSION, leave these files as they are, and put vectors of the new version beside them.
"""


def to_json(item: object) -> Any:
    """Return a struct or plain value as JSON can hold it; bytes become `{"hex": ...}`."""
    match msgspec.to_builtins(item, builtin_types=(bytes,)):
        case bytes() as data:
            return {"hex": data.hex()}
        case list() | tuple() as items:
            return [to_json(part) for part in items]
        case plain:
            return plain


def stable_deflate(folder: Path) -> Callable[[bytes], bytes]:
    """Return a compressor that repeats the stream of a committed vector, since zlib's versions compress differently."""
    known: dict[bytes, bytes] = {}
    for path in folder.glob("*.cbor"):
        for stream in _streams_of(path.read_bytes()):
            known[hashlib.sha256(codec.inflate(stream, bytes_max=_PLAIN_BYTES_MAX)).digest()] = stream

    def deflate(plain: bytes) -> bytes:
        return known.get(hashlib.sha256(plain).digest()) or zlib.compress(plain, level=9)

    return deflate


def _streams_of(sealed: bytes) -> list[bytes]:
    try:
        payload: list[Any] = cbor2.loads(cbor2.loads(sealed).value[2])
        _, (kind, _, _, deflated, body) = payload
        codec.inflate(body, bytes_max=_PLAIN_BYTES_MAX)
    except (cbor2.CBORDecodeError, AttributeError, TypeError, IndexError, ValueError, WireError):
        return []  # no batch, one that is not compressed, or one of the refused
    return [body] if kind == "batch" and deflated is True else []


def build(folder: Path = FOLDER) -> dict[str, bytes]:
    """Return every file of the golden vectors by its name."""
    deflate = stable_deflate(folder)
    files: dict[str, bytes] = {}
    messages: list[dict[str, Any]] = []
    for name, (kind, message) in samples(deflate).items():
        sealed = seal_message(message, address_of(kind), signer_of(kind).key)
        files[f"{name}.cbor"] = sealed
        messages.append(
            {
                "name": name,
                **_address(address_of(kind)),
                "signed_by": signer_of(kind).name,
                "digest": digest_of(sealed).hex(),
                "message": to_json(message),
                **_inside(message),
            }
        )
    refused: list[dict[str, Any]] = []
    for name, refusal in refusals(deflate).items():
        files[f"{name}.cbor"] = refusal.sealed
        refused.append(
            {
                "name": name,
                **_address(refusal.address),
                "stage": refusal.stage,
                "reason": refusal.reason.value,
                "why": refusal.why,
            }
        )
    index = {"version": codec.VERSION, "keys": _keys(), "messages": messages, "refused": refused, "topics": _topics()}
    files[INDEX] = (json.dumps(index, indent=1, ensure_ascii=True) + "\n").encode()
    return files


def _address(address: Address) -> dict[str, Any]:
    return {
        "address": [address.utility, address.direction.value, address.kind.value, address.party],
        "external_aad": address.to_bytes().hex(),
    }


def _inside(message: Message) -> dict[str, Any]:
    match message:
        case Batch():
            return {"facts": to_json(facts_of(message))}
        case Facts():
            return {"facts": to_json([decode_down_fact(fact) for fact in message.facts])}
        case _:
            return {}


def _keys() -> list[dict[str, Any]]:
    return [
        {
            "name": party.name,
            "purpose": party.key.public.purpose.value,
            "party": party.key.public.party,
            "seed": party.seed.hex(),
            "public": party.key.public.public.hex(),
            "kid": party.key.kid.hex(),
            "registered": party.registered,
            "revoked": party.revoked,
        }
        for party in PARTIES.values()
    ]


def _topics() -> list[dict[str, Any]]:
    """Return topics with the addresses they stand for; None for those that are refused as `bad-topic`."""
    good = [
        "wp/1/g/gw-1/up/hello", "wp/1/g/gw-1/up/urgent", "wp/1/g/gw-1/up/bulk", "wp/1/g/gw-1/down/welcome",
        "wp/1/g/gw-1/down/ack", "wp/1/g/gw-1/down/facts", "wp/1/g/gw-1/down/command", "wp/1/c/acme/request",
        "wp/1/c/acme/status",
    ]  # fmt: skip
    bad = [
        "", "wp/1", "wp/1/g/gw-1/up/bye", "wp/1/g/gw-1/up/ack", "wp/1/g/gw_1/up/hello", "wp/1/g//up/hello",
        f"wp/1/g/{'x' * 33}/up/hello", "wp/2/g/gw-1/up/hello", "wp/1/g/gw-1/up/hello/", "/wp/1/g/gw-1/up/hello",
        "wp/1/c/acme/hello", "$SYS/broker/uptime",
    ]  # fmt: skip
    tree = TopicTree(UTILITY)
    return [{"topic": topic, **_address(tree.parse(topic))} for topic in good] + [
        {"topic": topic, "address": None} for topic in bad
    ]


def changed(files: Mapping[str, bytes], folder: Path = FOLDER) -> list[str]:
    """Return the names of committed vectors whose bytes would change."""
    return [
        name
        for name, data in files.items()
        if name != INDEX and (folder / name).exists() and (folder / name).read_bytes() != data
    ]


def main() -> int:
    """Write what is missing; refuse to change what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replace", action="store_true", help="before the first release only: write all anew")
    arguments = parser.parse_args()
    files = build()
    if (names := changed(files)) and not arguments.replace:
        sys.stderr.write(CHANGED.format(names=", ".join(names)))
        return 1
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
    sys.stdout.write(f"{len(files)} files in {FOLDER}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
