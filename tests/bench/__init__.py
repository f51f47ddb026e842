"""Measurements: each prints a ratio against a baseline of the same run; nothing here passes or fails."""
