"""How long exchanges take on a line that carries so many bits a second, one after the other."""

from __future__ import annotations

import asyncio


class Pace:
    """The time of one line."""

    def __init__(self, *, baud: int, bits_per_character: int, gap_characters: float = 0.0) -> None:
        """Describe a line.

        Args:
            baud: Bits a second; 0 for as fast as it goes.
            bits_per_character: With start, parity and stop.
            gap_characters: Silence around each frame.
        """
        self._second_per_character = bits_per_character / baud if baud else 0.0
        self._gap_characters = gap_characters
        self._free_at_s = 0.0

    def occupy(self, byte_count: int) -> float:
        """Let an exchange take its time on the line after those before it, and return in how many seconds."""
        if not self._second_per_character:
            return 0.0
        now_s = asyncio.get_running_loop().time()
        spent_s = (byte_count + 2 * self._gap_characters) * self._second_per_character
        self._free_at_s = max(now_s, self._free_at_s) + spent_s
        return self._free_at_s - now_s
