"""What has to be done now and then, by any worker process: it does no harm when several do it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from services.ingestion import metrics
from services.rpc.errors import ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from services.ingestion.deletion import Deletions
    from services.ingestion.jobs.store import JobStore

_INTERVAL_SECONDS = 5.0
_PRUNE_SECONDS = 300.0


async def keep_up(store: JobStore, deletions: Deletions, history_seconds: float) -> None:
    """Repeats unconfirmed deletions, forgets old history, measures the queue; until cancelled."""
    prune_at = time.monotonic() + _PRUNE_SECONDS
    while True:
        try:
            await deletions.repeat_due()
            await measure(store)
            if time.monotonic() >= prune_at:
                prune_at = time.monotonic() + _PRUNE_SECONDS
                await store.prune_history(history_seconds)
        except ServiceError as error:
            get_logger().warning("upkeep waits", reason=error.reason.value)
        except Exception as error:  # noqa: BLE001 - it must go on
            get_logger().error("upkeep failed", **exception_fields(error))
        await asyncio.sleep(_INTERVAL_SECONDS)


async def measure(store: JobStore) -> None:
    """Sets the queue's gauges."""
    stats = await store.stats(None)
    metrics.QUEUED.set(stats.queued_count)
    metrics.RUNNING.set(stats.running_count)
    metrics.DEAD_LETTERS.set(stats.dead_letter_count)
    metrics.OLDEST_AGE.set(stats.oldest_job_age_seconds)
