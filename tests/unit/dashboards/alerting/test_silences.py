"""The file of silences: what it says arrives as it says it, and what it cannot mean is named."""

from pathlib import Path

import pytest

from dashboards.alerting import silences
from wire.runtime.errors import ConfigError

WHOLE = """
[works]
comment = "feeder"
starts_at = 2026-11-23T09:00:00+03:00
ends_at = 2026-11-23T16:00:00Z
matchers = ["gateway=~gw-00[12].", "severity!=critical", "alertname=Gateway silent", "code!~3.12.*"]
"""


def load(tmp_path: Path, text: str) -> tuple[silences.Silence, ...]:
    path = tmp_path / "silences.toml"
    path.write_text(text, encoding="utf-8")
    return silences.load(path)


def test_a_silence_is_told_in_utc_with_its_name_and_its_matchers(tmp_path: Path) -> None:
    (silence,) = load(tmp_path, WHOLE)
    assert silence.body() == {
        "comment": "works: feeder",
        "createdBy": silences.CREATED_BY,
        "startsAt": "2026-11-23T06:00:00.000Z",
        "endsAt": "2026-11-23T16:00:00.000Z",
        "matchers": [
            {"name": "gateway", "value": "gw-00[12].", "isRegex": True, "isEqual": True},
            {"name": "severity", "value": "critical", "isRegex": False, "isEqual": False},
            {"name": "alertname", "value": "Gateway silent", "isRegex": False, "isEqual": True},
            {"name": "code", "value": "3.12.*", "isRegex": True, "isEqual": False},
        ],
    }


def test_the_file_that_comes_with_the_program_holds_none() -> None:
    assert silences.load(Path(silences.__file__).with_name("silences.toml")) == ()


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("16:00:00Z", "05:00:00Z", "does not end after it starts"),
        ("16:00:00Z", "16:00:00", "does not end"),
        ("2026-11-23T09:00:00+03:00", '"tomorrow"', "no instant"),
        ('"severity!=critical"', '"severity"', "no matcher"),
        ('["gateway=~gw-00[12].", "severity!=critical", "alertname=Gateway silent", "code!~3.12.*"]', "[]", "nothing"),
        ('comment = "feeder"', 'why = "feeder"', "keys of a silence"),
        ("[works]", "[works", "no TOML"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_remedy(tmp_path: Path, good: str, bad: str, said: str) -> None:
    assert good in WHOLE
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, WHOLE.replace(good, bad))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        silences.load(tmp_path / "nowhere.toml")
