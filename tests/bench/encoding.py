"""How many bytes a value takes on the wire."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from tests.bench.households import BOOT_TICK_MS, START_MS, Households, households
from tests.bench.report import Aim, Line, Section
from tests.rig.foreign import ask
from tests.rig.parties import PARTIES, address_of
from wire.address import Kind
from wire.messages import make_batch, seal_message
from wire.readings import Row, to_block

METERS_OF_A_SNAPSHOT = 250
METERS_OF_PROFILES = 24
EVENING_SLOT = 52
"""18:30 local time: everybody is at home and nothing is zero."""
_BOOT = bytes.fromhex("3c81d2a09f4b7e55")
_KEY = PARTIES["gateway"].key


@dataclass(frozen=True, slots=True)
class _Shape:
    """One or more messages of one shape, as rows."""

    what: str
    aim: Aim
    messages: Sequence[Sequence[Row]]


async def bench_bytes_per_value() -> list[Section]:
    """Compare the bytes of a value in our messages with JSON, compressed JSON and Sparkplug B.

    The same rows of the same simulated households are encoded four ways. Ours is counted whole, as published:
    envelope, key id, signature, meter names, channel codes and time stamps. The others get every advantage: no
    signature, JSON without blanks and with one name a meter and no units, gzip at its highest level over the whole
    message, Sparkplug B in one DDATA message by aliases, as after a birth certificate that carries all names, and
    with whole numbers, which it packs shorter than floats.
    """
    many, few = households(METERS_OF_A_SNAPSHOT), households(METERS_OF_PROFILES)
    shapes = (
        _Shape("day profile, 1 meter x 96 x 8", Aim(bound=2, at_least=False), [few.profile(m) for m in few.meters]),
        _Shape("snapshot, 250 meters x 8", Aim(bound=3, at_least=False), [many.snapshot(EVENING_SLOT)]),
    )
    lines = [line for shape in shapes for line in _lines(shape, few)]
    compared = "Whole signed messages of ours against unsigned payloads of others, on the same simulated load data."
    return [Section(title="Bytes per value", compared=compared, lines=lines)]


def _lines(shape: _Shape, source: Households) -> list[Line]:
    def per_value(encode: Callable[[Sequence[Row]], bytes]) -> float:
        return mean(len(encode(rows)) / (len(rows) * len(source.channels)) for rows in shape.messages)

    ours = per_value(lambda rows: _sealed(rows, source))
    sparkplug = _sparkplug(shape, source)
    others = {
        "JSON": per_value(lambda rows: _json(rows, source)),
        "JSON, gzip -9": per_value(lambda rows: gzip.compress(_json(rows, source), 9)),
        "Sparkplug B": sparkplug,
    }
    return [
        Line(what=shape.what, measured=ours, unit="B/value", against="the aim itself", ratio=ours, aim=shape.aim),
        *(
            Line(what=shape.what, measured=ours, unit="B/value", against=name, baseline=other, ratio=ours / other)
            for name, other in others.items()
        ),
    ]


def _sealed(rows: Sequence[Row], source: Households) -> bytes:
    batch = make_batch([to_block(_BOOT, source.channels, rows)], store=bytes(8), index=1_000)
    return seal_message(batch, address_of(Kind.BATCH), _KEY)


def _json(rows: Sequence[Row], source: Households) -> bytes:
    names = ("voltage", "current", "power", "apparent", "reactive", "factor", "frequency", "energy")
    by_meter: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        sample: dict[str, float] = {"ts": _utc_ms(row)}
        for name, value, channel in zip(names, row.values, source.channels, strict=True):
            assert value is not None, "these households answer"
            sample[name] = round(value * 10.0**channel.scaler, 3) if channel.scaler else value
        by_meter.setdefault(row.meter, []).append(sample)
    message = [{"meter": meter, "readings": samples} for meter, samples in by_meter.items()]
    return json.dumps(message, separators=(",", ":")).encode()


def _sparkplug(shape: _Shape, source: Households) -> float:
    question = []
    for number, rows in enumerate(shape.messages):
        meters = {meter: index for index, meter in enumerate(sorted({row.meter for row in rows}))}
        metrics = [
            [meters[row.meter] * len(source.channels) + index, _utc_ms(row), value]
            for row in rows
            for index, value in enumerate(row.values)
        ]
        question.append({"name": str(number), "metrics": metrics})
    answers: dict[str, str] = ask("sparkplug", "sparkplug_encode.py", question)
    values = sum(len(rows) for rows in shape.messages) * len(source.channels)
    return sum(len(payload) // 2 for payload in answers.values()) / values


def _utc_ms(row: Row) -> int:
    return row.tick_ms - BOOT_TICK_MS + START_MS
