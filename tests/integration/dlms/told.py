"""What foreign clients tell, in our words, and the steps that several tests ask of them."""

import datetime as dt
from typing import Any

RELAY, BALANCE, SERIAL, IMPORT = "0.0.96.3.10.255", "0.0.94.96.24.255", "0.0.96.1.0.255", "1.0.1.8.0.255"


def unix_ms(value: Any) -> int:
    """Return the instant of a date-time, as a client tells it or as its twelve bytes."""
    if "hex" not in value:
        return round(dt.datetime.fromisoformat(value["datetime"]).timestamp() * 1000)
    data = bytes.fromhex(value["hex"])
    zone = dt.timezone(-dt.timedelta(minutes=int.from_bytes(data[9:11], "big", signed=True)))
    year, hundredths = int.from_bytes(data[:2], "big"), 0 if data[8] == 0xFF else data[8]
    when = dt.datetime(year, data[2], data[3], data[5], data[6], data[7], hundredths * 10_000, zone)
    return round(when.timestamp() * 1000)


def rows(read: list[list[Any]]) -> list[list[Any]]:
    """Return rows with their times in Unix ms."""
    return [[unix_ms(row[0]), *row[1:]] for row in read]


def get(class_id: int, obis: str, index: int = 2) -> dict[str, Any]:
    return {"do": "get", "class": class_id, "obis": obis, "index": index}


def switch(*, closed: bool) -> list[dict[str, Any]]:
    """Return how a relay is switched and read back: output state, control state."""
    act = {"do": "action", "class": 70, "obis": RELAY, "index": 2 if closed else 1}
    return [act, get(70, RELAY), get(70, RELAY, 3)]


def set_balance(amount: int) -> dict[str, Any]:
    """Return how Gurux writes the balance that a meter shows."""
    return {"do": "set", "class": 1, "obis": BALANCE, "index": 2, "type": "double-long", "value": amount}
