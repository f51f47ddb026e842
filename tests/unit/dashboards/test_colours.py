from itertools import combinations

import pytest

from dashboards.colours import ACT, LOOK, WELL, Scale

_SEEN = {
    # Machado, Oliveira and Fernandes (2009), severity 1.0: what linear red, green and blue become.
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)
DISTANCE_MIN = 15
"""In CIELAB; 2 is what a trained eye can tell apart side by side."""


def _times(matrix: tuple[tuple[float, ...], ...], vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def _lab(colour: str, sight: str) -> tuple[float, float, float]:
    parts = tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = tuple(((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in parts)
    seen = tuple(min(max(part, 0.0), 1.0) for part in _times(_SEEN[sight], linear))
    x, y, z = (value / white for value, white in zip(_times(_XYZ, seen), _WHITE, strict=True))
    fx, fy, fz = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("sight", _SEEN)
def test_well_look_and_act_are_told_apart_by_the_colour_blind(sight: str) -> None:
    for one, other in combinations((WELL, LOOK, ACT), 2):
        pairs = zip(_lab(one, sight), _lab(other, sight), strict=True)
        assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 > DISTANCE_MIN, (one, other)


def _word(scale: Scale, value: float) -> tuple[str, str]:
    """Return word and colour of a value as Grafana finds them: the first range that holds it."""
    for mapping in scale.mappings():
        told = mapping.to_json()["options"].to_json()  # type: ignore[attr-defined]
        # Without a number at either end Grafana 11 compares with 0.
        assert None not in (told["from"], told["to"])
        if told["from"] <= value <= told["to"]:
            return told["result"].text, told["result"].color
    raise AssertionError


def _threshold(scale: Scale, value: float) -> str:
    return next(step.color for step in reversed(scale.thresholds().steps) if step.value is None or value >= step.value)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale(look=1, act=5), {0: "all well", 0.9: "all well", 1: "look", 4.9: "look", 5: "act now", 99: "act now"}),
        (Scale(look=20, act=10), {99: "all well", 20: "all well", 19.9: "look", 10: "look", 9.9: "act now"}),
    ],
)
def test_words_and_colours_of_a_scale_say_the_same(scale: Scale, words: dict[float, str]) -> None:
    colours = {"all well": WELL, "look": LOOK, "act now": ACT}
    for value, word in words.items():
        assert _word(scale, value) == (word, colours[word])
        assert _threshold(scale, value) == colours[word]
