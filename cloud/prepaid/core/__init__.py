"""When accounts are closed, decided without a database."""
