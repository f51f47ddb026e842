import pytest

from dlms.errors import SecurityError
from dlms.security.system_title import checked_title, flag_letters, system_title


def test_a_title_is_made_of_letters_and_number() -> None:
    title = system_title("MMM", 0x00BC614E)
    assert title.hex().upper() == "4D4D4D0000BC614E"
    assert checked_title(title) == title
    assert flag_letters(title) == "MMM"


@pytest.mark.parametrize(
    ("flag", "serial"), [("mmm", 1), ("MM", 1), ("MM1", 1), ("ÄÖÜ", 1), ("MMM", -1), ("MMM", 1 << 40)]
)
def test_what_is_no_title_is_not_made(flag: str, serial: int) -> None:
    with pytest.raises(SecurityError):
        system_title(flag, serial)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_a_title_has_eight_bytes(length: int) -> None:
    with pytest.raises(SecurityError):
        checked_title(bytes(length))


@pytest.mark.parametrize("title", [b"", bytes(8), b"M1M00000"])
def test_a_title_without_letters_names_no_manufacturer(title: bytes) -> None:
    assert flag_letters(title) is None
