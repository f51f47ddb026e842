"""Rows of profiles and entries of event logs, as far as they are asked for: each selection is one request.

Decides how a part of a buffer is named to a meter. Which part is wanted stands in the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dlms.apdu.conformance import Conformance
from dlms.apdu.results import DataAccessResult
from dlms.apdu.services import Selection
from dlms.axdr.values import Value
from dlms.cosem.attribute import AttributeRef
from dlms.cosem.codecs import VALUE
from dlms.cosem.profile_generic import ProfileGeneric, Row
from dlms.cosem.registers import DataObject
from dlms.errors import AccessRefusedError, DecodeError, RefusedError
from gateway.adapters.dlms.columns import captured_rows, log_entries, time_column
from gateway.adapters.dlms.conversation import Conversation
from gateway.adapters.dlms.learning import LearnedProfile, Learning
from gateway.core.acquisition import LogEntry, ReadLog
from gateway.core.coverage import Span
from gateway.core.dlms_profiles import CapturedProfile, EventLog
from wire.readings import CapturedRow, Channel

CLOCK_FIRST_S: Final = 946_684_800
"""2000: no meter has logged anything before, and some refuse earlier bounds."""
DAY_S: Final = 86_400
LOG_AHEAD_S: Final = 366 * DAY_S
"""How far a meter's clock may be ahead for its newest log entries to be found."""
ENTRIES_ASKED_MAX: Final = 100
"""Of an event log in one request by number."""
_NO_SELECTION: Final = frozenset(
    {DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, DataAccessResult.TYPE_UNMATCHED, DataAccessResult.OTHER_REASON}
)


@dataclass(frozen=True, slots=True)
class Block:
    """Part of a profile."""

    period_s: int
    channels: tuple[Channel, ...]
    rows: tuple[CapturedRow, ...]


async def read_period(talk: Conversation, profile: bytes) -> int:
    """Return the capture period as the meter says now; 0 where it does not say."""
    period = await talk.get(ProfileGeneric(profile).capture_period.using(VALUE))
    return period if isinstance(period, int) and period > 0 else 0


async def read_span(
    talk: Conversation, learning: Learning, item: CapturedProfile, span: Span, *, period_s: int
) -> Block:
    """Return the rows of a profile within a span.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses, broke off, or gives what cannot be its rows.
    """
    try:
        return await _read_span(talk, learning, item, span, period_s=period_s)
    except DecodeError:
        if not talk.is_open:
            raise
        # Somebody may have given the profile other columns.
        await learning.forget_profile(talk.meter, item.name)
    return await _read_span(talk, learning, item, span, period_s=period_s)


async def _read_span(
    talk: Conversation, learning: Learning, item: CapturedProfile, span: Span, *, period_s: int
) -> Block:
    layout = await learning.profile(talk, item.name, item.scalers)
    # A billing profile has few rows: a meter that cannot select is asked for all of them.
    rows = await _rows_between(talk, learning, item.name, layout, span, period_s=period_s, or_all=not item.period_s)
    channels, captured = captured_rows(layout.columns, rows, await learning.time(talk))
    return Block(period_s, channels, captured)


async def _rows_between(
    talk: Conversation,
    learning: Learning,
    name: bytes,
    layout: LearnedProfile,
    span: Span,
    *,
    period_s: int,
    or_all: bool,
) -> Sequence[Row]:
    selection = await _between(talk, learning, name, layout, span)
    step_s = -period_s if layout.newest_first else period_s
    buffer = ProfileGeneric(name).rows(layout.captures, capture_period_s=step_s)
    if not talk.grants(Conformance.SELECTIVE_ACCESS):
        if not or_all:
            raise AccessRefusedError("the meter did not grant selective access", result=_SCOPE)
        return await talk.get(buffer)
    try:
        return await talk.get(buffer, selection)
    except AccessRefusedError as refusal:
        if not or_all or refusal.result not in _NO_SELECTION:
            raise
    return await talk.get(buffer)


_SCOPE: Final = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


async def _between(
    talk: Conversation, learning: Learning, name: bytes, layout: LearnedProfile, span: Span
) -> Selection:
    at = time_column(layout.columns)
    if at is None:
        raise DecodeError("a profile without a column that says when a row was captured")
    time = await learning.time(talk)
    first, last = time.moment(span.first_s * 1_000), time.moment(span.last_s * 1_000)
    return ProfileGeneric(name).by_range(layout.captures[at], first, last)


def sequence_of(log: EventLog) -> AttributeRef[Value] | None:
    """Return where the sequence number of a log stands; None if it has none."""
    return None if log.sequence is None else DataObject(log.sequence).value.using(VALUE)


async def read_log(
    talk: Conversation, learning: Learning, log: EventLog, task: ReadLog, *, sequence: int | None, wall_s: int
) -> tuple[LogEntry, ...]:
    """Return the entries of a log that are not known, and perhaps some that are.

    Args:
        talk: With the meter.
        learning: For its columns.
        log: The log.
        task: What is known.
        sequence: The log's sequence number now; None if it has none.
        wall_s: Unix seconds as far as this machine knows.

    Raises:
        LineDownError: The line broke.
        DlmsError: The meter refuses, broke off, or gives what cannot be its entries.
    """
    layout = await learning.profile(talk, log.log, log.scalers)
    rows: Sequence[Row] | None = None
    if sequence is not None and task.known_sequence is not None and sequence > task.known_sequence:
        rows = await _newest(talk, log.log, layout, sequence - task.known_sequence)
    if rows is None:
        until_s = max(task.known_s, wall_s) + LOG_AHEAD_S
        span = Span(max(task.known_s, CLOCK_FIRST_S), until_s)
        rows = await _rows_between(talk, learning, log.log, layout, span, period_s=0, or_all=True)
    entries = log_entries(layout.columns, rows, await learning.time(talk), code=bytes(_code_name(log)))
    return tuple(reversed(entries)) if layout.newest_first else entries


async def _newest(talk: Conversation, name: bytes, layout: LearnedProfile, count: int) -> Sequence[Row] | None:
    """Return the newest entries by their number; None if the meter cannot select so."""
    thing = ProfileGeneric(name)
    if not talk.grants(Conformance.SELECTIVE_ACCESS):
        return None
    first, last = 1, min(count, ENTRIES_ASKED_MAX)
    try:
        if not layout.newest_first:
            in_use = await talk.get(thing.entries_in_use)
            first, last = max(in_use - min(count, ENTRIES_ASKED_MAX) + 1, 1), 0
        return await talk.get(thing.rows(layout.captures), thing.by_entry(first, last))
    except RefusedError:
        if not talk.is_open:
            raise
        return None


def _code_name(log: EventLog) -> bytes:
    return DataObject(log.code).name
