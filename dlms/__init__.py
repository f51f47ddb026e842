"""DLMS/COSEM without I/O, clock or randomness: both sides of one codec, for anyone to take and use on its own."""
