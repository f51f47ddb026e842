"""Whose pushes are taken: each meter with its keys and names, and what visits found out about its push lists."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

from dlms.obis import obis, obis_text
from dlms.security.counters import PeerCounterPolicy
from dlms.security.keys import Keys
from dlms.security.suite0 import AUTHENTICATED, ENCRYPTED
from gateway.adapters.dlms.access import key_in
from gateway.adapters.dlms.columns import Column
from gateway.adapters.dlms.entries import DlmsEntry
from gateway.core.dlms_profiles import DlmsProfile
from gateway.ports import Shelf
from wire import codec
from wire.errors import MalformedError
from wire.runtime.errors import ConfigError

KEY_NAME_BYTES: Final = 8
_CONTROLS: Final = {
    "none": 0,
    "authenticated": AUTHENTICATED,
    "authenticated-encrypted": AUTHENTICATED | ENCRYPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushMeter:
    """A meter whose pushes are taken."""

    id: str
    profile: DlmsProfile
    keys: Keys | None = field(default=None, repr=False)
    """None for a meter that pushes without protection."""
    required: int = 0
    """Bits 0x10 and 0x20 of the security control byte that every push has to have."""
    title: bytes = b""
    """System title, where the operator gave it."""
    names: tuple[bytes, ...] = ()
    """What it calls itself, as far as the operator says."""
    policy: PeerCounterPolicy = PeerCounterPolicy.STRICT

    @property
    def key_name(self) -> bytes:
        """What names its key without telling it; empty for none."""
        if self.keys is None:
            return b""
        parts = b"wattpost push:" + self.keys.encryption + self.keys.authentication
        return hashlib.sha256(parts).digest()[:KEY_NAME_BYTES]


def make_push_meter(name: str, entry: DlmsEntry, profile: DlmsProfile) -> PushMeter | None:
    """Return a meter whose pushes are taken; None if none are.

    Raises:
        ConfigError: A file is missing or does not hold, or keys and protection do not go together.
    """
    chosen = entry.push
    if chosen is None:
        return None
    where = f"meter {name}: dlms.push"
    ours = profile.associations.push
    security = chosen.security or (ours.security if ours is not None else "none")
    if security not in _CONTROLS:
        remedy = "set security to authenticated or authenticated-encrypted"
        raise ConfigError(where, "encryption alone proves nothing of the sender", remedy)
    has_keys = bool(chosen.encryption_key_file and chosen.authentication_key_file)
    if (security != "none") is not has_keys:
        problem = "protected pushes need both key files, unprotected ones none"
        raise ConfigError(where, problem, 'give both key files, or security = "none" and no key file')
    keys = Keys(key_in(chosen.encryption_key_file), key_in(chosen.authentication_key_file)) if has_keys else None
    policy = PeerCounterPolicy(entry.peer_counters)
    return PushMeter(
        id=name,
        profile=profile,
        keys=keys,
        required=_CONTROLS[security],
        title=bytes.fromhex(chosen.title),
        names=tuple(each.encode() for each in chosen.names),
        # There is no association that a push belongs to: a meter that forgets its counter can only be believed.
        policy=policy if policy is PeerCounterPolicy.STRICT else PeerCounterPolicy.UNCHECKED,
    )


class PushLists(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What one meter says of its pushes."""

    asked_s: int = 0
    """When it was asked, Unix seconds."""
    instrument: str = ""
    """Which one it was, with its firmware."""
    names: list[bytes] = []
    """Device id and logical device name."""
    setups: dict[str, list[Column]] = {}
    """What each push setup sends, in order."""


class PushBook:
    """What all meters say of their pushes.

    Args:
        shelf: Keeps it.
        meters: Ids of those whose pushes are taken.
    """

    def __init__(self, shelf: Shelf, meters: Collection[str]) -> None:
        self.meters = frozenset(meters)
        self._shelf = shelf
        self._lists: dict[str, PushLists] = {}

    async def of(self, meter_id: str) -> PushLists:
        """Return what a meter said last."""
        if meter_id not in self._lists:
            self._lists[meter_id] = _decoded(await self._shelf.kept(_name(meter_id)))
        return self._lists[meter_id]

    async def keep(self, meter_id: str, lists: PushLists) -> None:
        """Take what a meter says."""
        self._lists[meter_id] = lists
        await self._shelf.keep(_name(meter_id), codec.encode(lists))


def name_bytes(value: object) -> bytes | None:
    """Return what a meter calls itself, as bytes without padding; None for what is no name."""
    if isinstance(value, str):
        value = value.encode("latin-1", errors="replace")
    name = value.strip(b" \0") if isinstance(value, bytes) else b""
    return name or None


def setup_key(name: bytes) -> str:
    """Return the key of a push setup in `PushLists.setups`."""
    return obis_text(name)


def setups_of(profile: DlmsProfile) -> frozenset[bytes]:
    """Return the logical names of a make's push setups."""
    return frozenset(obis(each) for each in profile.objects.push)


def _name(meter_id: str) -> str:
    return f"dlms/pushes/{meter_id}"


def _decoded(kept: bytes | None) -> PushLists:
    if kept is None:
        return PushLists()
    try:
        lists: PushLists = codec.decode_as(kept, PushLists)
    except MalformedError:
        return PushLists()
    return lists
