"""Prepaid accounts in the database."""
