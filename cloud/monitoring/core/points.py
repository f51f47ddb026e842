"""Points of the catalogue as line protocol, for everything that is not written by the thousand (`lines` does that)."""

from collections.abc import Mapping

from cloud.monitoring.core.catalogue import BY_NAME, Measurement, Retention

TEXT_CHARS_MAX = 200


class UncataloguedError(AssertionError):
    """Raised when a point has a tag or a field that its measurement does not have."""


def point(
    measurement: str, tags: Mapping[str, str], fields: Mapping[str, float | str | None], *, utc_ms: int
) -> str | None:
    """Return a point as a line; None if no field has a value.

    Args:
        measurement: Of the catalogue.
        tags: All of the measurement's; values are names or words, which need no escaping.
        fields: Those that have a value; None is left out.
        utc_ms: When.

    Raises:
        UncataloguedError: It does not fit the catalogue.
    """
    shape = BY_NAME[measurement]
    _check(shape, tags, fields)
    told = ",".join(f"{name}={_encoded(value)}" for name, value in fields.items() if value is not None)
    if not told:
        return None
    labels = ",".join(f"{name}={tags[name]}" for name in sorted(tags))
    return f"{measurement},{labels} {told} {utc_ms}"


def retention_of(line: str) -> Retention:
    """Return how long a line's point stays.

    Raises:
        KeyError: The catalogue does not have it.
    """
    return BY_NAME[line.partition(",")[0]].retention


def quoted(text: str) -> str:
    """Return text as a field's value: one line, bounded, escaped."""
    escaped = text[:TEXT_CHARS_MAX].replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else " " for char in escaped) + '"'


def _encoded(value: float | str) -> str:
    return quoted(value) if isinstance(value, str) else repr(float(value))


def _check(shape: Measurement, tags: Mapping[str, str], fields: Mapping[str, float | str | None]) -> None:
    wrong = set(shape.tags) - set(tags) or set(tags) - {*shape.tags, *shape.tags_sometimes}
    if wrong:
        raise UncataloguedError(f"{shape.name}: tags {sorted(tags)} are not {shape.tags}")
    for name, value in fields.items():
        known = shape.fields.get(name)
        if known is None or (value is not None and isinstance(value, str) is not known.is_text):
            raise UncataloguedError(f"{shape.name}: field {name}={value!r} is not in the catalogue")
