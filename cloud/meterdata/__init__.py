"""Meter data: compressed days of every meter, made from committed messages."""
