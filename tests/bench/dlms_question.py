"""The session that every DLMS client is asked for: associate with GMAC and encryption, read a day, release."""

from typing import Any

from dlms.cosem.profile_generic import Row
from dlms.obis import obis_text
from dlms.security.keys import Keys
from tests.rig.dlms_meter import DAY_ROWS, FIRST_UTC_MS, PROFILE, QUARTER_MS, day_of_rows

CLIENT_SAP = 16
LOGICAL = 1
PHYSICAL = 17
PDU_BYTES_MAX = 512
"""What meters in the field offer; the day then comes in about ten blocks."""
CLIENT_TITLE = b"WPT\x00\x00\x00\x00\x01"
METER_TITLE = b"MTR\x00\x00\x00\x00\x02"
KEYS = Keys(encryption=bytes(range(16)), authentication=bytes(range(16, 32)))
DAY_FIRST = "2026-01-01T00:00:00+05:30"
DAY_LAST = "2026-01-01T23:45:00+05:30"
FIRST_MS = FIRST_UTC_MS
LAST_MS = FIRST_UTC_MS + (DAY_ROWS - 1) * QUARTER_MS


def question(link: str, port: int) -> dict[str, Any]:
    """Return what the scripts in `tests/foreign` are asked, in their words."""
    return {
        "link": link,
        "port": port,
        "client_sap": CLIENT_SAP,
        "server_sap": LOGICAL,
        "physical": PHYSICAL,
        "authentication": "gmac",
        "security": "both",
        "title": CLIENT_TITLE.hex(),
        "encryption_key": KEYS.encryption.hex(),
        "authentication_key": KEYS.authentication.hex(),
        "pdu_bytes_max": PDU_BYTES_MAX,
        "steps": [
            {"do": "associate"},
            {"do": "range", "obis": obis_text(PROFILE.name), "first": DAY_FIRST, "last": DAY_LAST, "count": True},
            {"do": "release"},
        ],
    }


def rows_expected() -> tuple[Row, ...]:
    """Return what has to come."""
    return day_of_rows("bench")
