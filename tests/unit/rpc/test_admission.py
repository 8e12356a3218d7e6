"""Admission by cost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.rpc.admission import Admission
from services.rpc.errors import InvalidArgumentError, Reason, ResourceExhaustedError


def gauge(name: str, label: str) -> float:
    return REGISTRY.get_sample_value(name, {"name": label}) or 0.0


async def test_cost_in_flight_is_bounded_and_given_back() -> None:
    admission = Admission(10, "bounded")
    async with admission.admit(6), admission.admit(4):
        assert admission.cost_in_flight == gauge("cairn_admission_cost", "bounded") == 10
        with pytest.raises(ResourceExhaustedError) as raised:
            async with admission.admit(1):
                pass
    assert raised.value.reason is Reason.OVERLOADED
    assert raised.value.retry_after_seconds is not None
    assert 0 < raised.value.retry_after_seconds <= 10
    assert admission.cost_in_flight == gauge("cairn_admission_cost", "bounded") == 0
    assert gauge("cairn_admission_refused_total", "bounded") == 1
    async with admission.admit(10):
        pass


async def test_what_costs_nothing_is_always_admitted() -> None:
    admission = Admission(1, "free")
    async with admission.admit(1), admission.admit(0):
        assert admission.cost_in_flight == 1


async def test_cost_over_the_limit_is_the_requests_fault() -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        async with Admission(10, "large").admit(11):
            pass
    assert raised.value.reason is Reason.TOO_LARGE
    assert raised.value.metadata == {"limit": "10", "size": "11"}


async def test_failed_and_cancelled_work_gives_its_cost_back() -> None:
    admission = Admission(10, "failing")
    with pytest.raises(ZeroDivisionError):
        async with admission.admit(10):
            raise ZeroDivisionError
    begun = asyncio.Event()

    async def work() -> None:
        async with admission.admit(10):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert admission.cost_in_flight == 0


@pytest.mark.parametrize("cost", [-1, float("nan")])
async def test_cost_that_is_none_is_a_defect(cost: float) -> None:
    with pytest.raises(ValueError, match="cost"):
        async with Admission(10, "defect").admit(cost):
            pass


def test_limit_is_positive() -> None:
    with pytest.raises(ValueError, match="max_cost"):
        Admission(0, "none")


@given(costs=st.lists(st.floats(0, 10, allow_nan=False), max_size=30))
def test_sums_never_drift(costs: list[float]) -> None:
    async def run() -> None:
        admission = Admission(15, "drift")

        async def work(cost: float) -> None:
            try:
                async with admission.admit(cost):
                    assert admission.cost_in_flight <= 15
                    await asyncio.sleep(0)
            except ResourceExhaustedError:
                pass

        await asyncio.gather(*(work(cost) for cost in costs))
        assert admission.cost_in_flight == 0

    asyncio.run(run())
