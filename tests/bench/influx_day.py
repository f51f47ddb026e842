"""A day of every measurement of the catalogue for a network, as lines: what the size of a copy is measured with.

Readings are those of 250 simulated households, again and again under other names. All else is made by the names of the
fields: counts of things since a start only rise, other numbers wander; how much a number costs depends on that.
"""

from collections.abc import Iterator, Sequence
from random import Random

from cloud.meterdata.core.placing import stated_in
from cloud.monitoring.core.catalogue import MEASUREMENTS, Measurement, Of
from cloud.monitoring.core.event_kinds import KINDS, kind_of
from cloud.monitoring.core.lines import reading_lines
from cloud.monitoring.core.points import point
from cloud.monitoring.core.sizing import Network, field_counts, points_of, series_of, sizes
from tests.bench.batches import METERS
from tests.bench.network import BOOT
from wire.readings import Row, to_block

UTILITY = "bench"
DAY_MS = 86_400_000
FIRST_MS = 1_780_272_000_000
"""2026-06-01 00:00 UTC."""
SLOTS = 96
_WORDS = ("disconnect", "reconnect", "limit", "executed", "failed", "unknown", "accepted", "read", "ping", "expired")


def readings_of_a_day(network: Network) -> Iterator[list[str]]:
    """Return the readings of all meters, a slot of some gateways a time."""
    from tests.bench.households import BOOT_TICK_MS, START_MS, households  # noqa: PLC0415 - slow to load

    source = households(METERS)
    names = [meters_of(network, gateway) for gateway in range(network.gateways)]
    for slot in range(SLOTS):
        rows = source.snapshot(slot)
        lines: list[str] = []
        for gateway, meters in enumerate(names):
            # Each gateway takes another part of the households, as many as it has meters.
            first = gateway * len(meters) % (METERS - len(meters) + 1)
            part = [Row(meter, row.tick_ms, row.values) for meter, row in zip(meters, rows[first:], strict=False)]
            (block,) = stated_in([to_block(BOOT, source.channels, part)]).blocks
            instants: list[int | None] = [tick_ms - BOOT_TICK_MS + START_MS for tick_ms in block.ticks_ms]
            lines += reading_lines(UTILITY, gateway_of(gateway), block, instants)
        yield lines


def others_of_a_day(network: Network, *, meters: bool) -> Iterator[list[str]]:
    """Return the lines of everything else, a series at a time."""
    written = sizes(network, meters=meters)
    for shape in MEASUREMENTS:
        if shape.name in written and not shape.has_channels:
            yield from _lines_of(shape, network, meters=meters)


def gateway_of(number: int) -> str:
    """Return the name of a gateway."""
    return f"gw-{number:05}"


def meters_of(network: Network, gateway: int) -> list[str]:
    """Return the names of a gateway's meters, in order."""
    count = network.meters // network.gateways
    return [f"EM-{gateway * count + number:08}" for number in range(count)]


def _lines_of(shape: Measurement, network: Network, *, meters: bool) -> Iterator[list[str]]:
    rng = Random(shape.name)
    per_series = points_of(shape, network) / series_of(shape, network, meters=meters)
    for tags in _tags_of(shape, network, rng, meters=meters):
        # One that is written less than daily gets one point or none.
        count = int(per_series) + (rng.random() < per_series % 1)
        yield [line for line in _series(shape, tags, count, rng) if line is not None]


def _tags_of(shape: Measurement, network: Network, rng: Random, *, meters: bool) -> Iterator[dict[str, str]]:
    """Return the tags of each series."""
    if shape.name == "event":
        for gateway in range(network.gateways):
            yield from _event_tags(shape, network, gateway, rng, meters=meters)
        return
    for thing in _things(shape, network):
        for number in range(int(shape.per_count)):
            # What a thing has several series by: words of a list, in as many combinations.
            words = {tag: _WORDS[number % len(_WORDS)] for tag in shape.tags if tag not in thing}
            if shape.per_count > len(_WORDS):
                words = {tag: f"{word}-{number}" for tag, word in words.items()}
            yield thing | words


def _event_tags(
    shape: Measurement, network: Network, gateway: int, rng: Random, *, meters: bool
) -> Iterator[dict[str, str]]:
    codes = sorted(KINDS)
    of = {"utility": UTILITY, "gateway": gateway_of(gateway)}
    for code in rng.sample(codes, int(shape.per_count)):
        yield of | {"code": code, "kind": kind_of(code).value, "source": "gateway"}
    for meter in meters_of(network, gateway) if meters else ():
        for code in rng.sample(codes, network.codes_per_meter):
            yield of | {"code": code, "kind": kind_of(code).value, "source": "meter", "meter": meter}


def _things(shape: Measurement, network: Network) -> Iterator[dict[str, str]]:
    base = {"utility": UTILITY}
    if shape.of is Of.UTILITY:
        yield base
    elif shape.of is Of.HANDLER:
        yield from (base | {"handler": f"handler-{number}"} for number in range(network.handlers))
    else:
        for number in range(network.gateways):
            of = base | {"gateway": gateway_of(number)}
            if shape.of is Of.GATEWAY:
                yield of
            elif shape.of is Of.LINE:
                yield from (of | {"line": f"bus-{line}"} for line in range(network.lines_per_gateway))
            else:
                meters = meters_of(network, number)
                if shape.name == "meter_silent":
                    every = round(1 / network.silent_share)
                    meters = [meter for meter in meters if int(meter.removeprefix("EM-")) % every == 0]
                accounts = {"account": "", "currency": "INR"} if "account" in shape.tags else {}
                yield from (of | _account(meter, accounts) | {"meter": meter} for meter in meters)


def _account(meter: str, tags: dict[str, str]) -> dict[str, str]:
    return tags | {"account": f"A-{meter}"} if tags else {}


def _series(shape: Measurement, tags: dict[str, str], count: int, rng: Random) -> Iterator[str | None]:
    numbers, texts = field_counts(shape, Network(gateways=0, meters=0))
    names: Sequence[str] = [name for name, field in shape.fields.items() if not field.is_text]
    assert (len(names), len(shape.fields) - len(names)) == (numbers, texts)
    now = {name: float(rng.randrange(100_000)) for name in names}
    step_ms = DAY_MS // max(1, count)
    # What the cloud stamps lies on windows; what gateways stamp does not.
    jitter_ms = 2_000 if shape.name.endswith("health") or shape.name == "event" else 0
    begin_ms = FIRST_MS + (rng.randrange(DAY_MS // 2) if count == 1 and jitter_ms else 0)
    for index in range(count):
        for name in names:
            rises = name.endswith(("_count", "_bytes", "_s", "_wh"))
            now[name] += rng.randrange(20) if rises else rng.randrange(-50, 51) / 10
        said = {name: f"told by {tags.get('meter', 'nobody')}" for name, field in shape.fields.items() if field.is_text}
        utc_ms = begin_ms + index * step_ms + (rng.randrange(jitter_ms) if jitter_ms else 0)
        yield point(shape.name, tags, {**now, **said}, utc_ms=utc_ms)
