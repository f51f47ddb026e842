"""What two HDLC stations agree on when they connect (Green Book 8.4.4.3.2): sizes of information fields and windows.

Each side speaks of its own sending and receiving. A side that says nothing means 128 bytes and a window of one.
"""

from dataclasses import dataclass
from typing import Final

from dlms.errors import DecodeError
from dlms.link.frame import INFO_BYTES_MAX

WINDOW_MAX: Final = 7

_FORMAT_IDENTIFIER: Final = 0x81
_GROUP_IDENTIFIER: Final = 0x80
_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_WINDOW, _RECEIVE_WINDOW = 5, 6, 7, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkParameters:
    """What one side may send at once and is ready to receive."""

    transmit_bytes_max: int = 128
    """Bytes of an information field that this side sends."""
    receive_bytes_max: int = 128
    """Bytes of an information field that this side takes."""
    transmit_window: int = 1
    """Frames that this side sends before it waits."""
    receive_window: int = 1
    """Frames that this side takes at once."""

    def __post_init__(self) -> None:
        if not (1 <= self.transmit_bytes_max <= INFO_BYTES_MAX and 1 <= self.receive_bytes_max <= INFO_BYTES_MAX):
            raise ValueError(f"an information field has between 1 and {INFO_BYTES_MAX} bytes: {self}")
        if not (1 <= self.transmit_window <= WINDOW_MAX and 1 <= self.receive_window <= WINDOW_MAX):
            raise ValueError(f"a window has between 1 and {WINDOW_MAX} frames: {self}")

    def agreed_with(self, peer: "LinkParameters") -> "LinkParameters":
        """Return what holds for this side when the peer has said `peer` of itself."""
        return LinkParameters(
            transmit_bytes_max=min(self.transmit_bytes_max, peer.receive_bytes_max),
            receive_bytes_max=min(self.receive_bytes_max, peer.transmit_bytes_max),
            transmit_window=min(self.transmit_window, peer.receive_window),
            receive_window=min(self.receive_window, peer.transmit_window),
        )

    def encode(self) -> bytes:
        """Return the information field of an SNRM or UA frame."""
        group = b"".join(
            (
                _size(_TRANSMIT_BYTES, self.transmit_bytes_max),
                _size(_RECEIVE_BYTES, self.receive_bytes_max),
                bytes((_TRANSMIT_WINDOW, 4, 0, 0, 0, self.transmit_window)),
                bytes((_RECEIVE_WINDOW, 4, 0, 0, 0, self.receive_window)),
            )
        )
        return bytes((_FORMAT_IDENTIFIER, _GROUP_IDENTIFIER, len(group))) + group


DEFAULTS: Final = LinkParameters()
"""What holds for a side that says nothing."""
UTMOST: Final = LinkParameters(
    transmit_bytes_max=INFO_BYTES_MAX,
    receive_bytes_max=INFO_BYTES_MAX,
    transmit_window=WINDOW_MAX,
    receive_window=WINDOW_MAX,
)
"""The most that HDLC has."""


def _size(identifier: int, value: int) -> bytes:
    width = 1 if value <= 0xFF else 2
    return bytes((identifier, width)) + value.to_bytes(width, "big")


def decode_parameters(info: bytes) -> LinkParameters:
    """Read the information field of an SNRM or UA frame; an empty one means the defaults.

    Values beyond what HDLC can do are taken as what it can; parameters and groups of other kinds are skipped.

    Raises:
        DecodeError: The field is cut off or of another format, or a value is 0.
    """
    if not info:
        return DEFAULTS
    if len(info) < 3 or info[0] != _FORMAT_IDENTIFIER or info[1] != _GROUP_IDENTIFIER:
        raise DecodeError("the parameters of the link are in no known format")
    found: dict[int, int] = {}
    at, end = 3, min(3 + info[2], len(info))
    while at < end:
        if at + 2 > end or at + 2 + info[at + 1] > end:
            raise DecodeError("the parameters of the link are cut off")
        value_at = at + 2
        after = value_at + info[at + 1]
        found[info[at]] = int.from_bytes(info[value_at:after], "big")
        at = after
    if 0 in (found.get(known, 1) for known in (_TRANSMIT_BYTES, _RECEIVE_BYTES, _TRANSMIT_WINDOW, _RECEIVE_WINDOW)):
        raise DecodeError("a parameter of the link is 0")
    return LinkParameters(
        transmit_bytes_max=min(found.get(_TRANSMIT_BYTES, DEFAULTS.transmit_bytes_max), INFO_BYTES_MAX),
        receive_bytes_max=min(found.get(_RECEIVE_BYTES, DEFAULTS.receive_bytes_max), INFO_BYTES_MAX),
        transmit_window=min(found.get(_TRANSMIT_WINDOW, DEFAULTS.transmit_window), WINDOW_MAX),
        receive_window=min(found.get(_RECEIVE_WINDOW, DEFAULTS.receive_window), WINDOW_MAX),
    )
