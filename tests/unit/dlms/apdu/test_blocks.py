import pytest

from dlms.apdu.codec import decode_apdu, encode_apdu
from dlms.apdu.services import GeneralBlockTransfer
from dlms.errors import DecodeError

EXAMPLES = {
    "E0 01 0001 0000 02 C401": GeneralBlockTransfer(
        is_last=False, is_streaming=False, window=1, block=1, block_acknowledged=0, part=b"\xc4\x01"
    ),
    "E0 43 0002 0001 00": GeneralBlockTransfer(
        is_last=False, is_streaming=True, window=3, block=2, block_acknowledged=1, part=b""
    ),
    "E0 BF FFFF FFFE 01 00": GeneralBlockTransfer(
        is_last=True, is_streaming=False, window=63, block=0xFFFF, block_acknowledged=0xFFFE, part=b"\x00"
    ),
}


@pytest.mark.parametrize("encoded", EXAMPLES)
def test_block_control_is_last_streaming_and_window(encoded: str) -> None:
    assert decode_apdu(bytes.fromhex(encoded)) == EXAMPLES[encoded]
    assert encode_apdu(EXAMPLES[encoded]) == bytes.fromhex(encoded)


@pytest.mark.parametrize(
    "encoded", ["E0", "E0 80 0001 00", "E0 80 0001 0000", "E0 80 0001 0000 02 00", "E0 80 0001 0000 00 00"]
)
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_apdu(bytes.fromhex(encoded))
