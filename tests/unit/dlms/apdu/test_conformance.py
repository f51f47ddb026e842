from dlms.apdu.conformance import CONFORMANCE_MASK, NOTHING, Conformance


def test_the_bits_of_the_standard_have_their_places() -> None:
    assert len(Conformance) == 24
    assert Conformance(CONFORMANCE_MASK) == ~NOTHING
    by_bit = {bit: Conformance(1 << 23 - bit).name for bit in range(24)}
    assert by_bit[1] == "GENERAL_PROTECTION"
    assert by_bit[2] == "GENERAL_BLOCK_TRANSFER"
    assert by_bit[9] == "PRIORITY_MANAGEMENT"
    assert by_bit[11] == "BLOCK_TRANSFER_WITH_GET"
    assert by_bit[14] == "MULTIPLE_REFERENCES"
    assert by_bit[16] == "DATA_NOTIFICATION"
    assert by_bit[19] == "GET"
    assert by_bit[23] == "ACTION"
