"""Repetitions stay under a tenth of all calls."""

from __future__ import annotations

import pytest

from services.rpc.retry_budget import RetryBudget


def test_repetitions_are_a_share_of_the_calls_however_many_fail() -> None:
    budget = RetryBudget("test")
    repeated = 0
    for _ in range(1_000):
        budget.pay_in()
        repeated += budget.take()

    assert 80 <= repeated <= 100


def test_a_first_failure_may_be_repeated_and_quiet_times_save_up_to_a_bound() -> None:
    budget = RetryBudget("test", credit=1, most=3)
    assert budget.take()
    assert not budget.take()
    for _ in range(1_000):
        budget.pay_in()

    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


def test_what_can_do_without_leaves_half_to_what_cannot() -> None:
    budget = RetryBudget("test", credit=10, most=10)

    optional = [budget.take(is_essential=False) for _ in range(10)]
    essential = [budget.take() for _ in range(10)]

    assert sum(optional) == 5
    assert sum(essential) == 5


def test_senseless_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        RetryBudget("test", share=2)
