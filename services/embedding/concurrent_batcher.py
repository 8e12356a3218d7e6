"""Feeds an engine that runs many batches at once: lanes, shares and bounds stay ours.

Texts wait here, not in the engine, until one of its places is free: there a query would wait
behind bulk work. A batch for which nobody waits any more is cancelled.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np

from services.embedding.batch_queue import Item
from services.embedding.encoder import AnyEncoder, ConcurrentEncoder, Output, VectorArray
from services.embedding.intake import BatcherLimits, Intake, Outcome, Pass, Text, Work
from services.embedding.metrics import (
    BATCH_FILL,
    DROPPED,
    INFERENCE_SECONDS,
    TEXTS,
    TOKENS,
)
from services.embedding.options import Caller, Lane
from services.rpc.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    ServiceError,
    UnavailableError,
)
from services.rpc.logs import exception_fields, get_logger
from services.rpc.metrics import series

_CLOSE_SECONDS = 5.0


class ConcurrentBatcher:
    """The queue of one such engine. Belongs to one loop.

    Args:
        encoder: The engine.
        limits: Bounds.
        clock: Seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        encoder: ConcurrentEncoder,
        limits: BatcherLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self._encoder = encoder
        self._places = encoder.places
        self._arrived = asyncio.Event()
        self._running: dict[asyncio.Task[list[VectorArray]], Sequence[Item[Text]]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._pass_numbers = itertools.count()
        self._intake = Intake(
            limits,
            clock=clock,
            hand_over=lambda call: call(),
            on_arrival=self._arrived.set,
            on_withdrawal=self._cancel_unwanted,
        )

    def start(self) -> None:
        """Begins to take batches."""
        self._intake.is_open = True
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._places)]

    async def close(self) -> None:
        """Ends what runs and refuses what waits."""
        self._intake.close()
        for task in self._workers:
            task.cancel()
        if self._workers:
            await asyncio.wait(self._workers, timeout=_CLOSE_SECONDS)
        await self._encoder.disconnect()

    async def run(
        self,
        encoder: AnyEncoder,
        output: Output,
        works: Sequence[Work],
        *,
        lane: Lane,
        caller: Caller,
    ) -> list[Outcome]:
        """See `Runner`."""
        return await self._intake.run(encoder, output, works, lane=lane, caller=caller)

    async def _work(self) -> None:
        while True:
            items = self._intake.take()
            if not items:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            lane = items[0].lane.name.lower()
            tokens = sum(item.tokens for item in items)
            series(BATCH_FILL, lane).observe(min(1.0, tokens / self.limits.budget_tokens))
            outcomes = [Outcome(None, _stopping(), None)] * len(items)
            try:
                outcomes = await self._encode(items)
            finally:
                self._intake.give_back(items, outcomes)
            series(TOKENS, lane).inc(tokens)
            series(TEXTS, lane).inc(len(items))

    async def _encode(self, items: Sequence[Item[Text]]) -> list[Outcome]:
        """Runs a batch; a refused one is cut in two, until the bad text is alone."""
        output = items[0].payload.output
        started = time.perf_counter()
        task = asyncio.create_task(
            self._encoder.encode_concurrently([item.payload.ids for item in items], output)
        )
        self._running[task] = items
        try:
            results = await task
        except asyncio.CancelledError:
            if task.cancelled() and not self._is_wanted(items):
                series(DROPPED, "cancelled").inc(len(items))
                return [Outcome(None, _unwanted(), None)] * len(items)
            task.cancel()
            raise
        except InvalidArgumentError as error:
            return await self._encode_halves(items, error)
        except ServiceError as error:
            return [Outcome(None, error, None)] * len(items)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach other texts
            get_logger().error("a text could not be encoded", **exception_fields(error))
            return await self._encode_halves(
                items, InternalError(Reason.INTERNAL, "the model could not encode this text")
            )
        finally:
            del self._running[task]
        seconds = time.perf_counter() - started
        series(INFERENCE_SECONDS, items[0].lane.name.lower()).observe(seconds)
        self._intake.learn_rate(sum(item.tokens for item in items) * self._places, seconds)
        ran_in = Pass(next(self._pass_numbers), seconds)
        return [Outcome(np.asarray(result), None, ran_in) for result in results]

    async def _encode_halves(
        self, items: Sequence[Item[Text]], error: ServiceError
    ) -> list[Outcome]:
        if len(items) == 1:
            return [Outcome(None, error, None)]
        middle = len(items) // 2
        return await self._encode(items[:middle]) + await self._encode(items[middle:])

    def _cancel_unwanted(self) -> None:
        for task, items in self._running.items():
            if not self._is_wanted(items):
                task.cancel()

    @staticmethod
    def _is_wanted(items: Sequence[Item[Text]]) -> bool:
        return any(item.payload.waiters for item in items)


def _unwanted() -> ServiceError:
    return UnavailableError(Reason.NOT_READY, "abandoned: nobody waited")


def _stopping() -> ServiceError:
    return UnavailableError(Reason.NOT_READY, "the service is stopping", retry_after_seconds=1)
