"""Shelves for programs that run no station: one on the gateway's own disk, and one that stays empty."""

import asyncio

from gateway.adapters.sqlite_store import SqliteStore


class DiskShelf:
    """A `gateway.ports.Shelf` on the store of a gateway that does not run."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def kept(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._store.value, name)

    async def keep(self, name: str, value: bytes) -> None:
        await asyncio.to_thread(self._put, name, value)

    def _put(self, name: str, value: bytes) -> None:
        with self._store.transaction():
            self._store.set_value(name, value)


class EmptyShelf:
    """A `gateway.ports.Shelf` for whoever speaks to no meter."""

    async def kept(self, name: str) -> bytes | None:  # noqa: ARG002 - the port's
        return None

    async def keep(self, name: str, value: bytes) -> None:
        raise AssertionError(f"{len(value)} bytes of {name} would be lost")
