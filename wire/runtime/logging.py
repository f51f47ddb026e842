"""How every process logs: one line of JSON for machines, a readable one on a terminal.

Text of peers is never trusted: every string value is escaped and cut before it is rendered, so that nobody writes
lines of ours or fills a disk with one message. What is worth a line is decided where it happens.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from wire.runtime.clock import Clock

TEXT_CHARACTERS_MAX = 300
"""Longest string value of a line."""
BYTES_SHOWN_MAX = 32
"""Bytes of a binary value that are shown, in hexadecimal."""


def set_up_logging(
    *, clock: Clock, level: str = "info", stream: TextIO | None = None, is_json: bool | None = None
) -> None:
    """Make structlog, and the standard library's logging of others, write to one stream in one form.

    Args:
        clock: Where the time of a line comes from.
        level: Least level written: debug, info, warning or error.
        stream: Standard error if None.
        is_json: None for JSON unless the stream is a terminal.
    """
    out = sys.stderr if stream is None else stream
    as_json = not out.isatty() if is_json is None else is_json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    finish: Sequence[structlog.typing.Processor] = (
        (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
        if as_json
        else (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp(clock),
            cap_values,
            *finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=max(threshold, logging.WARNING), force=True)


def printable(text: str, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """Return `text` on one line, without control characters, cut to `characters_max`."""
    kept = text[:characters_max]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)
    cut_count = len(text) - characters_max
    return kept if cut_count <= 0 else f"{kept}… ({cut_count} more)"


def cap_values(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Make every value safe to render; a structlog processor."""
    return {key: value if key == "exc_info" else _capped(value) for key, value in event_dict.items()}


def _capped(value: object) -> object:
    match value:
        case bool() | int() | float() | None:
            return value
        case str():
            return printable(value)
        case bytes() | bytearray() | memoryview():
            data = bytes(value)
            return data[:BYTES_SHOWN_MAX].hex() + (f"… ({len(data)} bytes)" if len(data) > BYTES_SHOWN_MAX else "")
        case Mapping():
            return {printable(str(key)): _capped(item) for key, item in value.items()}
        case list() | tuple():
            return [_capped(item) for item in value]
        case _:
            return printable(str(value))


def _stamp(clock: Clock) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def stamp(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        at = datetime.fromtimestamp(clock.wall_ms() / 1_000, UTC)
        event_dict["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return event_dict

    return stamp


class _Bridge(logging.Handler):
    """Passes what libraries log on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        emit = logger.error if record.levelno >= logging.ERROR else logger.warning
        emit("library.logged", library=record.name, text=record.getMessage(), exc_info=record.exc_info or None)
