"""What a session tells its owner about the connection, each trouble with its cause and a remedy.

The texts are written here once, for logs and for people; nothing decides by them. What to do is the session's business.
"""

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

from wire.runtime.errors import ConfigError


class Cause(StrEnum):
    """Why there is no connection."""

    NAME = "name"
    """The broker's name does not resolve."""
    UNREACHABLE = "unreachable"
    """No TCP connection."""
    TIMEOUT = "timeout"
    """Connecting, or the broker's answer to it, took too long."""
    TLS = "tls"
    """The two ends do not trust or understand each other."""
    FILES = "files"
    """A certificate or password file of ours cannot be used."""
    REFUSED = "refused"
    """The broker answered, and said no."""
    CLOSED = "closed"
    """The broker or the network ended the connection."""
    SILENT = "silent"
    """The broker did not answer the keep-alive: a half-open connection."""
    TAKEN_OVER = "taken_over"
    """Another connection uses our client id."""
    PROTOCOL = "protocol"
    """The broker sent what is not MQTT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The broker accepted us and our subscriptions are asked for; the time to say hello."""

    session_present: bool
    """Whether the broker still knew our session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """There is no connection: it ended, or an attempt failed. Another attempt follows by itself."""

    cause: Cause
    detail: str
    """What was seen, in words; may hold text of the peer."""
    remedy: str
    """What a person can do about it."""
    was_connected: bool
    """Whether a connection ended; otherwise an attempt failed."""
    retry_delay_ms: int
    """Wait before the next attempt, in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeRefused:
    """The broker refused a subscription, or did not answer; it is asked for again by itself."""

    topic_filter: str
    code: int | None
    """MQTT reason code; None if no answer came in time."""
    detail: str
    remedy: str
    retry_delay_ms: int
    """Wait before it is asked for again, in ms."""


Event = Connected | Lost | SubscribeRefused


class LinkError(Exception):
    """Raised when a connection cannot be made or has ended; becomes a `Lost` event."""

    def __init__(self, cause: Cause, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
        self.remedy = remedy


_REMEDY_BY_CODE = {
    0x81: "update one of the two: broker and client do not understand each other",
    0x84: "the broker does not speak this MQTT version: set protocol to the other one",
    0x85: "choose another client id",
    0x86: "check user name and password file",
    0x87: "let the broker's access list admit this client, or use the certificate it expects",
    0x88: "wait, or look into the broker's log",
    0x89: "wait: the broker is busy",
    0x8A: "ask the broker's operator why this client is banned",
    0x8B: "wait: the broker is shutting down",
    0x8D: "lower keep_alive_s: the broker heard nothing in time",
    0x95: "send smaller messages or raise the broker's packet limit",
    0x97: "wait, or ask the broker's operator for a higher quota",
    0x9C: "set the host the broker moved to",
    0x9D: "set the host the broker moved to",
    0x9F: "wait: the broker limits how often clients may connect",
}


def refusal(code: int, text: str) -> LinkError:
    """Return why a CONNECT was refused, by its MQTT 5 reason code."""
    remedy = _REMEDY_BY_CODE.get(code, "look into the broker's log")
    return LinkError(Cause.REFUSED, f"the broker refused the connection: {text} ({code})", remedy)


def farewell(code: int, text: str) -> LinkError:
    """Return why the broker ended a connection, by the reason code of its DISCONNECT."""
    if code == 0x8E:
        return LinkError(
            Cause.TAKEN_OVER,
            "another connection with this client id replaced ours",
            "make sure that this program runs once, and give every client its own client id",
        )
    remedy = _REMEDY_BY_CODE.get(code, "look into the broker's log")
    return LinkError(Cause.CLOSED, f"the broker ended the connection: {text} ({code})", remedy)


def no_answer(*, timeout_s: int) -> LinkError:
    """Return why a connection was given up that stood without a word of the broker."""
    return LinkError(
        Cause.TIMEOUT,
        f"connected, but no answer to CONNECT within {timeout_s} s",
        "check that this is the port of an MQTT broker, that it speaks this MQTT version, and its load",
    )


def nonsense(detail: str) -> LinkError:
    """Return why a connection ended that carried something else than MQTT."""
    return LinkError(
        Cause.PROTOCOL,
        f"the broker sent what we cannot read: {detail}",
        "check that this is the port of an MQTT broker, and that it speaks this MQTT version",
    )


def broken_off(detail: str, *, greeted: bool, tls: bool) -> LinkError:
    """Return why a connection ended without a word of MQTT; `greeted` says whether it ever was accepted."""
    if "alert" in detail or "ssl" in detail.lower():
        return LinkError(Cause.TLS, detail, "let the broker trust this client's certificate, and check both clocks")
    if greeted:
        # Mosquitto 2.0.11 does not say so when another connection takes the client id over.
        remedy = "look into the broker's log, and make sure that no other client uses this client id"
        return LinkError(Cause.CLOSED, detail, remedy)
    also = "accepts this certificate" if tls else "is no TLS port"
    return LinkError(
        Cause.CLOSED,
        f"closed before the broker answered: {detail}",
        f"check that this is an MQTT port, that it {also}, and that the broker speaks this MQTT version",
    )


def explain(exc: OSError | ValueError | ConfigError, *, host: str, port: int) -> LinkError:
    """Return the trouble behind an exception met while connecting."""
    where = f"{host}:{port}"
    match exc:
        case ConfigError():
            return LinkError(Cause.FILES, f"{exc.path}: {exc.problem}", exc.remedy)
        case socket.gaierror():
            return LinkError(
                Cause.NAME,
                f"{host} does not resolve: {exc.strerror}",
                "check the broker's host name and this machine's name server",
            )
        case ssl.SSLCertVerificationError():
            return LinkError(
                Cause.TLS,
                f"the certificate of {where} is not trusted: {getattr(exc, 'verify_message', exc)}",
                "check cafile, the host names in the broker's certificate, and this machine's clock",
            )
        case ssl.SSLError():
            return LinkError(
                Cause.TLS,
                f"no TLS with {where}: {getattr(exc, 'reason', None) or exc}",
                "check that this port speaks TLS and accepts this client's certificate",
            )
        case TimeoutError():
            return LinkError(
                Cause.TIMEOUT, f"{where} did not answer in time", "check route, firewall and the broker's load"
            )
        case ConnectionRefusedError():
            return LinkError(
                Cause.UNREACHABLE, f"nothing listens at {where}", "start the broker, or correct host and port"
            )
        case OSError():
            detail = f"{where} cannot be reached: {exc.strerror or exc}"
            return LinkError(Cause.UNREACHABLE, detail, "check cable, modem and route")
        case _:
            return LinkError(Cause.NAME, f"{host!r} is no host name: {exc}", "correct the broker's host name")
