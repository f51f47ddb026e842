"""An integrator's client, written from docs/protocol.md alone: gmqtt, cbor2 and PyNaCl, nothing of Wattpost.

Disconnects, reconnects, reads or pings a meter, and prints each status as a line of JSON until the state is final.
"""

# ruff: noqa: INP001, T201

import argparse
import asyncio
import contextlib
import hashlib
import json
import secrets
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import cbor2
import gmqtt  # type: ignore[import-untyped]
from nacl.signing import SigningKey, VerifyKey

FINAL = {"executed", "failed", "expired", "superseded", "refused"}
RESEND_SECONDS = 5
EFFECTS: dict[str, list[Any]] = {
    "disconnect": ["disconnect"], "reconnect": ["reconnect"], "read": ["read", []], "ping": ["ping"],
}  # fmt: skip


def key_id(public: bytes) -> bytes:
    """Return the first 8 bytes of the SHA-256 of a public key."""
    return hashlib.sha256(public).digest()[:8]


def header(public: bytes) -> bytes:
    """Return the protected header: {1 (alg): -19 (Ed25519), 4 (kid): bytes}."""
    return cbor2.dumps({1: -19, 4: key_id(public)})


def signed_bytes(protected: bytes, address: list[str], payload: bytes) -> bytes:
    """Return what a signature covers (RFC 9052 section 4.4)."""
    return cbor2.dumps(["Signature1", protected, cbor2.dumps(address), payload])


def seal(message: list[Any], address: list[str], key: SigningKey) -> bytes:
    """Return a message of version 1, signed."""
    protected, payload = header(bytes(key.verify_key)), cbor2.dumps([1, message])
    signature = key.sign(signed_bytes(protected, address, payload)).signature
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))


def open_status(sealed: bytes, address: list[str], cloud: VerifyKey) -> list[Any]:
    """Return a status that the cloud signed; raises if it did not."""
    protected, _, payload, signature = cbor2.loads(sealed).value
    if protected != header(bytes(cloud)):
        raise ValueError("signed with another key than the cloud's")
    cloud.verify(signed_bytes(protected, address, payload), signature)
    _version, status = cbor2.loads(payload)
    return list(status)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments with the keys read; a key file's last word is the key as hex."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("host", "utility", "client", "key-seed-file", "cloud-key-file", "meter"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--root", default="wp/1")
    parser.add_argument("--effect", choices=EFFECTS, default="disconnect")
    parser.add_argument("--valid-seconds", type=int, default=300)
    parser.add_argument("--ca-file", help="speak TLS, and trust this authority")
    arguments = parser.parse_args()
    arguments.key = SigningKey(bytes.fromhex(Path(arguments.key_seed_file).read_text().split()[-1]))
    arguments.cloud = VerifyKey(bytes.fromhex(Path(arguments.cloud_key_file).read_text().split()[-1]))
    return arguments


async def main(arguments: argparse.Namespace) -> int:
    """Send one request, again by a timer, until its last status has come; return 0 if one came in time."""
    request_id, now_ms = secrets.token_bytes(16), time.time_ns() // 10**6
    not_after_ms = now_ms + arguments.valid_seconds * 1000
    request = ["request", request_id, now_ms, not_after_ms, [arguments.meter], EFFECTS[arguments.effect]]
    up = ["wattpost", arguments.utility, "client-up", "request", arguments.client]
    down = ["wattpost", arguments.utility, "client-down", "status", arguments.client]
    sealed = seal(request, up, arguments.key)
    printed: list[list[Any]] = []
    done = asyncio.Event()

    def on_message(_client: object, _topic: str, data: bytes, _qos: int, _properties: object) -> int:
        status = open_status(data, down, arguments.cloud)
        if status[:2] == ["status", request_id] and status not in printed:
            printed.append(status)
            names = ("meter", "state", "at_ms", "detail", "relay_closed")
            print(json.dumps(dict(zip(names, status[3:], strict=True))), flush=True)
            if status[4] in FINAL:
                done.set()
        return 0  # acknowledged

    client = gmqtt.Client(f"{arguments.client}-{request_id.hex()[:8]}")
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(f"{arguments.root}/c/{arguments.client}/status", qos=1)
    tls = ssl.create_default_context(cafile=arguments.ca_file) if arguments.ca_file else False
    await client.connect(arguments.host, arguments.port, ssl=tls)
    while not done.is_set() and time.time_ns() // 10**6 < not_after_ms + 60_000:
        # The same bytes: it runs once, however often it is sent, and each time the cloud says how it stands.
        client.publish(f"{arguments.root}/c/{arguments.client}/request", sealed, qos=1)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), RESEND_SECONDS)
    await client.disconnect()
    return 0 if done.is_set() else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse_arguments())))
