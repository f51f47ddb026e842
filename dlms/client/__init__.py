"""The client side of an association."""
