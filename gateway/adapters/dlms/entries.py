"""What the operator says of DLMS meters and their lines, as it stands in the gateway's configuration file.

Decides forms and bounds only. Secrets never stand here, only the names of the files that hold them.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.dlms_profiles import Sap

FilePath = Annotated[str, Meta(max_length=4_096)]


class UdpLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="udp"):
    """A meter that speaks the wrapper over UDP."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 4059


class PushPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where meters may send by themselves."""

    listen: Annotated[str, Meta(max_length=260, pattern=r"^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}\Z")]
    """Address of this machine and port, for instance 0.0.0.0:4059; an IPv6 address in brackets."""
    tcp: bool = True
    udp: bool = True

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class RoleEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one role opens its association at a meter; what is left out is as the meter's profile has it."""

    client: Sap | None = None
    """Client address."""
    mechanism: Literal["none", "low", "high", "high-gmac"] | None = None
    security: Literal["none", "authenticated", "encrypted", "authenticated-encrypted"] | None = None
    form: Literal["glo", "ded", "general-glo", "general-ded"] = "glo"
    """How what is ciphered is wrapped; the dedicated ones make a key for each association."""
    secret_file: FilePath = ""
    """Password (low), or secret (high): a line of text, or `hex:` and hexadecimal digits."""
    encryption_key_file: FilePath = ""
    """32 hexadecimal digits."""
    authentication_key_file: FilePath = ""
    """32 hexadecimal digits."""


class PushEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a meter protects what it sends by itself, and how that is told from other meters'."""

    security: Literal["none", "authenticated", "authenticated-encrypted"] | None = None
    """The least that is taken; the profile's where left out. With `none` anybody can speak for the meter."""
    encryption_key_file: FilePath = ""
    """32 hexadecimal digits."""
    authentication_key_file: FilePath = ""
    """32 hexadecimal digits."""
    title: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{16})?\Z")] = ""
    """The meter's system title, 16 hexadecimal digits; empty to believe the first that its keys prove."""
    names: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=8)] = []
    """What it may call itself beside its serial number: device id, logical device name; visits ask it, too."""


class DlmsEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a DLMS meter is on its line, and as whom it is spoken to."""

    address: Annotated[int, Meta(ge=0, le=0x3FFF)] | None = None
    """Physical HDLC address; left out on a line with one meter and over the wrapper."""
    logical: Annotated[int, Meta(ge=1, le=0x3FFF)] | None = None
    """Logical device: upper HDLC address or wrapper port; the profile's where left out."""
    wide_address: bool = False
    """The meter answers only to HDLC addresses of four bytes."""
    peer_counters: Literal["strict", "per-association", "unchecked"] = "strict"
    """What is demanded of the meter's invocation counters; `strict` is the only one that finds every replay."""
    pdu_bytes_max: Annotated[int, Meta(ge=64, le=0xFFFF)] = 0xFFFF
    """Longest message that is asked for; some meters need less than they grant."""
    client_title: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{16})?\Z")] = ""
    """Our system title, 16 hexadecimal digits; empty for one made of the gateway's name."""
    reading: RoleEntry | None = None
    control: RoleEntry | None = None
    firmware: RoleEntry | None = None
    push: PushEntry | None = None
    """Left out, nothing is taken that the meter sends by itself."""
