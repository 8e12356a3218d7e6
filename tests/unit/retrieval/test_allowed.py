"""Sets of rows that lack a few of a set that is kept."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.vectors import Allowed


def _check(found: Allowed, mask) -> None:
    expected = Allowed(mask)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert found.ids.dtype == expected.ids.dtype
    np.testing.assert_array_equal(found.bits, expected.bits)
    assert (found.count, found.rows) == (expected.count, expected.rows)


@given(st.lists(st.booleans(), min_size=1, max_size=70), st.data())
def test_a_set_without_some_rows_is_as_if_made_anew(marks, data):
    mask = np.array(marks, np.bool_)
    gone = data.draw(st.sets(st.integers(0, len(marks) - 1), max_size=6))
    first = data.draw(st.integers(0, len(marks) - 1))
    last = data.draw(st.integers(first, len(marks)))
    whole = Allowed(mask)

    found = whole.without(np.array(sorted(gone), np.int64))

    left = mask.copy()
    left[list(gone)] = False
    _check(found, left)
    _check(found.part(first, last), left[first:last])
    _check(whole, np.array(marks, np.bool_))


def test_a_set_that_lacks_nothing_is_the_same():
    whole = Allowed(np.array([True, False, True]))

    assert whole.without(np.array([1], np.int64)) is whole
    assert whole.without(np.empty(0, np.int64)) is whole
