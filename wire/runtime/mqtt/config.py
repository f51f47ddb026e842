"""What an MQTT session is told: where the broker is, who we are, and every bound.

Plain data that msgspec reads from TOML with its bounds. Files are named, never held: they are read on each
connection, so that a renewed certificate or password counts from the next one on.
"""

import ssl
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from wire.runtime.errors import ConfigError

Count = Annotated[int, Meta(ge=1, le=65_535)]
Seconds = Annotated[int, Meta(ge=1, le=3_600)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Bytes = Annotated[int, Meta(ge=1, le=256 * 1024 * 1024)]


class TlsFiles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates as PEM files; the broker's name is always checked against its certificate."""

    cafile: str
    """Certificates of the authorities that may vouch for the broker."""
    certfile: str = ""
    """This client's certificate; empty if the broker asks for none."""
    keyfile: str = ""
    """The private key of `certfile`."""


class Will(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the broker says for us when the connection ends without a farewell; sent with QoS 1, not retained."""

    topic: str
    payload: bytes = b""


class MqttConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that an `MqttSession` is told once, at construction."""

    host: str
    """Name or address of the broker."""
    client_id: Annotated[str, Meta(min_length=1, max_length=128)]
    """Name of the session at the broker; a second connection under it ends the first."""
    port: Count = 1883
    protocol: Literal["5", "3.1.1"] = "5"
    """MQTT version. With 3.1.1 a broker cannot say that it refused a publish, and properties are not sent."""
    subscriptions: tuple[str, ...] = ()
    """Topic filters, with QoS 1; subscribed again on each connection."""
    clean_start: bool = False
    """Whether each connection starts without what the broker kept for us."""
    session_expiry_s: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] = 86_400
    """How long the broker keeps our session once we are gone (MQTT 5 only)."""
    keep_alive_s: Seconds = 60
    """A broker that is silent for one and a half of this is taken for gone; it judges us by the same rule."""
    connect_timeout_s: Seconds = 10
    """Bound of each step of connecting: one TCP attempt, one read of the TLS handshake, the wait for CONNACK."""
    publish_timeout_s: Seconds = 30
    """How long a publish waits for a place in the window and its PUBACK."""
    publish_window: Count = 20
    """Publishes on their way at once; the broker may ask for less."""
    payload_bytes_max: Bytes = 1_000_000
    """Longest payload sent, and with MQTT 5 about the longest packet accepted."""
    intake_messages_max: Count = 1_000
    """Messages received and not acknowledged above which we stop reading from the broker."""
    intake_bytes_max: Bytes = 16 * 1024 * 1024
    """The same in bytes of topic and payload."""
    reconnect_delay_ms: Milliseconds = 1_000
    """Bound of the first wait before connecting again; it doubles with each failure."""
    reconnect_delay_ms_max: Milliseconds = 60_000
    """Bound of every such wait; a connection that lasted longer ends the doubling."""
    username: str = ""
    password_file: str = ""
    """File that holds the password of `username` in its first line."""
    tls: TlsFiles | None = None
    will: Will | None = None


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when its handshake fails, which paho leaves to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the overridden signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a client's TLS context; reads the files.

    Raises:
        ConfigError: A file cannot be read or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _ClosingSocket
    try:
        context.load_verify_locations(files.cafile)
    except OSError as exc:
        raise ConfigError(
            files.cafile, _file_problem(exc), "name a PEM file with the certificate of the broker's authority"
        ) from exc
    if files.certfile:
        try:
            context.load_cert_chain(files.certfile, files.keyfile or None)
        except OSError as exc:
            raise ConfigError(
                files.certfile, _file_problem(exc), "name this client's PEM certificate and its private key"
            ) from exc
    return context


def read_password(path: str) -> str:
    """Return the first line of a password file.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(path, "the password cannot be read", "name a readable text file, mode 0600") from exc
    return lines[0] if lines else ""


def _file_problem(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return f"not what it should be ({exc.reason or 'no PEM data'})"
    return exc.strerror or "cannot be read"
