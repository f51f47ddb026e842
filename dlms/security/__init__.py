"""Security suite 0: ciphering of APDUs, authentication of both sides, invocation counters."""
