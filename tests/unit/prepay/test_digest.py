"""The digest of a set."""

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from prepay.digest import LEAF_MAX, DigestTree, set_digest

# Few values in the first bytes make deep trees.
digests = st.builds(
    lambda head, tail: bytes(head) + tail.to_bytes(30, "big"),
    st.tuples(st.sampled_from([0, 1, 0xF0]), st.sampled_from([0, 1])),
    st.one_of(st.integers(0, 60), st.integers(0, 2**240 - 1)),
)


def hashed(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


@given(st.lists(digests, max_size=120), st.randoms(use_true_random=False))
def test_tree_and_function_agree_in_any_order(members: list[bytes], rng: random.Random) -> None:
    tree = DigestTree()
    for member in members + rng.sample(members, len(members)):
        tree.add(member)
        if rng.random() < 0.2:
            tree.value()
    assert tree.value() == set_digest(members) == set_digest(reversed(members))
    assert len(tree) == len(set(members))


@given(st.sets(digests, max_size=60), digests)
def test_one_more_member_changes_the_digest_once(members: set[bytes], extra: bytes) -> None:
    tree = DigestTree()
    for member in members:
        assert tree.add(member)
    before = tree.value()
    assert (extra in tree) == (extra in members)
    assert tree.add(extra) == (extra not in members)
    assert (tree.value() == before) == (extra in members)
    assert not tree.add(extra)


def test_leaf_and_branch_are_what_the_definition_says() -> None:
    few = sorted(hashed(number) for number in range(LEAF_MAX))
    assert set_digest(few) == hashlib.sha256(b"\x00" + b"".join(few)).digest()
    many = [hashed(number) for number in range(LEAF_MAX + 1)]
    branches = [
        hashlib.sha256(b"\x00" + b"".join(sorted(d for d in many if d[0] >> 4 == nibble))).digest()
        for nibble in range(16)
    ]
    assert set_digest(many) == hashlib.sha256(b"\x01" + b"".join(branches)).digest()


def test_adding_one_of_ten_thousand_hashes_one_path() -> None:
    tree = DigestTree()
    for number in range(10_000):
        tree.add(hashed(number))
    tree.value()
    before = tree.hashed_count
    tree.add(hashed(10_000))
    tree.value()
    assert tree.hashed_count - before <= 5
    tree.value()
    assert tree.hashed_count - before <= 5
