"""What is said to be large takes no memory, and what inflates takes no more than its bound."""

import subprocess
import sys
import zlib

import cbor2
import pytest

from tests.rig.parties import PARTIES, address_of
from wire import limits
from wire.address import Kind
from wire.messages import Batch, seal_message

ROOM_BYTES = 64 * 2**20
"""Address space that the child may take beyond what it starts with; the worst body of small items needs 38 MiB."""

_CHILD = """
import resource, sys
from pathlib import Path
from tests.rig.parties import REGISTRY, address_of
from wire.address import Kind
from wire.errors import WireError
from wire.messages import facts_of, open_message

data = sys.stdin.buffer.read()
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    message, _ = open_message(data, address_of(Kind.BATCH), REGISTRY)
    facts_of(message)
except WireError as refused:
    print(refused.reason)
"""


def _reason_in_little_memory(data: bytes, room_bytes: int) -> str:
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(room_bytes)], input=data, capture_output=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stderr.decode()
    return child.stdout.decode().strip()


def _batch(body: bytes, *, deflated: bool) -> bytes:
    batch = Batch(store=bytes(8), index=1, deflated=deflated, body=body)
    return seal_message(batch, address_of(Kind.BATCH), PARTIES["gateway"].key)


@pytest.mark.parametrize("head", [b"\x5b", b"\x7b", b"\x9b", b"\xbb"], ids=["bytes", "text", "array", "map"])
@pytest.mark.parametrize("length", [2**31 - 1, 2**40, 2**63 - 1, 2**64 - 1])
def test_item_said_to_be_huge_takes_no_memory(head: bytes, length: int) -> None:
    said = head + length.to_bytes(8, "big")
    assert _reason_in_little_memory(b"\xd2" + said, 2**20 * 8) == "malformed"
    assert _reason_in_little_memory(_batch(said, deflated=False), 2**20 * 8) == "malformed"


def test_deflate_bomb_takes_no_more_than_the_bound() -> None:
    bomb = zlib.compress(bytes(50_000_000), level=9)
    assert len(bomb) < limits.MESSAGE_BYTES_MAX
    assert _reason_in_little_memory(_batch(bomb, deflated=True), 2**20 * 8) == "limit-exceeded"


@pytest.mark.parametrize("item", [[], {}, 0, "", b"", 70_000, None], ids=repr)
def test_body_full_of_small_items_is_bounded(item: object) -> None:
    one = cbor2.dumps(item)
    count = (limits.BODY_BYTES_MAX - 5) // len(one)
    body = b"\x9a" + count.to_bytes(4, "big") + one * count
    assert _reason_in_little_memory(_batch(zlib.compress(body), deflated=True), ROOM_BYTES) == "malformed"


def test_envelope_full_of_small_items_is_bounded() -> None:
    count = limits.MESSAGE_BYTES_MAX - 6
    assert _reason_in_little_memory(b"\xd2\x9a" + count.to_bytes(4, "big") + b"\xa0" * count, 2**20 * 8) == "malformed"


def test_the_child_is_really_limited() -> None:
    greedy = _CHILD.replace("    message, _", "    bytes(2**26)\n    message, _")
    child = subprocess.run(
        [sys.executable, "-c", greedy, str(2**20)], input=b"", capture_output=True, timeout=60, check=False
    )
    assert b"MemoryError" in child.stderr
