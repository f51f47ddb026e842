"""The FCS of ISO/IEC 13239 as its polynomial has it, one bit at a time: the oracle of the quick one."""


def bitwise_fcs(data: bytes) -> bytes:
    """Return the two bytes of the check sequence in the order in which they are sent."""
    register = 0xFFFF
    for byte in data:
        for place in range(8):
            carry = (register ^ byte >> place) & 1
            register = register >> 1 ^ (0x8408 if carry else 0)
    return (register ^ 0xFFFF).to_bytes(2, "little")
