"""A-XDR: the data types of COSEM as bytes, and back."""
