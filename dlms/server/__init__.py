"""The server side of an association."""
