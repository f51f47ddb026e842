import hashlib

import cbor2
import hypothesis
import pytest
from hypothesis import strategies as st

from tests.rig.parties import PARTIES, REGISTRY, address_of
from wire import signing
from wire.address import Kind
from wire.errors import LimitExceededError, MalformedError, Reason, UntrustedError, WireError
from wire.keys import Purpose
from wire.limits import MESSAGE_BYTES_MAX

AT = address_of(Kind.HELLO)
KEY = PARTIES["gateway"].key
OVERHEAD_BYTES = 86
"""Of a payload from 256 to 65,535 bytes."""


def _open(sealed: bytes) -> signing.Opened:
    return signing.open_sealed(sealed, AT, REGISTRY, Purpose.GATEWAY)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535 - OVERHEAD_BYTES, 65_536 - OVERHEAD_BYTES])
def test_payload_of_any_length_comes_back(length: int) -> None:
    payload = bytes(length)
    sealed = signing.seal(payload, AT, KEY)
    opened = _open(sealed)
    assert opened.payload == payload
    assert opened.key == KEY.public
    assert opened.digest == signing.digest_of(sealed) == hashlib.sha256(sealed).digest()


def test_message_at_the_bound_can_be_sealed_and_one_byte_more_cannot() -> None:
    assert len(signing.seal(bytes(MESSAGE_BYTES_MAX - OVERHEAD_BYTES), AT, KEY)) == MESSAGE_BYTES_MAX
    with pytest.raises(LimitExceededError) as refused:
        signing.seal(bytes(MESSAGE_BYTES_MAX - OVERHEAD_BYTES + 1), AT, KEY)
    assert refused.value.reason is Reason.TOO_LONG


def test_sealing_is_deterministic() -> None:
    assert signing.seal(b"payload", AT, KEY) == signing.seal(b"payload", AT, KEY)


def test_signature_covers_the_structure_of_the_standard() -> None:
    sealed = signing.seal(b"payload", AT, KEY)
    protected, unprotected, payload, signature = cbor2.loads(sealed).value
    assert cbor2.loads(protected) == {1: -19, 4: KEY.kid}
    assert unprotected == {}
    assert KEY.public.verifies(cbor2.dumps(["Signature1", protected, AT.to_bytes(), payload]), signature)


@hypothesis.given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_message_with_any_bit_changed_is_refused(position: int, bit: int) -> None:
    sealed = bytearray(signing.seal(b"payload of a message", AT, KEY))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(WireError):
        _open(bytes(sealed))


def _longer_heads(sealed: bytes) -> list[bytes]:
    protected, unprotected, payload, signature = cbor2.loads(sealed).value
    parts = [cbor2.dumps(part) for part in (protected, unprotected, payload, signature)]
    longer = [
        b"\x58" + bytes([len(protected)]) + protected,
        b"\xb8\x00",
        b"\x59" + len(payload).to_bytes(2, "big") + payload,
        b"\x5a" + len(signature).to_bytes(4, "big") + signature,
    ]
    made = [b"\xd2\x84" + b"".join([*parts[:at], longer[at], *parts[at + 1 :]]) for at in range(4)]
    return [*made, b"\xd2\x98\x04" + b"".join(parts), b"\xd8\x12\x84" + b"".join(parts)]


@pytest.mark.parametrize("which", range(6))
def test_a_message_has_no_second_encoding_and_so_no_second_name(which: int) -> None:
    sealed = signing.seal(b"payload", AT, KEY)
    longer = _longer_heads(sealed)[which]
    assert cbor2.loads(longer) == cbor2.loads(sealed)
    with pytest.raises(MalformedError) as refused:
        _open(longer)
    assert refused.value.reason is Reason.MALFORMED


def test_the_signature_is_checked_before_purpose_party_and_revocation() -> None:
    for name in ("other-gateway", "revoked-gateway", "cloud-ack"):
        sealed = bytearray(signing.seal(b"payload", AT, PARTIES[name].key))
        sealed[-1] ^= 1
        with pytest.raises(UntrustedError) as refused:
            _open(bytes(sealed))
        assert refused.value.reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        ("stranger", Reason.UNKNOWN_KEY),
        ("cloud-ack", Reason.WRONG_PURPOSE),
        ("integrator", Reason.WRONG_PURPOSE),
        ("other-gateway", Reason.WRONG_PARTY),
        ("revoked-gateway", Reason.REVOKED_KEY),
    ],
)
def test_who_may_not_sign_is_refused_by_reason(signer: str, reason: Reason) -> None:
    with pytest.raises(UntrustedError) as refused:
        _open(signing.seal(b"payload", AT, PARTIES[signer].key))
    assert refused.value.reason is reason
