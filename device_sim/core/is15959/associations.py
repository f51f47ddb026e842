"""The associations of IS 15959 part 2: who may open one, how, with which keys, and what the meter remembers of it.

Decides admission; which objects an association shows, the catalogue decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final

from dlms.apdu.acse import Mechanism
from dlms.obis import obis
from dlms.security.counters import PeerCounters, ReservedCounter
from dlms.security.keys import Keys
from dlms.security.protection import Protector
from dlms.security.system_title import system_title
from dlms.server.device import AssociationRules, ServerSecurity

if TYPE_CHECKING:
    from device_sim.core.is15959.settings import MeterSettings

SERVER_SAP: Final = 1


class Client(IntEnum):
    """The clients of IS 15959 by their service access points."""

    PUBLIC = 16
    READER = 32
    SETTINGS = 48
    PUSH = 64
    FIRMWARE = 80


class Audience(IntFlag):
    """Sets of clients."""

    NOBODY = 0
    PUBLIC = 1
    READER = 2
    SETTINGS = 4
    PUSH = 8
    FIRMWARE = 16
    READERS = READER | SETTINGS
    ALL = PUBLIC | READER | SETTINGS | PUSH | FIRMWARE


@dataclass(frozen=True, slots=True)
class Association:
    """One association that the meter offers."""

    client: Client
    audience: Audience
    number: int
    """Last but one part of the names of its objects."""

    @property
    def name(self) -> bytes:
        """Of the association object."""
        return obis(f"0.0.40.0.{self.number}.255")

    @property
    def setup_name(self) -> bytes:
        """Of its security setup."""
        return obis(f"0.0.43.0.{self.number}.255")

    @property
    def counter_name(self) -> bytes:
        """Of its invocation counter."""
        return obis(f"0.0.43.1.{self.number}.255")

    @property
    def is_ciphered(self) -> bool:
        return self.client not in {Client.PUBLIC, Client.READER}


ASSOCIATIONS: Final = {
    association.client: association
    for association in (
        Association(Client.PUBLIC, Audience.PUBLIC, 1),
        Association(Client.READER, Audience.READER, 2),
        Association(Client.SETTINGS, Audience.SETTINGS, 3),
        Association(Client.PUSH, Audience.PUSH, 4),
        Association(Client.FIRMWARE, Audience.FIRMWARE, 5),
    )
}


def _kept_elsewhere(_: int) -> None:
    """Reserve counters nowhere: whoever makes the meter again begins above them."""


class Admission:
    """Secrets, keys and counters of one meter."""

    def __init__(self, settings: MeterSettings) -> None:
        secrets, plate = settings.secrets, settings.nameplate
        self.system_title = system_title(plate.flag, plate.device_number)
        self.counters = ReservedCounter(settings.first_counter, _kept_elsewhere)
        self.peer_counters = {
            client: PeerCounters(settings.peer_counters) for client, each in ASSOCIATIONS.items() if each.is_ciphered
        }
        self._settings = settings
        self._secrets = {
            Client.READER: secrets.reader_password,
            Client.SETTINGS: secrets.settings_secret,
            Client.PUSH: secrets.push_secret,
            Client.FIRMWARE: secrets.firmware_secret,
        }
        encryptions = {
            Client.SETTINGS: secrets.encryption,
            Client.PUSH: secrets.push_encryption,
            Client.FIRMWARE: secrets.firmware_encryption,
        }
        self._keys = {client: Keys(key, secrets.authentication) for client, key in encryptions.items()}

    def __repr__(self) -> str:
        return "Admission()"

    def mechanism(self, client: Client) -> Mechanism:
        """Return how a client has to prove who it is."""
        match client:
            case Client.PUBLIC:
                return Mechanism.NONE
            case Client.READER:
                return Mechanism.LOW
            case _:
                return self._settings.mechanism

    def rules(self, client: Client) -> AssociationRules:
        """Return the terms for a client."""
        association = ASSOCIATIONS[client]
        return AssociationRules(
            mechanism=self.mechanism(client),
            secret=self._secrets.get(client, b""),
            security=self._security(client) if association.is_ciphered else None,
            plain_context=not association.is_ciphered,
            pdu_bytes_max=self._settings.pdu_bytes_max,
        )

    def change_secret(self, client: Client, secret: bytes) -> None:
        """Give a client another password or HLS secret."""
        self._secrets[client] = secret

    def last_counter(self, client: Client) -> int:
        """Return the highest invocation counter of a client so far; it has to go on above it."""
        counters = self.peer_counters.get(client)
        return 0 if counters is None else max(0, counters.highest)

    def push_protector(self) -> Protector | None:
        """Return what ciphers pushes, None where they go out plain."""
        if not self._settings.push_ciphered:
            return None
        return Protector(
            self.system_title,
            self._settings.push_client_title,
            self._keys[Client.PUSH],
            self.counters,
            self.peer_counters[Client.PUSH],
        )

    def _security(self, client: Client) -> ServerSecurity:
        return ServerSecurity(
            own_title=self.system_title,
            keys=self._keys[client],
            counters=self.counters,
            peer_counters=self.peer_counters[client],
        )
