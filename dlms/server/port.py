"""The server at the end of one link: which client talks to which logical device, and the association of each pair.

Decides nothing of the APDUs. A link that breaks takes all its associations with it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from dlms.server.association import ServerAssociation
from dlms.server.device import LogicalDevice

ASSOCIATIONS_MAX: Final = 64
"""On one link; the oldest makes room, so that addresses made up cost no memory."""


class ServerPort:
    """Everything behind one connection."""

    def __init__(self, devices: Mapping[int, LogicalDevice], *, challenge: Callable[[], bytes]) -> None:
        """Take the logical devices by their server SAP; `challenge` returns fresh random bytes at every call."""
        self._devices = devices
        self._challenge = challenge
        self._associations: dict[tuple[int, int], ServerAssociation] = {}

    def handle(self, apdu: bytes, *, client: int, server: int) -> bytes | None:
        """Answer an APDU from one address to another; None where nothing can be answered."""
        association = self._associations.get((client, server))
        if association is None:
            device = self._devices.get(server)
            if device is None:
                return None
            association = ServerAssociation(device, client, challenge=self._challenge)
            if len(self._associations) >= ASSOCIATIONS_MAX:
                del self._associations[next(iter(self._associations))]
            self._associations[client, server] = association
        return association.handle(apdu)

    def close(self) -> None:
        """Forget all associations: the link is gone."""
        self._associations.clear()
