"""Two handlers of commands on one database: a request runs once, and versions differ."""

import asyncio

import sqlalchemy as sa

from cloud import schema
from cloud.commands.adapters.clients import set_scope
from cloud.commands.adapters.issuing import take_request
from cloud.database import Database, open_database
from cloud.headend.core.admission import AdmittedRequest
from cloud.migrations import require_current
from tests.rig.reporting import UTILITY, assign
from wire.keys import Purpose, SigningKey
from wire.messages import Disconnect, Request

KEY = SigningKey(bytes([2]) * 32, purpose=Purpose.CLOUD_COMMAND, party="cloud")
NOW_MS = 1_790_000_000_000


async def ask(database: Database, number: int) -> None:
    request = Request(
        id=number.to_bytes(16),
        issued_at_ms=NOW_MS,
        not_after_ms=NOW_MS + 60_000,
        meters=["m1"],
        effect=Disconnect(),
    )
    admitted = AdmittedRequest(utility=UTILITY, client="billing", request=request, sealed=b"as signed")
    await database.transact(lambda connection: take_request(connection, admitted, KEY, now_ms=NOW_MS))


async def versions_after(database_url: str, *numbers: int) -> list[int]:
    """Return the versions of all commands, once two handlers got each of these requests at the same time."""
    async with open_database(database_url) as one, open_database(database_url) as other:
        await require_current(one)

        def settle(connection: sa.Connection) -> None:
            assign(connection, "m1", "gw1")
            set_scope(connection, UTILITY, "billing", effects="disconnect", meters="*")

        await one.transact(settle)
        await asyncio.gather(*(ask(database, number) for number in numbers for database in (one, other)))
        query = sa.select(schema.command.c.version).order_by(schema.command.c.version)
        return await one.transact(lambda connection: list(connection.execute(query).scalars()))


async def test_a_request_that_two_handlers_get_is_carried_out_once(database_url: str) -> None:
    assert len(await versions_after(database_url, 1)) == 1


async def test_no_two_commands_of_a_meter_have_the_same_version(database_url: str) -> None:
    versions = await versions_after(database_url, *range(10))
    assert versions == list(range(versions[0], versions[0] + 10))
