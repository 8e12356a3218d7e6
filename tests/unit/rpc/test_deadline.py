"""The deadline of the running request."""

from __future__ import annotations

import pytest

from services.rpc.deadline import MARGIN_SECONDS, budget_seconds, deadline_in, remaining_seconds
from services.rpc.errors import DeadlineExceededError


def test_without_a_deadline_calls_get_what_they_want() -> None:
    assert remaining_seconds() is None
    assert budget_seconds(3) == 3
    with deadline_in(None):
        assert remaining_seconds() is None


def test_calls_get_what_is_left_less_the_margin() -> None:
    with deadline_in(10):
        assert budget_seconds(3) == 3
        assert 9 < budget_seconds(100) <= 10 - MARGIN_SECONDS
    assert remaining_seconds() is None


def test_inner_deadline_only_shortens() -> None:
    with deadline_in(10):
        with deadline_in(100):
            assert budget_seconds(100) <= 10
        with deadline_in(1):
            assert budget_seconds(100) <= 1
        assert budget_seconds(100) > 1


@pytest.mark.parametrize("seconds", [-5, 0, MARGIN_SECONDS])
def test_spent_deadline_refuses_further_calls(seconds: float) -> None:
    with deadline_in(seconds), pytest.raises(DeadlineExceededError):
        budget_seconds(1)
