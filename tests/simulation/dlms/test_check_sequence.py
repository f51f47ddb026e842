"""What the worlds of `options` lean on: in a frame of any length, one to three flipped bits are found for certain."""

from dlms.link import fcs
from dlms.link.frame import FRAME_LENGTH_MAX


def test_one_to_three_flipped_bits_never_pass() -> None:
    """A check sequence is linear: flips pass if what each changes in the state adds up to nothing.

    Every single flip changes an odd number of bits of the state, so three never add up to nothing; and no two change
    the same bits, so two do not, either.
    """
    right = bytes(FRAME_LENGTH_MAX)
    passed = _state(right)
    changes = set()
    for position in range(FRAME_LENGTH_MAX * 8):
        flipped = bytearray(FRAME_LENGTH_MAX)
        flipped[position >> 3] = 1 << (position & 7)
        change = _state(bytes(flipped)) ^ passed
        assert change.bit_count() % 2
        changes.add(change)
    assert len(changes) == FRAME_LENGTH_MAX * 8


def _state(data: bytes) -> int:
    return int.from_bytes(fcs.check_sequence(data), "big")
