"""Messages that must be refused, each with its reason; made from a good one by doing one thing wrong.

`stage` says how far a message gets: `open` fails in `open_message`, `facts` in `facts_of`, `table` in `to_table`.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2

from tests.rig.parties import OTHER_GATEWAY, PARTIES, UTILITY, address_of
from tests.vectors.samples import BOOT, STORE, samples, worked_block
from wire import codec, limits
from wire.address import Address, Direction, Kind
from wire.errors import Reason
from wire.keys import SigningKey
from wire.messages import Batch, seal_message
from wire.signing import seal

EDDSA_PROTECTED = b"\xa2\x01\x27\x04\x48"
ED25519_PROTECTED = b"\xa2\x01\x32\x04\x48"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message, the road it came by, and why it is refused."""

    sealed: bytes
    address: Address
    reason: Reason
    why: str
    stage: str = "open"


def envelope(
    payload: bytes,
    address: Address,
    key: SigningKey,
    *,
    protected: bytes = ED25519_PROTECTED,
    unprotected: bytes = b"\xa0",
    context: str = "Signature1",
) -> bytes:
    """Return a correctly signed envelope with a header of choice."""
    header = protected + key.kid
    signature = key.sign(cbor2.dumps([context, header, address.to_bytes(), payload]))
    return b"\xd2\x84" + cbor2.dumps(header) + unprotected + cbor2.dumps(payload) + cbor2.dumps(signature)


def refusals(deflate: Callable[[bytes], bytes]) -> dict[str, Refusal]:
    """Return every message to refuse, by the name of its vector."""
    hello_at = address_of(Kind.HELLO)
    kind, hello = samples(deflate)["hello"]
    assert kind is Kind.HELLO
    gateway = PARTIES["gateway"].key
    good = seal_message(hello, hello_at, gateway)
    payload = codec.encode_message(hello)
    message = codec.decode_strict(payload)[1]
    return {
        **_envelopes(good, payload, hello_at, gateway),
        **_senders(good, payload, hello_at),
        **_payloads(payload, message, hello_at, gateway),
        **_bodies(deflate, gateway),
    }


def _envelopes(good: bytes, payload: bytes, at: Address, key: SigningKey) -> dict[str, Refusal]:
    altered = bytearray(good)
    altered[good.index(b"wattpost 0.1.0")] ^= 1
    long_head = good.replace(cbor2.dumps(payload), b"\x5a" + len(payload).to_bytes(4, "big") + payload)
    huge = envelope(bytes(limits.MESSAGE_BYTES_MAX - 85), at, key)
    assert len(huge) == limits.MESSAGE_BYTES_MAX + 1
    malformed = Reason.MALFORMED
    return {
        "refused-empty": Refusal(b"", at, malformed, "no bytes at all"),
        "refused-truncated": Refusal(good[:-1], at, malformed, "the last byte is missing"),
        "refused-trailing-byte": Refusal(good + b"\x00", at, malformed, "a byte follows the envelope"),
        "refused-untagged": Refusal(good[1:], at, malformed, "tag 18 is missing"),
        "refused-long-head": Refusal(long_head, at, malformed, "the payload's length in 4 bytes where 1 does"),
        "refused-unprotected-header": Refusal(
            envelope(payload, at, key, unprotected=b"\xa1\x05\x00"),
            at,
            malformed,
            "the unprotected header is not empty",
        ),
        "refused-indefinite-envelope": Refusal(
            b"\xd2\x9f" + good[2:] + b"\xff", at, malformed, "the envelope has indefinite length"
        ),
        "refused-short-signature": Refusal(
            good[:-66] + b"\x58\x3f" + good[-64:-1], at, malformed, "a signature of 63 bytes"
        ),
        "refused-algorithm": Refusal(
            envelope(payload, at, key, protected=EDDSA_PROTECTED),
            at,
            Reason.UNSUPPORTED_ALGORITHM,
            "alg -8 (EdDSA) instead of -19 (Ed25519)",
        ),
        "refused-altered": Refusal(bytes(altered), at, Reason.BAD_SIGNATURE, "one bit of the payload was changed"),
        "refused-other-context": Refusal(
            envelope(payload, at, key, context="Signature"),
            at,
            Reason.BAD_SIGNATURE,
            "signed as another COSE structure",
        ),
        "refused-too-long": Refusal(huge, at, Reason.TOO_LONG, "one byte longer than 65536"),
    }


def _senders(good: bytes, payload: bytes, at: Address) -> dict[str, Refusal]:
    def by(name: str, address: Address = at) -> bytes:
        return envelope(payload, address, PARTIES[name].key)

    bad_signature = Reason.BAD_SIGNATURE
    return {
        "refused-stranger": Refusal(by("stranger"), at, Reason.UNKNOWN_KEY, "signed by a key nobody registered"),
        "refused-wrong-purpose": Refusal(
            by("cloud-ack"), at, Reason.WRONG_PURPOSE, "a cloud-ack key signed a gateway's hello"
        ),
        "refused-wrong-party": Refusal(
            by("other-gateway"), at, Reason.WRONG_PARTY, "gw-2 signed as gw-1, for the address of gw-1"
        ),
        "refused-revoked": Refusal(by("revoked-gateway"), at, Reason.REVOKED_KEY, "the signature of a revoked key"),
        "refused-other-gateway": Refusal(
            good, address_of(Kind.HELLO, party=OTHER_GATEWAY), bad_signature, "gw-1's hello came on the road of gw-2"
        ),
        "refused-other-kind": Refusal(good, address_of(Kind.BATCH), bad_signature, "a hello came as a batch"),
        "refused-other-direction": Refusal(
            good, Address(UTILITY, Direction.DOWN, Kind.HELLO, at.party), bad_signature, "a hello came down"
        ),
        "refused-other-utility": Refusal(
            good, Address("valley", at.direction, at.kind, at.party), bad_signature, "a hello came at another utility"
        ),
    }


def _payloads(payload: bytes, message: list[object], at: Address, key: SigningKey) -> dict[str, Refusal]:
    def made(payload: bytes, why: str, reason: Reason = Reason.MALFORMED) -> Refusal:
        return Refusal(seal(payload, at, key), at, reason, why)

    def with_field(index: int, encoded: bytes, why: str) -> Refusal:
        parts = [cbor2.dumps(part) for part in message]
        parts[index] = encoded
        return made(b"\x82\x01" + bytes([0x80 + len(parts)]) + b"".join(parts), why)

    tick, epoch, meters = 5, 8, 9
    batch = cbor2.dumps([1, ["batch", STORE, 1, False, b"\x80"]])
    return {
        "refused-version": made(b"\x82\x02" + payload[2:], "version 2", Reason.UNSUPPORTED_VERSION),
        "refused-version-true": made(b"\x82\xf5" + payload[2:], "true is no version"),
        "refused-bare-message": made(payload[2:], "a message without its version"),
        "refused-kind-inside": made(batch, "a batch signed as a hello"),
        "refused-unknown-type": made(cbor2.dumps([1, ["howdy", *message[1:]]]), "no message type of ours"),
        "refused-payload-trailing": made(payload + b"\xf6", "a byte follows the payload's item"),
        "refused-payload-text": made(b"\x78\x20" + bytes(range(0x41, 0x61)), "not an array"),
        "refused-missing-field": made(cbor2.dumps([1, message[:-1]]), "the last field is missing"),
        "refused-unknown-field": made(cbor2.dumps([1, [*message, 0]]), "one field too many"),
        "refused-tag-inside": with_field(tick, b"\xc1\x19\x04\xb0", "a tag (1, time) before an integer"),
        "refused-unknown-tag-inside": with_field(tick, b"\xd9\xff\xfe\x19\x04\xb0", "an unassigned tag"),
        "refused-bignum": with_field(tick, b"\xc2\x42\x04\xb0", "an integer as bignum"),
        "refused-float": with_field(tick, b"\xf9\x64\xb0", "1200.0 instead of 1200"),
        "refused-true-for-one": with_field(epoch, b"\xf5", "true instead of 1"),
        "refused-undefined": with_field(tick, b"\xf7", "undefined"),
        "refused-simple-value": with_field(tick, b"\xf8\xff", "an unassigned simple value"),
        "refused-negative": with_field(tick, b"\x20", "a tick of -1"),
        "refused-above-bound": with_field(tick, b"\x1b\x00\x20" + bytes(6), "a tick of 2**53"),
        "refused-text-for-bytes": with_field(1, b"\x70" + b"AAECAwQFBgcICQoL", "text where bytes belong"),
        "refused-bad-utf8": with_field(2, b"\x62\xc3\x28", "text that is not UTF-8"),
        "refused-name": with_field(meters, b"\x81\x64m_01", "an underscore in a meter's name"),
        "refused-name-newline": with_field(meters, b"\x81\x64m-1\n", "a line end in a meter's name"),
        "refused-indefinite": with_field(meters, b"\x9f\x63m-1\xff", "an array of indefinite length"),
        "refused-duplicate-keys": with_field(meters, b"\xa2\x61a\x01\x61a\x02", "a map with one key twice"),
        "refused-map": with_field(meters, b"\xa1\x61a\x01", "a map"),
        "refused-deep": with_field(meters, b"\x81" * 12 + b"\x80", "nested deeper than 8"),
        "refused-huge-array": with_field(meters, b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff", "an array said to be huge"),
        "refused-huge-bytes": with_field(1, b"\x5b\x7f" + b"\xff" * 7, "a byte string said to be huge"),
    }  # fmt: skip


def _bodies(deflate: Callable[[bytes], bytes], key: SigningKey) -> dict[str, Refusal]:
    at = address_of(Kind.BATCH)

    def made(
        body: bytes, why: str, reason: Reason = Reason.MALFORMED, *, deflated: bool = False, stage: str = "facts"
    ) -> Refusal:
        batch = Batch(store=STORE, index=1, deflated=deflated, body=body)
        return Refusal(seal_message(batch, at, key), at, reason, why, stage)

    def block(change: Callable[[list[Any]], object]) -> bytes:
        wanted = codec.decode_strict(codec.encode([worked_block()]))
        change(wanted[0])
        return cbor2.dumps(wanted)

    stream = deflate(cbor2.dumps([["held", [bytes(16)], BOOT, 1]]))
    wide = _block_of(rows=4_000, columns=40)
    limit = Reason.LIMIT_EXCEEDED
    return {
        "refused-bomb": made(deflate(bytes(4_000_000)), "4 kB inflate to 4 MB", limit, deflated=True),
        "refused-bomb-by-one": made(
            deflate(bytes(limits.BODY_BYTES_MAX + 1)), "inflates to one byte too many", limit, deflated=True
        ),
        "refused-not-zlib": made(b"\x80", "said to be deflated but is not", deflated=True),
        "refused-zlib-truncated": made(stream[:-2], "the zlib stream's end is missing", deflated=True),
        "refused-zlib-trailing": made(stream + b"\x00", "a byte follows the zlib stream", deflated=True),
        "refused-zlib-checksum": made(
            stream[:-4] + zlib.crc32(stream).to_bytes(4, "big"), "a wrong checksum", deflated=True
        ),
        "refused-no-facts": made(b"\x80", "a batch of no facts"),
        "refused-too-many-facts": made(
            cbor2.dumps([["held", [bytes(16)], BOOT, 1]] * (limits.FACTS_PER_BATCH_MAX + 1)), "513 facts"
        ),
        "refused-fact-type": made(cbor2.dumps([["rumour", BOOT, 1]]), "no fact type of ours"),
        "refused-fact-downward": made(
            cbor2.dumps([["policy", "a-1", "m-1", 1, "box", "KES", 0, 0]]), "a fact that only the cloud states"
        ),
        "refused-event-code-digits": made(
            cbor2.dumps([["event", BOOT, 1, 1, "m-1", "\u0663.26.0.85", ""]]), "digits other than 0 to 9"
        ),
        "refused-uneven-columns": made(
            block(lambda fact: fact[3].append(0)), "columns of unequal length", stage="table"
        ),
        "refused-meter-beyond": made(
            block(lambda fact: fact.__setitem__(3, [0, 0, 2])), "a row of a meter beyond the list", stage="table"
        ),
        "refused-tick-before-boot": made(
            block(lambda fact: fact.__setitem__(4, [-1, 0, 0])), "a tick below zero", stage="table"
        ),
        "refused-value-sum": made(
            block(lambda fact: fact[5][0].__setitem__(1, [limits.VALUE_MAX, 1, 0])),
            "differences that sum up beyond the bound",
            stage="table",
        ),
        "refused-exception-beyond": made(
            block(lambda fact: fact.__setitem__(6, [[3, 0, "2.5.259"]])), "an exception beyond the block", stage="table"
        ),
        "refused-wide-block": made(
            deflate(codec.encode([wide])), "4000 rows of 40 channels", limit, deflated=True, stage="table"
        ),
    }


def _block_of(*, rows: int, columns: int) -> object:
    zeros = [0] * rows
    return ["readings", BOOT, ["m-1"], zeros, zeros, [[[bytes(6), 0, 30], zeros]] * columns, []]
