import pytest

from cloud.monitoring.core.catalogue import MEASUREMENTS, Retention
from cloud.monitoring.core.points import UncataloguedError, point, quoted, retention_of

TAGS = {"effect": "relay", "gateway": "gw-1", "state": "failed", "utility": "demo"}


def test_a_point_is_a_line_with_its_tags_in_order_and_without_what_is_not_known() -> None:
    shuffled = dict(reversed(TAGS.items()))
    line = point("command", shuffled, {"count": 2, "latency_p50_ms": None, "detail": 'no "answer"'}, utc_ms=5)
    assert line == 'command,effect=relay,gateway=gw-1,state=failed,utility=demo count=2.0,detail="no \\"answer\\"" 5'


def test_a_point_without_any_value_is_none() -> None:
    assert point("command", TAGS, {"count": None}, utc_ms=5) is None


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        (TAGS | {"meter": "m-1"}, {"count": 1}),
        ({"utility": "demo"}, {"count": 1}),
        (TAGS, {"amount": 1}),
        (TAGS, {"count": "one"}),
        (TAGS, {"detail": 1}),
    ],
)
def test_what_is_not_in_the_catalogue_is_no_point(tags: dict[str, str], fields: dict[str, float | str]) -> None:
    with pytest.raises(UncataloguedError):
        point("command", tags, fields, utc_ms=5)


def test_a_line_stays_as_long_as_its_measurement_says() -> None:
    assert retention_of("reading,gateway=g,meter=m,utility=u flagged=1.0 1") is Retention.DETAIL
    assert retention_of("command,effect=relay count=1.0 1") is Retention.HISTORY


def test_text_is_one_bounded_line_whatever_a_peer_wrote() -> None:
    assert quoted('a\n"b"\\') == '"a \\"b\\"\\\\"'
    assert len(quoted("x" * 1_000)) == 202


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda measurement: measurement.name)
def test_every_measurement_is_of_a_utility_and_names_its_tags_in_order(measurement: object) -> None:
    tags = measurement.tags  # type: ignore[attr-defined]
    assert list(tags) == sorted(tags)
    assert "utility" in tags
