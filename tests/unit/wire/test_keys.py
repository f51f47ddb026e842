import hashlib

import pytest

from wire.keys import PinnedKeys, PublicKey, Purpose, SigningKey, kid_of

SEED = bytes(range(32))


def _key() -> SigningKey:
    return SigningKey(SEED, purpose=Purpose.GATEWAY, party="gw-1")


def test_key_id_is_the_head_of_the_digest_of_the_public_key() -> None:
    public = _key().public.public
    assert _key().kid == kid_of(public) == hashlib.sha256(public).digest()[:8]


def test_signature_holds_for_the_message_alone() -> None:
    signature = _key().sign(b"message")
    assert len(signature) == 64
    assert _key().public.verifies(b"message", signature)
    assert not _key().public.verifies(b"messagf", signature)
    assert not _key().public.verifies(b"message", signature[:-1] + bytes([signature[-1] ^ 1]))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_signature_of_another_length_does_not_hold(length: int) -> None:
    assert not _key().public.verifies(b"message", bytes(length))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_nothing_holds_under_a_public_key_of_another_length(length: int) -> None:
    assert not PublicKey(Purpose.GATEWAY, "gw-1", bytes(length)).verifies(b"message", _key().sign(b"message"))


def test_signature_with_a_scalar_beyond_the_group_order_does_not_hold() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = _key().sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not _key().public.verifies(b"message", signature[:32] + scalar.to_bytes(32, "little"))


def test_private_key_does_not_show_in_repr() -> None:
    assert SEED.hex() not in repr(_key())
    assert repr(SEED) not in repr(_key())


def test_registry_finds_keys_by_id_revoked_ones_included() -> None:
    revoked = PublicKey(Purpose.GATEWAY, "gw-2", bytes(32), revoked=True)
    keys = PinnedKeys([_key().public, revoked])
    assert keys.find(_key().kid) == _key().public
    assert keys.find(revoked.kid) is revoked
    assert keys.find(b"stranger") is None
