"""Disks that lose power: copies of SQLite's files as a machine would find them after a crash, a restore or a clone.

What was reported committed is safe. What was being written when the power went may be there in part, or be noise: bytes
of the write-ahead log beyond the last reported commit are cut or spoilt at a random place.
"""

import random
import struct
from dataclasses import dataclass
from pathlib import Path

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of a database at one instant."""

    main: bytes
    log: bytes


class Disk:
    """Where one database lies; every crash and every restore moves it to fresh files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._number = 0
        self._safe_bytes = 0
        self._main_stamp = (0, 0)

    @property
    def path(self) -> Path:
        """The database file as it is now."""
        return self._folder / f"{self._name}.{self._number}.sqlite3"

    def image(self) -> Image:
        """Return what is committed; call it between transactions."""
        log = _read(self._log_path())
        return Image(_read(self.path), log[: _valid_bytes(log)])

    def mark_safe(self) -> None:
        """Remember that all committed so far was reported; call it before a commit that may be torn."""
        self._safe_bytes = _valid_bytes(_read(self._log_path()))
        self._main_stamp = self._stamp()

    def lose_power(self, *, rng: random.Random, torn: bool, within_commit: bool) -> None:
        """Go on with the files as a crash leaves them.

        Args:
            rng: Where the write broke off.
            torn: Whether it may break off anywhere; otherwise what was written is there.
            within_commit: Whether a commit was under way that nobody was told of, since `mark_safe`.
        """
        main, log = _read(self.path), _read(self._log_path())
        valid = _valid_bytes(log)
        # A checkpoint begins only once the log is durable.
        safe = self._safe_bytes if within_commit and self._main_stamp == self._stamp() else valid
        if torn:
            kept = rng.randint(min(safe, valid), valid)
            log = log[:kept] + _noise(log[kept : valid + 4096], rng)
        self._move(Image(main, log))

    def set_back(self, image: Image) -> None:
        """Go on with an earlier copy."""
        self._move(image)

    def _move(self, image: Image) -> None:
        self._number += 1
        self.path.write_bytes(image.main)
        if image.log:
            self._log_path().write_bytes(image.log)

    def _log_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _stamp(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _noise(lost: bytes, rng: random.Random) -> bytes:
    """Return what may stand where a write was under way: nothing, the write with some bytes wrong, or anything."""
    match rng.randrange(3):
        case 0:
            return b""
        case 1 if lost:
            spoilt = bytearray(lost)
            for _ in range(rng.randint(1, 4)):
                spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
            return bytes(spoilt)
        case _:
            return rng.randbytes(rng.randint(1, 6_000))


def _valid_bytes(log: bytes) -> int:
    """Return how far the frames of the log's present generation reach."""
    if len(log) < _WAL_HEADER_BYTES:
        return 0
    page_bytes, salts = struct.unpack(">8xI4x8s8x", log[:_WAL_HEADER_BYTES])
    frame_bytes = _FRAME_HEADER_BYTES + page_bytes
    end = _WAL_HEADER_BYTES
    while log[end + 8 : end + 16] == salts and end + frame_bytes <= len(log):
        end += frame_bytes
    return end
