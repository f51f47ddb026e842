"""What a measurement is: its tags, its fields, how long its points stay, what there is a series of.

Which there are is said by the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Retention(StrEnum):
    """How long points stay; the name is that of the retention policy."""

    DETAIL = "detail"
    """Weeks: what operators look into."""
    HISTORY = "history"
    """Years: what is compared with last year."""


class Of(StrEnum):
    """What there is one series of; with `per`, a series for each of those too."""

    UTILITY = "utility"
    HANDLER = "handler"
    GATEWAY = "gateway"
    LINE = "line"
    METER = "meter"


@dataclass(frozen=True, slots=True)
class Field:
    """A field; numbers are floats, since a server fixes a field's type with its first write."""

    unit: str
    """As people write it; empty for a count or a yes (1) or no (0)."""
    about: str
    is_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measurement, its shape and its size."""

    name: str
    about: str
    retention: Retention
    of: Of
    tags: tuple[str, ...]
    """Those that every point has, in alphabetical order; the names of things, or words of a short list."""
    tags_sometimes: tuple[str, ...] = ()
    per: str = ""
    """The tag of which each thing has several series; empty where it has one."""
    per_count: float = 1
    """How many, in an installation as the sizes are computed for."""
    points_a_day: float
    """Of a series, in the same installation."""
    fields: Mapping[str, Field] = field(default_factory=dict)
    has_channels: bool = False
    """Whether channels of meters are fields too (`fields.field_name`)."""
