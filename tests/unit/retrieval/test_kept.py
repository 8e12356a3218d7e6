"""A state of a view is current as long as it lacks nothing that was acknowledged."""

from __future__ import annotations

import asyncio

import pytest

from services.retrieval.view.kept import Kept


@pytest.mark.parametrize(
    ("seq", "newest", "lacks"),
    [
        (5, 5, False),
        (5, 7, False),
        (5, 9, False),
        (5, 8, True),  # ends between: not all of it is this process's own
        (5, 10, True),
        (4, 5, True),
        (7, 9, False),
        (9, 7, True),  # ahead of the store: it is not the same store
    ],
)
async def test_only_own_writes_without_acknowledgement_may_be_missing(seq, newest, lacks):
    kept = Kept(asyncio.get_running_loop().create_future())
    kept.unacknowledged = {5: 7, 7: 9}
    assert kept.lacks_acknowledged(seq, newest) is lacks
