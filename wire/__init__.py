"""The contract: everything that crosses between processes, as bytes and as types; pure but for `wire.runtime`."""
