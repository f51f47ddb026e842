"""The digest of a set of entries: the same for the same set, whatever the order it was gathered in.

A Merkle tree over the entries' SHA-256 digests whose shape follows from the set alone: up to `LEAF_MAX` digests make a
leaf, more are split by their next four bits. One more entry changes one path, so keeping the digest current costs a
few hashes where hashing the sorted list would read it all, and it rests on nothing but SHA-256, which adding or
exclusive-oring digests would not. Leaves and branches are hashed under different first bytes.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable

LEAF_MAX = 16
_LEAF = b"\x00"
_BRANCH = b"\x01"
_FAN = 16


def set_digest(digests: Iterable[bytes]) -> bytes:
    """Return the digest of a set of 32-byte digests; `DigestTree` keeps the same value up to date."""
    return _subtree(sorted(set(digests)), 0)


def _subtree(digests: list[bytes], depth: int) -> bytes:
    """Return the digest of the sorted digests below one place in the tree."""
    if len(digests) <= LEAF_MAX:
        return hashlib.sha256(_LEAF + b"".join(digests)).digest()
    parts: list[list[bytes]] = [[] for _ in range(_FAN)]
    for digest in digests:
        parts[_nibble(digest, depth)].append(digest)
    return hashlib.sha256(_BRANCH + b"".join(_subtree(part, depth + 1) for part in parts)).digest()


def _nibble(digest: bytes, depth: int) -> int:
    """Return the four bits of a digest that choose the branch at a depth."""
    byte = digest[depth // 2]
    return byte & 0x0F if depth % 2 else byte >> 4


class _Node:
    """A leaf with sorted digests, or a branch with 16 nodes."""

    __slots__ = ("branches", "digests", "value")

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.branches: list[_Node] | None = None
        self.value: bytes | None = None


class DigestTree:
    """A growing set of 32-byte digests and its digest.

    Attributes:
        hashed_count: Nodes hashed so far, the measure of the work done.
    """

    def __init__(self, digests: Iterable[bytes] = ()) -> None:
        self._root = _Node()
        self._count = 0
        self.hashed_count = 0
        for digest in digests:
            self.add(digest)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        node, depth = self._root, 0
        while node.branches is not None:
            node, depth = node.branches[_nibble(digest, depth)], depth + 1
        place = bisect_left(node.digests, digest)
        return place < len(node.digests) and node.digests[place] == digest

    def add(self, digest: bytes) -> bool:
        """Add a digest and say whether it is new."""
        if digest in self:
            return False
        node, depth = self._root, 0
        node.value = None
        while node.branches is not None:
            node, depth = node.branches[_nibble(digest, depth)], depth + 1
            node.value = None
        node.digests.insert(bisect_left(node.digests, digest), digest)
        if len(node.digests) > LEAF_MAX:
            _split(node, depth)
        self._count += 1
        return True

    def value(self) -> bytes:
        """Return the digest of the set, hashing only what changed since the last call."""
        return self._hash(self._root)

    def _hash(self, node: _Node) -> bytes:
        if node.value is None:
            if node.branches is None:
                content = _LEAF + b"".join(node.digests)
            else:
                content = _BRANCH + b"".join(self._hash(branch) for branch in node.branches)
            node.value = hashlib.sha256(content).digest()
            self.hashed_count += 1
        return node.value


def _split(node: _Node, depth: int) -> None:
    """Turn a leaf that is too full into a branch, as deep as its digests agree."""
    node.branches = [_Node() for _ in range(_FAN)]
    for digest in node.digests:
        node.branches[_nibble(digest, depth)].digests.append(digest)
    node.digests = []
    for branch in node.branches:
        if len(branch.digests) > LEAF_MAX:
            _split(branch, depth + 1)
