"""Where the core meets database, servers and terminals."""
