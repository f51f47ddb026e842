"""Seeded worlds on virtual time for `dlms/`: real clients and real servers, and bad lines between them."""
