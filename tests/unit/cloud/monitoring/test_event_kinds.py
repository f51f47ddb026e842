import re
from pathlib import Path

import pytest

from cloud.monitoring.core.event_kinds import KINDS, NONE, UNLISTED, EventKind, kind_of, tag_of

CODE = re.compile(r'"((?:[35])(?:\.[0-9]{1,3}){3})"')
SENDERS = [*Path("gateway").rglob("*.py"), *Path("gateway/profiles").glob("*.toml")]
SENT = {code for path in SENDERS for code in CODE.findall(path.read_text())}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("3.26.0.85", "power"),
        ("3.12.29.212", "tamper"),
        ("3.31.0.68", "relay"),
        ("3.20.8.150", "credit"),
        ("5.20.0.79", "credit"),
        ("3.36.116.24", "clock"),
        ("5.17.0.93", "gateway"),
        ("3.1.0.85", "communication"),
        ("3.26.38.150", "quality"),
        ("9.9.9.9", "other"),
        ("", "other"),
    ],
)
def test_a_code_is_of_a_kind(code: str, kind: str) -> None:
    assert kind_of(code) == kind


def test_every_code_that_a_gateway_of_ours_sends_has_a_kind() -> None:
    assert len(SENT) > 50
    assert {code for code in SENT if kind_of(code) is EventKind.OTHER} == set()


def test_tags_are_of_a_list_that_does_not_grow() -> None:
    assert {tag_of(code) for code in KINDS} == set(KINDS)
    assert (tag_of("3.26.999.999"), tag_of("")) == (UNLISTED, NONE)
    assert len(KINDS) < 250


def test_no_code_is_of_two_kinds() -> None:
    # Those of a meter stand once as type 3 and once as type 0.
    assert sum(code.startswith("3.") for code in KINDS) == sum(code.startswith("0.") for code in KINDS)
