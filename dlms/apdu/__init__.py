"""Application PDUs: xDLMS services and ACSE, bytes to values and back."""
