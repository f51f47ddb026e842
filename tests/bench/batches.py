"""Signed batches of 250 meters by 8 values, made before anything is timed, in files that other processes read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cbor2

from tests.bench.installation import UTILITY
from wire import codec
from wire.address import Address, Direction, Kind
from wire.keys import SigningKey
from wire.messages import Batch, make_batch, seal_message
from wire.readings import Channel, Row, to_block

METERS = 250
SLOTS = 48
_BOOT = bytes.fromhex("3c81d2a09f4b7e55")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch and who signed it."""

    gateway: str
    bytes: bytes


def write_batches(folder: Path, keys: Sequence[SigningKey], *, files: int, per_file: int) -> list[Path]:
    """Write files of distinct batches, each gateway signing in turn; half a day of snapshots serves them all.

    Args:
        folder: Where the files go.
        keys: One for each gateway.
        files: How many files.
        per_file: Batches in each.
    """
    from tests.bench.households import households  # noqa: PLC0415 - and its tables, which those who read need not load

    source = households(METERS)
    bodies = [
        make_batch([to_block(_BOOT, source.channels, source.snapshot(slot))], store=bytes(8), index=0)
        for slot in range(SLOTS)
    ]
    made = _sealed(bodies, keys)
    paths = []
    for number in range(files):
        path = folder / f"batches-{number}.cbor"
        path.write_bytes(cbor2.dumps([next(made) for _ in range(per_file)]))
        paths.append(path)
    return paths


def read_batches(path: Path) -> list[Sealed]:
    """Return the batches of a file."""
    return [Sealed(gateway, sealed) for gateway, sealed in cbor2.loads(path.read_bytes())]


def write_snapshots(path: Path, *, count: int) -> Path:
    """Write snapshots of all meters as rows, with their channels; return the path."""
    from tests.bench.households import households  # noqa: PLC0415 - as above

    source = households(METERS)
    snapshots = [source.snapshot(slot) for slot in range(count)]
    path.write_bytes(codec.encode([list(source.channels), snapshots]))
    return path


def read_snapshots(path: Path) -> tuple[list[Channel], list[list[Row]]]:
    """Return channels and snapshots of a file."""
    found: tuple[list[Channel], list[list[Row]]] = codec.decode_as(
        path.read_bytes(), tuple[list[Channel], list[list[Row]]]
    )
    return found


def batch_address(gateway: str) -> Address:
    """Return the address that a gateway's batches are signed for."""
    return Address(UTILITY, Direction.UP, Kind.BATCH, gateway)


def _sealed(bodies: Sequence[Batch], keys: Sequence[SigningKey]) -> Iterator[tuple[str, bytes]]:
    index = 0
    while True:
        for key in keys:
            index += 1
            body = bodies[index % len(bodies)]
            batch = Batch(store=bytes(8), index=index, deflated=body.deflated, body=body.body)
            gateway = key.public.party
            yield gateway, seal_message(batch, batch_address(gateway), key)
