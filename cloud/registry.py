"""The public keys of a utility, read from the database and looked at again when an unknown one shows up."""

from cloud.database import Database
from cloud.keys import load_registry
from wire.keys import PinnedKeys
from wire.runtime.clock import Clock

REFRESH_MS = 10_000
"""A revoked key stops counting after so long at the latest."""
ASK_AGAIN_MS = 500
"""Strangers cannot make us ask more often than this."""


class Registry:
    """Keeps a copy of the registry fresh."""

    def __init__(self, database: Database, utility: str, clock: Clock) -> None:
        self._database = database
        self._utility = utility
        self._clock = clock
        self._keys = PinnedKeys(())
        self._loaded_at_ms: int | None = None

    async def keys(self) -> PinnedKeys:
        """Return the keys, at most `REFRESH_MS` old.

        Raises:
            UnavailableError: The database is away.
        """
        if self._loaded_at_ms is None or self._clock.monotonic_ms() - self._loaded_at_ms >= REFRESH_MS:
            await self._load()
        return self._keys

    async def keys_anew(self) -> PinnedKeys | None:
        """Return the keys read anew because one was unknown, or None if they were read just before.

        Raises:
            UnavailableError: The database is away.
        """
        assert self._loaded_at_ms is not None, "keys() comes first"
        if self._clock.monotonic_ms() - self._loaded_at_ms < ASK_AGAIN_MS:
            return None
        await self._load()
        return self._keys

    async def _load(self) -> None:
        self._keys = await self._database.transact(lambda connection: load_registry(connection, self._utility))
        self._loaded_at_ms = self._clock.monotonic_ms()
