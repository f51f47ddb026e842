"""Any COSEM data, for property tests."""

from hypothesis import strategies as st

from dlms.axdr import data as axdr
from dlms.axdr.data import Data
from dlms.axdr.tags import STRUCTS, BitString, Tag

_WHOLE = {
    Tag.INTEGER: (-(2**7), 2**7 - 1),
    Tag.LONG: (-(2**15), 2**15 - 1),
    Tag.DOUBLE_LONG: (-(2**31), 2**31 - 1),
    Tag.LONG64: (-(2**63), 2**63 - 1),
    Tag.UNSIGNED: (0, 2**8 - 1),
    Tag.LONG_UNSIGNED: (0, 2**16 - 1),
    Tag.DOUBLE_LONG_UNSIGNED: (0, 2**32 - 1),
    Tag.LONG64_UNSIGNED: (0, 2**64 - 1),
    Tag.ENUM: (0, 255),
    Tag.BCD: (0, 255),
    Tag.DELTA_INTEGER: (-(2**7), 2**7 - 1),
    Tag.DELTA_LONG: (-(2**15), 2**15 - 1),
    Tag.DELTA_DOUBLE_LONG: (-(2**31), 2**31 - 1),
    Tag.DELTA_UNSIGNED: (0, 2**8 - 1),
    Tag.DELTA_LONG_UNSIGNED: (0, 2**16 - 1),
    Tag.DELTA_DOUBLE_LONG_UNSIGNED: (0, 2**32 - 1),
}


def _typed(tag: Tag, values: st.SearchStrategy[object]) -> st.SearchStrategy[Data]:
    return values.map(lambda value: Data(tag, value))  # type: ignore[arg-type]  # each strategy below fits its tag


def _bits(size: int) -> st.SearchStrategy[BitString]:
    return st.integers(0, 2**size - 1).map(lambda number: BitString.from_int(number, size))


leaves = st.one_of(
    st.just(axdr.NULL_DATA),
    st.just(axdr.DONT_CARE),
    _typed(Tag.BOOLEAN, st.booleans()),
    _typed(Tag.BIT_STRING, st.integers(0, 70).flatmap(_bits)),
    _typed(Tag.OCTET_STRING, st.binary(max_size=300)),
    _typed(Tag.VISIBLE_STRING, st.text(st.characters(max_codepoint=255), max_size=20)),
    _typed(Tag.UTF8_STRING, st.text(max_size=20)),
    _typed(Tag.FLOAT32, st.floats(width=32, allow_nan=False)),
    _typed(Tag.FLOAT64, st.floats(allow_nan=False)),
    *(
        _typed(tag, st.binary(min_size=STRUCTS[tag].size, max_size=STRUCTS[tag].size))
        for tag in (Tag.DATE_TIME, Tag.DATE, Tag.TIME)
    ),
    *(_typed(tag, st.integers(*limits)) for tag, limits in _WHOLE.items()),
)
"""Data that holds no other."""

trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=6).flatmap(
        lambda members: st.sampled_from((axdr.array(*members), axdr.structure(*members)))
    ),
    max_leaves=25,
)
"""Data of any shape."""


@st.composite
def like_rows(draw: st.DrawFn) -> Data:
    """Return an array of structures most of which are laid out alike, as profiles are."""
    first = draw(st.lists(leaves, max_size=5))
    rows = []
    for _ in range(draw(st.integers(0, 60))):
        if draw(st.integers(0, 9)) == 0:
            rows.append(axdr.structure(*draw(st.lists(leaves, max_size=5))))
        else:
            rows.append(axdr.structure(*first))
    return axdr.array(*rows)
