"""Lines for machines and people, with the time we were given and nothing a peer could abuse."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from wire.runtime.logging import TEXT_CHARACTERS_MAX, printable, set_up_logging


@dataclass(frozen=True)
class FixedClock:
    """A clock that stands still."""

    now_ms: int = 1_700_000_000_123

    def monotonic_ms(self) -> int:
        return self.now_ms

    def tick_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(*, level: str = "info", is_json: bool | None = None, stream: io.StringIO | None = None) -> io.StringIO:
    out = stream or io.StringIO()
    set_up_logging(clock=FixedClock(), level=level, stream=out, is_json=is_json)
    return out


def only_line(out: io.StringIO) -> dict[str, Any]:
    (line,) = out.getvalue().splitlines()
    decoded: dict[str, Any] = json.loads(line)
    return decoded


def test_off_a_terminal_a_line_is_json_with_the_clocks_time() -> None:
    out = logged()
    with structlog.contextvars.bound_contextvars(gateway_id="gw-1"):
        structlog.get_logger().info("batch.stored", rows=250)
    assert only_line(out) == {
        "event": "batch.stored",
        "level": "info",
        "rows": 250,
        "gateway_id": "gw-1",
        "timestamp": "2023-11-14T22:13:20.123Z",
    }


def test_on_a_terminal_a_line_is_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = logged(stream=Terminal())
    structlog.get_logger().info("batch.stored", rows=250)
    assert "batch.stored" in out.getvalue()
    assert not out.getvalue().startswith("{")


@pytest.mark.parametrize("is_json", [True, False])
def test_text_of_a_peer_stays_on_its_line_and_is_cut(*, is_json: bool) -> None:
    out = logged(is_json=is_json)
    structlog.get_logger().warning(
        "peer.said", text="a\nlevel=error\x1b[2J\u202e" + "x" * 10_000, nested={"k\n": ["b\r", b"\x00" * 100]}
    )
    (line,) = out.getvalue().splitlines()
    assert "\\nlevel=error\\x1b[2J" in line.replace("\\\\", "\\")
    assert "\u202e" not in line
    assert len(line) < TEXT_CHARACTERS_MAX + 500


def test_below_the_level_nothing_is_written() -> None:
    out = logged(level="warning")
    structlog.get_logger().info("batch.stored")
    assert not out.getvalue()


def test_what_libraries_log_takes_the_same_road() -> None:
    out = logged()
    logging.getLogger("somebody").warning("odd\npacket %d", 7)
    line = only_line(out)
    assert (line["event"], line["library"], line["text"]) == ("library.logged", "somebody", "odd\\npacket 7")


def test_an_error_is_written_with_its_trace() -> None:
    out = logged()
    try:
        int("gone")
    except ValueError:
        structlog.get_logger().exception("store.failed")
    assert "ValueError: invalid literal" in only_line(out)["exception"]


@pytest.mark.parametrize(
    ("text", "shown"), [("plain", "plain"), ("a\tb", "a\\tb"), ("é", "é"), ("\ud800", "\\ud800"), ("", "")]
)
def test_printable_keeps_letters_and_escapes_the_rest(text: str, shown: str) -> None:
    assert printable(text) == shown
