"""Silences as a file: what is not told while it lasts, and why.

Grafana gives silences ids of its own and keeps none of ours, so a silence is known again by its name, which opens its
comment.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wire.runtime.errors import ConfigError

CREATED_BY: Final = "wattpost dashboards"
_KEYS: Final = frozenset({"comment", "starts_at", "ends_at", "matchers"})
_MATCHER = re.compile(r"^(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<operator>=~|!~|!=|=)(?P<value>.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """One silence."""

    name: str
    comment: str
    starts_at: datetime
    ends_at: datetime
    matchers: tuple[dict[str, Any], ...]
    """As the Alertmanager API has them."""

    @property
    def mark(self) -> str:
        """Return what its comment begins with in Grafana."""
        return f"{self.name}: "

    def body(self) -> dict[str, Any]:
        """Return what is posted."""
        return {
            "comment": f"{self.mark}{self.comment}",
            "createdBy": CREATED_BY,
            "startsAt": _stamp(self.starts_at),
            "endsAt": _stamp(self.ends_at),
            "matchers": list(self.matchers),
        }


def load(path: Path) -> tuple[Silence, ...]:
    """Return the silences of a file.

    Raises:
        ConfigError: It cannot be read or says something that is no silence.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(str(path), str(exc.strerror), "name a file that can be read") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), f"it is no TOML: {exc}", "look at the line it names") from exc
    return tuple(_silence(path, name, entry) for name, entry in document.items())


def _silence(path: Path, name: str, entry: object) -> Silence:
    where = f"{path}: [{name}]"
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ConfigError(where, "these are not the keys of a silence", f"it has {', '.join(sorted(_KEYS))}")
    starts_at, ends_at, matchers = entry["starts_at"], entry["ends_at"], entry["matchers"]
    if not isinstance(starts_at, datetime) or not isinstance(ends_at, datetime) or starts_at.tzinfo is None:
        raise ConfigError(where, "an end of it is no instant", "write 2026-11-23T06:00:00Z, with the Z or an offset")
    if ends_at.tzinfo is None or ends_at <= starts_at:
        raise ConfigError(
            where, "it does not end after it starts", "write ends_at later than starts_at, with an offset"
        )
    if not isinstance(matchers, list) or not matchers:
        raise ConfigError(where, "it matches nothing", 'write matchers = ["gateway=gw-0001"]')
    return Silence(
        name=name,
        comment=str(entry["comment"]),
        starts_at=starts_at,
        ends_at=ends_at,
        matchers=tuple(_matcher(where, matcher) for matcher in matchers),
    )


def _matcher(where: str, text: object) -> dict[str, Any]:
    match = _MATCHER.match(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigError(
            where, f"{text!r} is no matcher", "write label=value, label=~regex, label!=value or label!~regex"
        )
    operator = match["operator"]
    return {
        "name": match["name"],
        "value": match["value"],
        "isRegex": "~" in operator,
        "isEqual": not operator.startswith("!"),
    }


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
