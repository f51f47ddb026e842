"""The tables of the cloud, for SQLite and PostgreSQL alike; a module a room.

Every row belongs to a utility. Rooms meet through committed rows of `message` and cursors over them: `tx` with `id`
orders messages so that none becomes visible behind a cursor (on PostgreSQL ids are given out before they commit;
SQLite has one writer and `tx` is 0).
"""

from cloud.schema.commands import client, command, effect_version, request, status_outbox
from cloud.schema.common import metadata
from cloud.schema.headend import (
    assignment,
    boot_message,
    down_fact,
    event,
    gateway,
    health,
    message,
    meter_event,
    receipt,
    refusal,
)
from cloud.schema.installation import cursor, key, restore, setting
from cloud.schema.meterdata import boot_clock, changed_day, latest, meter_day, quarantined_row, reread, waiting_boot
from cloud.schema.monitoring import handler, place, sample, survey
from cloud.schema.prepaid import account, entry, posting

__all__ = [
    "account",
    "assignment",
    "boot_clock",
    "boot_message",
    "changed_day",
    "client",
    "command",
    "cursor",
    "down_fact",
    "effect_version",
    "entry",
    "event",
    "gateway",
    "handler",
    "health",
    "key",
    "latest",
    "message",
    "metadata",
    "meter_day",
    "meter_event",
    "place",
    "posting",
    "quarantined_row",
    "receipt",
    "refusal",
    "request",
    "reread",
    "restore",
    "sample",
    "setting",
    "status_outbox",
    "survey",
    "waiting_boot",
]
