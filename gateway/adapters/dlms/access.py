"""As whom a meter is spoken to: roles with their secrets and keys, read from files once.

Decides what a role needs and says in one line what is missing. Secrets show in no repr, no log and no error text.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dlms.apdu.acse import Mechanism
from dlms.client.settings import AssociationSettings
from dlms.errors import SecurityError
from dlms.link.address import StationAddress
from dlms.security.counters import PeerCounterPolicy
from dlms.security.keys import KEY_BYTES, Keys
from dlms.security.protection import CipherForm
from dlms.security.suite0 import AUTHENTICATED, ENCRYPTED
from gateway.adapters.dlms.entries import DlmsEntry, RoleEntry
from gateway.core.dlms_profiles import Association, DlmsProfile
from wire.runtime.errors import ConfigError

SECRET_FILE_BYTES_MAX = 4_096
_HEX: Final = "hex:"
_MECHANISMS: Final[Mapping[str, Mechanism]] = {
    "none": Mechanism.NONE,
    "low": Mechanism.LOW,
    "high": Mechanism.HIGH,
    "high-gmac": Mechanism.HIGH_GMAC,
}
_CONTROLS: Final[Mapping[str, int]] = {
    "none": 0,
    "authenticated": AUTHENTICATED,
    "encrypted": ENCRYPTED,
    "authenticated-encrypted": AUTHENTICATED | ENCRYPTED,
}


class Role(StrEnum):
    """Why a meter is spoken to."""

    PUBLIC = "public"
    READING = "reading"
    CONTROL = "control"
    FIRMWARE = "firmware"


@dataclass(frozen=True, slots=True)
class Access:
    """One role at one meter."""

    settings: AssociationSettings
    counter: str | None
    """Object in which the meter shows its counter for this client."""
    uses_dedicated_key: bool = False
    """A key is made for each association."""

    @property
    def is_ciphered(self) -> bool:
        return self.settings.keys is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmsMeter:
    """A meter on a line."""

    id: str
    profile: DlmsProfile
    logical: int
    """Logical device, over the wrapper its port."""
    physical: int | None = None
    """Physical device, where a line has several."""
    is_wide: bool = False
    """It answers only to HDLC addresses of four bytes."""
    roles: Mapping[Role, Access] = field(repr=False)
    peer_counters: PeerCounterPolicy = PeerCounterPolicy.STRICT

    @property
    def station(self) -> StationAddress:
        """Return where it is on an HDLC line.

        Raises:
            ValueError: Nowhere that HDLC could say.
        """
        return StationAddress(self.logical, self.physical, is_wide=self.is_wide)

    @property
    def has_relay(self) -> bool:
        """Say whether we may switch its own relay."""
        return self.profile.objects.relay is not None and Role.CONTROL in self.roles


def system_title_of(name: str) -> bytes:
    """Return the system title of a gateway: two that know the keys of one meter must not share one."""
    return b"WPT" + hashlib.sha256(b"wattpost system title:" + name.encode()).digest()[:5]


def make_meter(name: str, entry: DlmsEntry, profile: DlmsProfile, *, gateway: str) -> DlmsMeter:
    """Return a meter with all that it takes to speak to it.

    Args:
        name: Its id.
        entry: Of the configuration.
        profile: Its make.
        gateway: Our name.

    Raises:
        ConfigError: A file is missing or does not hold, or a role cannot be had in that way.
    """
    title = bytes.fromhex(entry.client_title) or system_title_of(gateway)
    logical = entry.logical if entry.logical is not None else profile.associations.reading.server
    associations = profile.associations
    given = {
        Role.PUBLIC: (associations.public, RoleEntry()),
        Role.READING: (associations.reading, entry.reading),
        Role.CONTROL: (associations.control, entry.control),
        Role.FIRMWARE: (associations.firmware, entry.firmware),
    }
    roles = {}
    for role, (association, chosen) in given.items():
        if chosen is None and association.mechanism == "none" and association.security == "none":
            chosen = RoleEntry()  # noqa: PLW2901 - nothing is needed for it
        if chosen is not None:
            where = f"meter {name}: dlms.{role}"
            roles[role] = _access(where, association, chosen, entry, server=logical, title=title)
    if Role.READING not in roles:
        if Role.CONTROL not in roles:
            problem, remedy = "nobody may read it", "give `reading` or `control` with its files"
            raise ConfigError(f"meter {name}: dlms", problem, remedy)
        roles[Role.READING] = roles[Role.CONTROL]
    return DlmsMeter(
        id=name,
        profile=profile,
        logical=logical,
        physical=entry.address,
        is_wide=entry.wide_address,
        roles=MappingProxyType(roles),
        peer_counters=PeerCounterPolicy(entry.peer_counters),
    )


def _access(
    where: str, association: Association, chosen: RoleEntry, entry: DlmsEntry, *, server: int, title: bytes
) -> Access:
    mechanism = _MECHANISMS[chosen.mechanism or association.mechanism]
    control = _CONTROLS[chosen.security or association.security]
    needs_keys = control != 0 or mechanism is Mechanism.HIGH_GMAC
    needs_secret = mechanism in {Mechanism.LOW, Mechanism.HIGH}
    form = CipherForm(chosen.form)
    if needs_secret and not chosen.secret_file:
        raise ConfigError(where, "it authenticates with a secret and names no file", "give secret_file")
    if needs_keys and not (chosen.encryption_key_file and chosen.authentication_key_file):
        remedy = "give encryption_key_file and authentication_key_file"
        raise ConfigError(where, "it needs keys and does not name both files", remedy)
    keys = _keys(chosen) if needs_keys else None
    try:
        settings = AssociationSettings(
            client_sap=chosen.client or association.client,
            server_sap=server,
            mechanism=mechanism,
            secret=_secret(chosen.secret_file) if needs_secret else b"",
            keys=keys,
            system_title=title if keys is not None else b"",
            control=control,
            # A dedicated form wants its key at once; it gets a fresh one for every association.
            form=_GLOBAL_OF.get(form, form),
            initiate_form=_GLOBAL_OF.get(form, form),
            pdu_bytes_max=entry.pdu_bytes_max,
        )
    except SecurityError as error:
        raise ConfigError(where, str(error), "correct the mechanism, the security or the files") from error
    return Access(settings, association.counter, form.is_dedicated and control != 0)


_GLOBAL_OF: Final = {
    CipherForm.SERVICE_DEDICATED: CipherForm.SERVICE_GLOBAL,
    CipherForm.GENERAL_DEDICATED: CipherForm.GENERAL_GLOBAL,
}
DEDICATED_OF: Final = {general: dedicated for dedicated, general in _GLOBAL_OF.items()}


def _keys(chosen: RoleEntry) -> Keys:
    return Keys(key_in(chosen.encryption_key_file), key_in(chosen.authentication_key_file))


def key_in(path: str) -> bytes:
    """Return the key in a file.

    Raises:
        ConfigError: There is none.
    """
    text = _text(path)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(path, f"holds no key of {KEY_BYTES} bytes", f"write {2 * KEY_BYTES} hexadecimal digits")
    return key


def _secret(path: str) -> bytes:
    text = _text(path)
    if not text.startswith(_HEX):
        return text.encode()
    try:
        secret = bytes.fromhex(text.removeprefix(_HEX))
    except ValueError:
        secret = b""
    if not secret:
        raise ConfigError(path, "holds no hexadecimal digits after hex:", "write two for each byte of the secret")
    return secret


def _text(path: str) -> str:
    """Return the line of text in a secret's file; no error says what stands in it."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = raw.decode().strip("\r\n")
    except OSError as error:
        problem = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigError(path, problem, "name a file that this user may read") from error
    except UnicodeDecodeError:
        raise ConfigError(path, "is no text", "write the secret as text, or hex: and its digits") from None
    if not text or len(raw) > SECRET_FILE_BYTES_MAX or "\n" in text:
        raise ConfigError(path, "holds not one line of text", "write the secret in one line, and nothing else")
    return text
