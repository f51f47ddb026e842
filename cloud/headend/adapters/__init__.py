"""The head-end at its edges: tables and messages."""
