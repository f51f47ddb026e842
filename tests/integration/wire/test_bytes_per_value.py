"""Bandwidth: what a value costs in our signed messages, and in what others send unsigned, on the same load data."""

import pytest

from tests.bench.encoding import bench_bytes_per_value

pytestmark = pytest.mark.timeout(400)  # the first run installs pysparkplug


@pytest.mark.req("B-6")
async def test_a_signed_value_takes_fewer_bytes_than_in_json_compressed_json_and_sparkplug() -> None:
    (section,) = await bench_bytes_per_value()

    ours = {line.what: line.measured for line in section.lines}
    assert ours["day profile, 1 meter x 96 x 8"] <= 2
    assert ours["snapshot, 250 meters x 8"] <= 3
    others = [line for line in section.lines if line.baseline is not None]
    assert {line.against for line in others} == {"JSON", "JSON, gzip -9", "Sparkplug B"}
    for line in others:
        assert line.baseline is not None
        assert line.measured < line.baseline, f"{line.what}: {line.against}"
