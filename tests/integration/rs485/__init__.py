"""One slow serial line with many meters on it."""
