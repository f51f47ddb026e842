"""Client and server together, over lines from perfect to awful: the right APDU, or an error, and always an end."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlms.errors import LinkError
from dlms.link.address import StationAddress
from dlms.link.client import HdlcSettings
from dlms.link.events import Connected, Disconnected, Failed
from dlms.link.parameters import LinkParameters
from tests.unit.dlms.link.line import LATENCY_MS, QUIET, Noise, World

TIMEOUT_MS = 1_000
STATIONS = [StationAddress(1, 17), StationAddress(1, 18), StationAddress(1, 200)]

parameters = st.builds(
    LinkParameters,
    transmit_bytes_max=st.integers(1, 2030),
    receive_bytes_max=st.integers(1, 2030),
    transmit_window=st.integers(1, 7),
    receive_window=st.integers(1, 7),
)


@settings(max_examples=60)
@given(parameters, parameters, st.integers(0, 2**32), st.integers(0, 3000), st.integers(0, 3000))
def test_any_apdu_arrives_over_any_sizes_windows_and_pieces(
    proposal: LinkParameters, limits: LinkParameters, seed: int, request_bytes: int, answer_bytes: int
) -> None:
    rng = random.Random(seed)
    world = World(
        rng, STATIONS, HdlcSettings(proposal=proposal), limits=limits, answer_bytes_max=answer_bytes, work_ms_max=50
    )
    for number in range(3):
        request = number.to_bytes(8, "big") + rng.randbytes(request_bytes)
        assert world.exchange(rng.choice(STATIONS), request) == world.answer_to(request)


def hard_life(seed: int, *, is_ordered: bool) -> tuple[World, int]:
    """Live through a bad line with a master that now and then loses patience; return how many exchanges went well."""
    rng = random.Random(seed)
    window = rng.randint(1, 7 if is_ordered else 3)
    sizes = rng.choice((16, 128, 2030))
    retries_max = rng.randint(0, 4)
    # What HDLC rests on: no frame is overtaken by eight others, since numbers count modulo eight, and none is under way
    # for longer than its sender tries.
    overtaken_ms = 2 * LATENCY_MS * ((8 - window) // window)
    patience_ms = TIMEOUT_MS * (retries_max + 1) // 2 - 50
    badness = rng.random() ** 2 * 0.35
    noise = Noise(
        lost=rng.random() * badness,
        flipped=rng.random() * badness,
        doubled=rng.random() * badness,
        cut=rng.random() * badness,
        late=rng.random() * badness,
        late_ms_max=rng.choice((100, patience_ms)) if is_ordered else overtaken_ms,
        foreign=rng.random() * badness,
        is_ordered=is_ordered,
    )
    proposal = LinkParameters(
        transmit_bytes_max=sizes, receive_bytes_max=sizes, transmit_window=window, receive_window=window
    )
    world = World(
        rng,
        STATIONS,
        HdlcSettings(proposal=proposal, response_timeout_ms=TIMEOUT_MS, retries_max=retries_max),
        noise=noise,
        limits=proposal,
        work_ms_max=rng.choice((0, 100, 3_000)) if is_ordered else 0,
    )
    right_count = 0
    for number in range(30):
        station = rng.choice(STATIONS)
        request = number.to_bytes(4, "big") + rng.randbytes(rng.choice((10, 300)))
        if rng.random() < 0.1:
            give_up_half_way(world, station, request)
            continue
        end = world.exchange(station, request)
        if isinstance(end, LinkError):
            continue
        assert end == world.answer_to(request)
        right_count += 1
        if rng.random() < 0.2:
            assert isinstance(world.disconnect(station), Disconnected | Failed)
    return world, right_count


def give_up_half_way(world: World, station: StationAddress, request: bytes) -> None:
    if not world.clients[station].is_connected and not isinstance(world.connect(station), Connected):
        return
    world.begin(station, b"given up" + request)
    world.run_for(world.rng.randint(0, 500))
    if world.rng.random() < 0.5:
        assert isinstance(world.disconnect(station), Disconnected | Failed)
    else:
        assert isinstance(world.connect(station), Connected | Failed)


@pytest.mark.parametrize("is_ordered", [True, False], ids=["in order", "out of order"])
def test_over_a_bad_line_every_exchange_ends_in_its_own_answer_or_an_error(*, is_ordered: bool) -> None:
    right_count = 0
    for seed in range(40):
        world, count = hard_life(seed, is_ordered=is_ordered)
        right_count += count
        world.noise = QUIET
        world.work_ms_max = 0
        world.run_for(10_000)
        for station in STATIONS:
            world.disconnect(station)
            assert world.exchange(station, b"at last") == world.answer_to(b"at last"), f"seed {seed} does not recover"
            world.sent.clear()
    assert right_count > 500
