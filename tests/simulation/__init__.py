"""Seeded worlds on virtual time: the real cores over real databases, and everything between them going wrong."""
