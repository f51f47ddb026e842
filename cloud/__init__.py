"""The cloud: handlers that take facts in, send commands and credits down, and show what happens."""
