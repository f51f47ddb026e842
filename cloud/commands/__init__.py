"""Commands: what integrators ask for, what the cloud sends, and what became of it."""
