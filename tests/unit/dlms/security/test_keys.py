import dataclasses

import pytest

from dlms.errors import SecurityError
from dlms.security.keys import Keys

ENCRYPTION = bytes.fromhex("1A2B3C4D5E6F708192A3B4C5D6E7F809")
AUTHENTICATION = b"SixteenBytesLong"


def test_keys_show_themselves_to_nobody() -> None:
    keys = Keys(ENCRYPTION, AUTHENTICATION, broadcast=ENCRYPTION, dedicated=AUTHENTICATION)
    for text in (repr(keys), str(keys), f"{keys}", repr([keys]), repr({"keys": keys})):
        assert ENCRYPTION.hex() not in text.lower()
        assert "Sixteen" not in text
        assert repr(ENCRYPTION) not in text
    assert repr(keys) == "Keys(encryption, authentication, broadcast, dedicated)"


@pytest.mark.parametrize("name", ["encryption", "authentication", "broadcast", "dedicated"])
def test_a_key_of_another_length_is_refused_without_being_shown(name: str) -> None:
    keys = Keys(ENCRYPTION, AUTHENTICATION)
    with pytest.raises(SecurityError, match=name) as refusal:
        dataclasses.replace(keys, **{name: b"SecretOf17Bytes!!"})
    assert "SecretOf" not in str(refusal.value)
