"""Who is sent away first, and when the room shrinks."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import ExitStack

import pytest

from services.gateway.load_shedding import LoadShedder, passages_found
from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.rpc.scope import TenantClass

FREE, STANDARD, PREMIUM = TenantClass.FREE, TenantClass.STANDARD, TenantClass.PREMIUM


def shedder(start: int = 10) -> tuple[LoadShedder, AdaptiveLimit]:
    limit = AdaptiveLimit(least=1, start=start, window_seconds=0.0)
    return LoadShedder(10.0, limit), limit


async def test_the_last_room_is_for_better_classes() -> None:
    tried, _ = shedder(10)
    with ExitStack() as stack:
        for tenant_class, count in ((FREE, 7), (STANDARD, 2), (PREMIUM, 1)):
            for _ in range(count):
                stack.enter_context(tried.admit(tenant_class, is_timed=False))
            with pytest.raises(ResourceExhaustedError) as refused:
                stack.enter_context(tried.admit(tenant_class, is_timed=False))
            assert refused.value.reason is Reason.OVERLOADED
            assert refused.value.retry_after_seconds
    assert tried.running == 0


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceededError(Reason.DEADLINE_EXCEEDED, "late"),
        ResourceExhaustedError(Reason.OVERLOADED, "full"),
    ],
)
async def test_lateness_and_full_services_make_it_smaller(error: ServiceError) -> None:
    tried, limit = shedder(100)
    with pytest.raises(type(error)), tried.admit(STANDARD, is_timed=True):
        raise error

    assert limit.limit < 100


async def test_writing_may_take_its_time_once_the_passages_are_found() -> None:
    tried, limit = shedder(100)
    with deadline_in(0.02), tried.admit(STANDARD, is_timed=True):
        passages_found()
        await asyncio.sleep(0.03)

    assert limit.limit >= 100


async def test_an_answer_near_its_deadline_is_late() -> None:
    tried, limit = shedder(100)
    with deadline_in(0.02), tried.admit(STANDARD, is_timed=True):
        await asyncio.sleep(0.03)

    assert limit.limit < 100


async def test_mistakes_leaving_and_what_may_take_its_time_do_not() -> None:
    tried, limit = shedder(100)
    with pytest.raises(InvalidArgumentError), tried.admit(STANDARD, is_timed=True):
        raise InvalidArgumentError.for_field("x", "wrong")
    with pytest.raises(asyncio.CancelledError), tried.admit(STANDARD, is_timed=True):
        raise asyncio.CancelledError
    with deadline_in(0.001), tried.admit(STANDARD, is_timed=False):
        await asyncio.sleep(0.005)

    assert limit.limit >= 100
    assert tried.running == 0


def paced(seconds: float, at_once: int) -> LoadShedder:
    """Returns one whose latest requests took so long beside so many, those from caches nothing."""
    tried, _ = shedder(1_000)
    for _ in range(100):
        tried.pace.note(seconds, at_once)
        tried.pace.note(0.001, at_once)
    return tried


def let_in(tried: LoadShedder, tenant_class: TenantClass = PREMIUM) -> int:
    """Lets requests in until one is refused; returns how many."""
    count = 0
    with ExitStack() as stack, contextlib.suppress(ResourceExhaustedError):
        while count < 1_000:
            stack.enter_context(tried.admit(tenant_class, is_timed=True))
            count += 1
    assert tried.pace.finding == tried.running == 0
    return count


def test_what_would_be_late_is_refused_before_it_is() -> None:
    """Each took .1 s of the services by itself: 30 at once are as many as 3 s of ten allow."""
    assert let_in(paced(2.0, 20)) in {29, 30}
    assert let_in(paced(2.0, 20), FREE) in {20, 21}
    with deadline_in(3.0):  # of which finding may take .7
        assert let_in(paced(2.0, 20)) in {20, 21}


def test_a_few_are_never_too_many_however_long_one_took() -> None:
    assert let_in(paced(9.0, 1)) == 16


def test_who_has_its_passages_is_in_nobodys_way() -> None:
    tried = paced(2.0, 20)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(tried.admit(PREMIUM, is_timed=True))
            passages_found()
        assert tried.pace.finding == 0
        assert tried.running == 200
