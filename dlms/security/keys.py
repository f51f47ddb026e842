"""The symmetric keys of one association (Green Book 9.2.5), which show themselves to nobody.

Decides only that they are keys of suite 0. Where they are kept, how they are agreed on and changed is the caller's
business.
"""

from dataclasses import dataclass
from typing import Final

from dlms.errors import SecurityError

KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Keys:
    """Keys of suite 0, 16 bytes each.

    Raises:
        SecurityError: One has another length.
    """

    encryption: bytes
    """Global unicast encryption key (GUEK)."""
    authentication: bytes
    """Global authentication key (GAK)."""
    broadcast: bytes | None = None
    """Global broadcast encryption key (GBEK)."""
    dedicated: bytes | None = None
    """Encryption key of one association, made by the client and sent in the ciphered InitiateRequest."""

    def __post_init__(self) -> None:
        for name in ("encryption", "authentication", "broadcast", "dedicated"):
            key: bytes | None = getattr(self, name)
            if key is not None and len(key) != KEY_BYTES:
                raise SecurityError(f"the {name} key has {len(key)} bytes, not the {KEY_BYTES} of suite 0")

    def __repr__(self) -> str:
        """Say which keys there are."""
        there = [name for name in ("broadcast", "dedicated") if getattr(self, name) is not None]
        return f"Keys({', '.join(['encryption', 'authentication', *there])})"
