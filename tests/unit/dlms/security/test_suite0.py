import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dlms.errors import AuthenticationError, DecodeError, SecurityError
from dlms.security.suite0 import AUTHENTICATED, ENCRYPTED, PROTECTED, Suite0, checked_control

KEY = bytes(range(16))
AUTHENTICATION_KEY = bytes(range(0xD0, 0xE0))
VECTOR = bytes.fromhex("4D4D4D0000BC614E01234567")
PLAIN = bytes.fromhex("C0010000080000010000FF0200")


@pytest.mark.parametrize("control", [AUTHENTICATED, ENCRYPTED, PROTECTED, PROTECTED | 1])
def test_what_is_sealed_opens_again(control: int) -> None:
    suite = Suite0(KEY, AUTHENTICATION_KEY)
    for length in (1, 15, 16, 17, 300):
        plain = bytes(range(256)) * 2
        assert suite.open(control, VECTOR, suite.seal(control, VECTOR, plain[:length])) == plain[:length]


def test_sealing_is_aes_gcm_with_a_shorter_tag() -> None:
    sealed = AESGCM(KEY).encrypt(VECTOR, PLAIN, b"\x30" + AUTHENTICATION_KEY)
    assert Suite0(KEY, AUTHENTICATION_KEY).seal(PROTECTED, VECTOR, PLAIN) == sealed[:-4]


@pytest.mark.parametrize(
    ("key", "vector", "plain", "additional", "text", "tag"),
    [
        ("00" * 16, "00" * 12, "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        ("00" * 16, "00" * 12, "00" * 16, "", "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"),
        (
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            (
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
            ),
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            (
                "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            ),
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
    ],
    ids=["nothing", "zeros", "additional-data"],
)
def test_the_library_computes_the_vectors_of_the_gcm_specification(
    key: str, vector: str, plain: str, additional: str, text: str, tag: str
) -> None:
    sealed = AESGCM(bytes.fromhex(key)).encrypt(
        bytes.fromhex(vector), bytes.fromhex(plain), bytes.fromhex(additional) or None
    )
    assert sealed.hex() == text + tag


def test_encryption_alone_gives_the_text_of_the_gcm_specification() -> None:
    suite = Suite0(bytes(16), AUTHENTICATION_KEY)
    assert suite.seal(ENCRYPTED, bytes(12), bytes(16)).hex() == "0388dace60b6a392f328c2b971b2fe78"


@pytest.mark.parametrize("control", [AUTHENTICATED, PROTECTED])
def test_any_changed_bit_is_found(control: int) -> None:
    suite = Suite0(KEY, AUTHENTICATION_KEY)
    sealed = suite.seal(control, VECTOR, PLAIN)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            suite.open(control, VECTOR, bytes(changed))


def test_another_key_vector_or_control_byte_does_not_open() -> None:
    sealed = Suite0(KEY, AUTHENTICATION_KEY).seal(PROTECTED, VECTOR, PLAIN)
    for suite in (Suite0(bytes(16), AUTHENTICATION_KEY), Suite0(KEY, bytes(16))):
        with pytest.raises(AuthenticationError):
            suite.open(PROTECTED, VECTOR, sealed)
    suite = Suite0(KEY, AUTHENTICATION_KEY)
    with pytest.raises(AuthenticationError):
        suite.open(PROTECTED, VECTOR[:-1] + b"\x00", sealed)
    with pytest.raises(AuthenticationError):
        suite.open(AUTHENTICATED, VECTOR, sealed)


@pytest.mark.parametrize("length", range(12))
def test_a_body_shorter_than_a_tag_is_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        Suite0(KEY, AUTHENTICATION_KEY).open(PROTECTED, VECTOR, bytes(length))


def test_suite_1_has_the_same_cipher_and_another_control_byte() -> None:
    suite = Suite0(KEY, AUTHENTICATION_KEY)
    assert checked_control(PROTECTED | 1) == PROTECTED | 1
    sealed = AESGCM(KEY).encrypt(VECTOR, PLAIN, b"\x31" + AUTHENTICATION_KEY)
    assert suite.seal(PROTECTED | 1, VECTOR, PLAIN) == sealed[:-4]
    with pytest.raises(AuthenticationError):
        suite.open(PROTECTED, VECTOR, sealed[:-4])


@pytest.mark.parametrize("control", [0xB0, 0x32, 0x3F, -1, 0x130, 0x131])
def test_compression_and_other_suites_are_refused(control: int) -> None:
    with pytest.raises(SecurityError):
        checked_control(control)
