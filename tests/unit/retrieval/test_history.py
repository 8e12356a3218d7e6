"""Candidates by likeness, in the order of a history."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retrieval.history import ordered

ITEMS = {"boots": 5, "shoes": 10, "socks": 15, "hat": 60, "scarf": 62, "tent": 90}
"""Items by their angle to what is looked at, which lies at 0."""


def at(*degrees: float) -> NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def recommended(
    liked: tuple[NDArray[np.float32], ...] = (),
    disliked: tuple[NDArray[np.float32], ...] = (),
    *,
    weight: float = 0.8,
    diversity: float = 0.0,
    count: int = 10,
) -> list[str]:
    vectors = at(*ITEMS.values())
    scores = vectors[:, 0].astype(np.float64)
    places, final = ordered(
        scores, vectors, liked, disliked, weight=weight, diversity=diversity, count=count
    )
    assert final == sorted(final, reverse=True)
    return [list(ITEMS)[place] for place in places]


def test_without_a_history_the_likeness_decides() -> None:
    assert recommended() == list(ITEMS)
    assert recommended((at(61),), weight=0.0) == list(ITEMS)


def test_what_was_liked_comes_first_and_what_was_disliked_last() -> None:
    assert set(recommended((at(61),))[:2]) == {"scarf", "hat"}
    found = recommended((), (at(8),))
    assert found[0] == "tent"
    assert set(found[-3:]) == {"boots", "shoes", "socks"}


def test_a_document_is_as_near_as_the_nearest_of_its_vectors() -> None:
    assert recommended((at(200, 90, 250),), weight=1.0)[0] == "tent"


def test_the_nearest_of_many_liked_documents_count() -> None:
    """A person who likes tents and hats: the mean of both is neither."""
    found = recommended((at(90), at(91), at(89), at(5), at(4), at(6)), weight=1.0, count=2)
    assert set(found) == {"tent", "boots"}


def test_variety_spreads_what_is_alike() -> None:
    alike = recommended((at(8),), count=3)
    varied = recommended((at(8),), count=3, diversity=0.7)
    assert set(alike) == {"boots", "shoes", "socks"}
    assert varied[0] == alike[0]
    assert len({ITEMS[name] // 30 for name in varied}) > len({ITEMS[name] // 30 for name in alike})


@pytest.mark.parametrize("count", [1, 3, 100])
def test_as_many_as_are_wanted_and_there(count: int) -> None:
    assert len(recommended((at(61),), count=count)) == min(count, len(ITEMS))


def test_equal_candidates_keep_their_order() -> None:
    vectors = at(5, 5, 5)
    places, _ = ordered(np.ones(3), vectors, [at(61)], [], weight=0.5, diversity=0.0, count=3)
    assert places == [0, 1, 2]
    assert ordered(np.empty(0), vectors[:0], [], [], weight=0.5, diversity=0.5, count=3) == ([], [])
