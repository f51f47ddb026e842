import dataclasses
import hashlib

import hypothesis
import pytest
from hypothesis import strategies as st

from dlms.apdu.acse import Mechanism
from dlms.errors import AuthenticationError, SecurityError
from dlms.security.authentication import Credentials, answer, check, check_challenges, check_password
from dlms.security.counters import ReservedCounter
from dlms.security.keys import Keys

KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
CLIENT_TITLE = bytes.fromhex("4D4D4D0000000001")
SERVER_TITLE = bytes.fromhex("4D4D4D0000BC614E")
CLIENT_CHALLENGE = b"K56iVagY"
SERVER_CHALLENGE = b"P6wRJ21F"


def sides(mechanism: Mechanism, secret: bytes = b"a secret of HLS") -> tuple[Credentials, Credentials]:
    client = Credentials(mechanism, secret, KEYS, CLIENT_TITLE, SERVER_TITLE)
    return client, dataclasses.replace(client, own_title=SERVER_TITLE, peer_title=CLIENT_TITLE)


def counter(value: int = 1) -> ReservedCounter:
    return ReservedCounter(value, lambda _: None)


def test_gmac_is_that_of_the_green_book() -> None:
    client, server = sides(Mechanism.HIGH_GMAC)
    of_client = answer(client, SERVER_CHALLENGE, counters=counter(1))
    of_server = answer(server, CLIENT_CHALLENGE, counters=counter(0x01234567))
    assert of_client.hex().upper() == "10000000011A52FE7DD3E72748973C1E28"
    assert of_server.hex().upper() == "1001234567FE1466AFB3DBCD4F9389E2B7"
    check(server, of_client, SERVER_CHALLENGE)
    check(client, of_server, CLIENT_CHALLENGE)


@pytest.mark.parametrize(
    "mechanism",
    [Mechanism.HIGH, Mechanism.HIGH_MD5, Mechanism.HIGH_SHA1, Mechanism.HIGH_GMAC, Mechanism.HIGH_SHA256],
)
@hypothesis.given(
    secret=st.binary(min_size=1, max_size=40),
    ours=st.binary(min_size=8, max_size=64),
    theirs=st.binary(min_size=8, max_size=64),
    bit=st.integers(0, 127),
)
def test_each_side_convinces_the_other_and_no_other_answer_does(
    mechanism: Mechanism, secret: bytes, ours: bytes, theirs: bytes, bit: int
) -> None:
    client, server = sides(mechanism, secret)
    of_client = answer(client, theirs, own_challenge=ours, counters=counter())
    check(server, of_client, theirs, peer_challenge=ours)
    of_server = answer(server, ours, own_challenge=theirs, counters=counter())
    check(client, of_server, ours, peer_challenge=theirs)
    wrong = bytearray(of_client)
    wrong[bit // 8] ^= 1 << bit % 8
    for other in (bytes(wrong), b"", of_client[:-1], of_client + b"\x00"):
        with pytest.raises(AuthenticationError):
            check(server, other, theirs, peer_challenge=ours)


def test_the_digests_are_over_challenge_and_secret_in_the_order_of_the_standard() -> None:
    secret = b"secret"
    md5, sha1, sha256 = (
        answer(sides(mechanism, secret)[0], SERVER_CHALLENGE, own_challenge=CLIENT_CHALLENGE)
        for mechanism in (Mechanism.HIGH_MD5, Mechanism.HIGH_SHA1, Mechanism.HIGH_SHA256)
    )
    assert md5 == hashlib.md5(SERVER_CHALLENGE + secret).digest()
    assert sha1 == hashlib.sha1(SERVER_CHALLENGE + secret).digest()
    expected = secret + CLIENT_TITLE + SERVER_TITLE + SERVER_CHALLENGE + CLIENT_CHALLENGE
    assert sha256 == hashlib.sha256(expected).digest()


def test_mechanism_two_encrypts_the_challenge_with_the_secret() -> None:
    """The vector is that of FIPS 197, appendix C.1."""
    client, _ = sides(Mechanism.HIGH, bytes(range(16)))
    challenge = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert answer(client, challenge).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert answer(client, challenge * 2) == answer(client, challenge) * 2


def test_mechanism_two_fills_up_with_zeros_and_cuts_the_key() -> None:
    short, _ = sides(Mechanism.HIGH, b"short")
    filled, _ = sides(Mechanism.HIGH, b"short".ljust(16, b"\x00"))
    assert answer(short, b"challenge") == answer(filled, b"challenge".ljust(16, b"\x00"))
    long, _ = sides(Mechanism.HIGH, b"k" * 20)
    cut, server = sides(Mechanism.HIGH, b"k" * 16)
    challenge = b"c" * 16
    assert answer(long, challenge) == answer(cut, challenge) + answer(cut, bytes(16))
    _, server = sides(Mechanism.HIGH, b"k" * 20)
    check(server, answer(long, challenge), challenge)
    check(server, answer(cut, challenge), challenge)


def test_a_password_is_right_or_wrong() -> None:
    check_password(b"12345678", b"12345678")
    for given, expected in ((b"12345679", b"12345678"), (b"", b"12345678"), (b"", b""), (b"1", b"")):
        with pytest.raises(AuthenticationError):
            check_password(given, expected)


def test_our_own_challenge_is_not_taken_from_the_peer() -> None:
    check_challenges(CLIENT_CHALLENGE, SERVER_CHALLENGE)
    with pytest.raises(AuthenticationError, match="back"):
        check_challenges(CLIENT_CHALLENGE, CLIENT_CHALLENGE)


@pytest.mark.parametrize("length", [0, 7, 65])
def test_challenges_have_eight_to_sixty_four_bytes(length: int) -> None:
    with pytest.raises(AuthenticationError):
        check_challenges(CLIENT_CHALLENGE, bytes(length))


def test_what_is_missing_is_said_and_no_secret_is() -> None:
    client, _ = sides(Mechanism.HIGH_GMAC, b"geheimnis")
    for credentials, mechanism in (
        (dataclasses.replace(client, keys=None), Mechanism.HIGH_GMAC),
        (dataclasses.replace(client, peer_title=bytes(5)), Mechanism.HIGH_GMAC),
        (dataclasses.replace(client, secret=b""), Mechanism.HIGH),
        (client, Mechanism.HIGH_ECDSA),
        (client, Mechanism.LOW),
    ):
        with pytest.raises(SecurityError) as refusal:
            answer(dataclasses.replace(credentials, mechanism=mechanism), SERVER_CHALLENGE, counters=counter())
        assert "geheim" not in str(refusal.value)
    with pytest.raises(SecurityError, match="counter"):
        answer(client, SERVER_CHALLENGE)
    assert "geheim" not in repr(client)
