"""The batcher: whose turn it is, who shares a pass, what is dropped, what fails alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.embedding.batcher import Batcher
from services.embedding.encoder import Output
from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.intake import BatcherLimits, Work
from services.embedding.options import Caller, InputKind, Lane
from services.rpc.errors import (
    DeadlineExceededError,
    InternalError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)


class SteppedEncoder(HashEncoder):
    """Waits at each batch until it is let go, and remembers the batches by their first ids."""

    def __init__(self):
        super().__init__(before_encode=self._wait)
        self.batches: list[list[int]] = []
        self.started = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.bad_ids: set[int] = set()

    def _wait(self, batch):
        self.batches.append([int(ids[0]) for ids in batch])
        self.started.release()
        assert self.let_go.acquire(timeout=20)
        if self.bad_ids.intersection(self.batches[-1]):
            raise ValueError("a text that breaks the model")


async def until_started(encoder):
    assert await asyncio.to_thread(encoder.started.acquire, timeout=20)


def works(*first_ids, length=2, keys=False):
    return [
        Work(np.array([number] * length, dtype=np.int32), b"%d" % number if keys else None)
        for number in first_ids
    ]


@contextlib.asynccontextmanager
async def running(encoder, **limits):
    more = {
        name: limits.pop(name)
        for name in ("clock", "on_broken", "threads", "niceness")
        if name in limits
    }
    async with Batcher(BatcherLimits(**limits), **more) as batcher:
        try:
            yield batcher
        finally:
            encoder.let_go.release(1000)


def submit(batcher, encoder, some, lane=Lane.BULK, deadline=None, tenant="t", weight=1.0):
    return asyncio.ensure_future(
        batcher.run(
            encoder, Output.POOLED, some, lane=lane, caller=Caller(tenant, deadline, weight)
        )
    )


async def begin(batcher, encoder, some, passes=1):
    """Submits bulk work and returns when so many passes of it run."""
    task = submit(batcher, encoder, some)
    for _ in range(passes):
        await until_started(encoder)
    return task


async def test_results_come_in_order_and_large_requests_are_split():
    encoder = HashEncoder()
    async with Batcher(BatcherLimits(budget_tokens=8)) as batcher:
        texts = encoder.tokenize(["slate " * n for n in range(1, 30)], InputKind.DOCUMENT)
        outcomes = await batcher.run(
            encoder,
            Output.POOLED,
            [Work(text.ids) for text in texts],
            lane=Lane.BULK,
            caller=Caller("t"),
        )
    for text, outcome in zip(texts, outcomes, strict=True):
        (alone,) = encoder.encode([text.ids], Output.POOLED)
        np.testing.assert_allclose(outcome.result, alone)
    assert len({outcome.ran_in.number for outcome in outcomes}) > 5


async def test_metrics_tell_how_long_the_oldest_text_has_waited():
    now = [100.0]
    encoder = SteppedEncoder()
    ages = {"lane": "bulk"}
    async with running(encoder, budget_tokens=2, clock=lambda: now[0]) as batcher:
        tasks = [submit(batcher, encoder, works(1))]
        await until_started(encoder)
        tasks.append(submit(batcher, encoder, works(2)))
        await asyncio.sleep(0)
        now[0] = 107.0
        assert REGISTRY.get_sample_value("cairn_embedding_queue_age_seconds", ages) == 7.0
        encoder.let_go.release(2)
        await asyncio.gather(*tasks)
        assert REGISTRY.get_sample_value("cairn_embedding_queue_age_seconds", ages) == 0.0


async def test_no_texts_need_no_pass():
    async with Batcher(BatcherLimits()) as batcher:
        assert await submit(batcher, HashEncoder(), []) == []


async def test_a_query_overtakes_waiting_documents():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, ageing_seconds=60) as batcher:
        bulk = await begin(batcher, encoder, works(1, 2, 3))
        query = submit(batcher, encoder, works(9), Lane.INTERACTIVE)
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        await query
        await bulk
    # Within the first pass: the query ran between its layers.
    assert encoder.batches == [[1], [9], [2], [3]]


async def test_without_lanes_a_query_waits_its_turn():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, has_lanes=False) as batcher:
        bulk = await begin(batcher, encoder, works(1, 2))
        query = submit(batcher, encoder, works(9), Lane.INTERACTIVE)
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        await query
        await bulk
    assert encoder.batches == [[1], [2], [9]]


async def test_equal_texts_in_flight_share_a_pass():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=100) as batcher:
        first = await begin(batcher, encoder, works(1, keys=True))
        others = [submit(batcher, encoder, works(1, 1, keys=True)) for _ in range(3)]
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        await first
        results = await asyncio.gather(*others)
    assert encoder.batches == [[1]]
    assert all(outcome.is_shared for outcomes in results for outcome in outcomes)


async def test_texts_without_key_share_nothing():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2) as batcher:
        both = submit(batcher, encoder, works(1, 1))
        encoder.let_go.release(10)
        await both
    assert encoder.batches == [[1], [1]]


async def test_a_query_for_a_waiting_document_brings_it_forward():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, ageing_seconds=60) as batcher:
        bulk = await begin(batcher, encoder, works(1, 2, 3, keys=True))
        query = submit(batcher, encoder, works(3, keys=True), Lane.INTERACTIVE)
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        await query
        await bulk
    assert encoder.batches == [[1], [3], [2]]


async def test_a_bad_text_fails_alone():
    encoder = SteppedEncoder()
    encoder.bad_ids = {33}
    async with running(encoder, budget_tokens=1000) as batcher:
        encoder.let_go.release(100)
        outcomes = await submit(batcher, encoder, works(*range(64)))
    failed = [index for index, outcome in enumerate(outcomes) if outcome.error is not None]
    assert failed == [33]
    assert isinstance(outcomes[33].error, InternalError)
    assert "breaks the model" not in outcomes[33].error.message
    assert all(outcome.result is not None for outcome in outcomes if outcome.error is None)
    assert len(encoder.batches) == 13, "64 texts, halved six times, two passes each time"


async def test_cancelled_work_never_runs():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2) as batcher:
        first = await begin(batcher, encoder, works(1))
        doomed = submit(batcher, encoder, works(2, 3))
        kept = submit(batcher, encoder, works(4))
        await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.wait([doomed])
        encoder.let_go.release(10)
        await first
        await kept
    assert encoder.batches == [[1], [4]]


async def test_cancelling_one_of_two_who_share_a_text_leaves_it_to_the_other():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2) as batcher:
        first = await begin(batcher, encoder, works(1))
        leaves = submit(batcher, encoder, works(2, keys=True))
        await asyncio.sleep(0)
        stays = submit(batcher, encoder, works(2, keys=True))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait([leaves])
        encoder.let_go.release(10)
        (outcome,) = await stays
        await first
    assert outcome.result is not None


async def test_a_pass_for_which_nobody_waits_is_abandoned():
    encoder = SteppedEncoder()
    async with running(encoder) as batcher:
        doomed = await begin(batcher, encoder, works(1, keys=True))
        doomed.cancel()
        await asyncio.wait([doomed])
        again = submit(batcher, encoder, works(1, keys=True))
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        (outcome,) = await again
    assert outcome.result is not None
    assert encoder.batches == [[1], [1]]


async def test_expired_work_is_dropped_before_its_pass():
    encoder = SteppedEncoder()
    now = [0.0]
    async with running(encoder, budget_tokens=2, clock=lambda: now[0]) as batcher:
        first = await begin(batcher, encoder, works(1))
        late = submit(batcher, encoder, works(2), deadline=5.0)
        timely = submit(batcher, encoder, works(3), deadline=50.0)
        await asyncio.sleep(0)
        now[0] = 6.0
        encoder.let_go.release(10)
        (outcome,) = await late
        await timely
        await first
    assert isinstance(outcome.error, DeadlineExceededError)
    assert encoder.batches == [[1], [3]]


async def test_overload_is_refused_at_once_by_lane():
    encoder = SteppedEncoder()
    limits = {"max_bulk_tokens": 10, "max_interactive_tokens": 4}
    async with running(encoder, budget_tokens=2, **limits) as batcher:
        first = await begin(batcher, encoder, works(1))
        large = submit(batcher, encoder, works(*range(2, 20)))  # the lane was empty: admitted
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhaustedError) as caught:
            await submit(batcher, encoder, works(30))
        query = submit(batcher, encoder, works(31, 32), Lane.INTERACTIVE)
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhaustedError):
            await submit(batcher, encoder, works(33), Lane.INTERACTIVE)
        encoder.let_go.release(1000)
        await asyncio.gather(first, large, query)
        await submit(batcher, encoder, works(34))
    assert caught.value.reason is Reason.OVERLOADED
    assert 0.05 <= caught.value.retry_after_seconds <= 10
    assert caught.value.metadata["limit"] == "10"


async def test_a_tenant_at_its_bound_leaves_room_for_others():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, max_bulk_tokens=30) as batcher:
        first = await begin(batcher, encoder, works(1))
        noisy = [submit(batcher, encoder, works(number)) for number in range(2, 40)]
        await asyncio.sleep(0)
        quiet = submit(batcher, encoder, works(50, 51), tenant="quiet")
        await asyncio.sleep(0)
        encoder.let_go.release(1000)
        await asyncio.gather(first, quiet)
        outcomes = await asyncio.gather(*noisy, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, ResourceExhaustedError)]
    assert len(refused) == 28  # ten of two tokens each are two thirds of the bound
    assert encoder.batches.index([50]) <= 2  # and its turn comes next


async def test_an_engine_that_fails_on_everything_is_reported():
    encoder = SteppedEncoder()
    encoder.bad_ids = set(range(100))
    broken = asyncio.Event()
    async with running(encoder, on_broken=broken.set) as batcher:
        encoder.let_go.release(1000)
        await submit(batcher, encoder, works(*range(15)))
        assert not broken.is_set()
        await submit(batcher, encoder, works(50))
        await asyncio.wait_for(broken.wait(), 20)


async def test_what_waits_at_the_end_is_refused():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2) as batcher:
        first = await begin(batcher, encoder, works(1))
        waiting = submit(batcher, encoder, works(2))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(batcher.__aexit__())
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await submit(batcher, encoder, works(3))
        encoder.let_go.release(10)
        await closing
        (outcome,) = await waiting
        await first
    assert outcome.result is not None or isinstance(outcome.error, UnavailableError)


async def test_batches_run_side_by_side_on_as_many_threads_as_there_are():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, threads=2) as batcher:
        both = await begin(batcher, encoder, works(1, 2, 3), passes=2)
        assert sorted(encoder.batches) == [[1], [2]]
        assert not encoder.started.acquire(blocking=False)
        encoder.let_go.release(10)
        outcomes = await both
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len({outcome.ran_in.number for outcome in outcomes}) == 3


async def test_what_waits_is_divided_among_idle_threads():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=10_000, threads=2) as batcher:
        request = await begin(batcher, encoder, works(1, 2, 3, 4, length=200), passes=2)
        encoder.let_go.release(10)
        await request
    assert sorted(len(batch) for batch in encoder.batches) == [2, 2]


async def test_a_little_work_is_one_batch_whoever_is_idle():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=10_000, threads=2) as batcher:
        request = await begin(batcher, encoder, works(1, 2, 3, 4, length=20))
        encoder.let_go.release(10)
        await request
    assert [len(batch) for batch in encoder.batches] == [4]


async def test_a_query_overtakes_documents_on_all_threads():
    encoder = SteppedEncoder()
    async with running(encoder, budget_tokens=2, ageing_seconds=60, threads=2) as batcher:
        bulk = await begin(batcher, encoder, works(1, 2, 3, 4), passes=2)
        query = submit(batcher, encoder, works(9), Lane.INTERACTIVE)
        await asyncio.sleep(0)
        encoder.let_go.release(10)
        await query
        await bulk
    assert sorted(encoder.batches[:2]) == [[1], [2]]
    assert encoder.batches.count([9]) == 1
    assert sorted(encoder.batches) == [[1], [2], [3], [4], [9]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have no priority there")
async def test_passes_step_back_for_others_and_the_loop_does_not():
    encoder = SteppedEncoder()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    async with running(encoder, budget_tokens=2, threads=2, niceness=3) as batcher:
        request = await begin(batcher, encoder, works(1, 2), passes=2)
        threads = [each for each in threading.enumerate() if each.name.startswith("inference-")]
        found = [os.getpriority(os.PRIO_PROCESS, each.native_id) for each in threads]
        encoder.let_go.release(10)
        await request
    assert found == [min(own + 3, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


async def test_closing_ends_all_threads():
    encoder = SteppedEncoder()
    async with running(encoder, threads=3):
        running_now = [each.name for each in threading.enumerate()]
        assert sum(name.startswith("inference-") for name in running_now) == 3
    left = [each.name for each in threading.enumerate()]
    assert not any(name.startswith("inference-") for name in left)
