"""How soon a document is found: on an idle system, and behind a tenant with very many."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval_pb

from benchmarks.ingestion.documents import SHORT, documents
from benchmarks.ingestion.throughput import PER_REQUEST, row, scope, submit

if TYPE_CHECKING:
    from benchmarks.ingestion.suite import Suite

_POLL_SECONDS = 0.005
_LONGEST_SECONDS = 120.0
_PAUSE_SECONDS = 0.3
_numbers = itertools.count()


async def measure(suite: Suite, *, samples: int, behind: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows: seconds from the ack to the first search that finds a document."""
    await _seconds_to_searchable(suite)  # makes the collection
    idle = sorted([await _seconds_to_searchable(suite) for _ in range(samples)])
    filling = asyncio.create_task(_fill(suite, behind, seed))
    await _queued(suite, min(behind // 2, 1000))
    busy = []
    for _ in range(samples):
        busy.append(await _seconds_to_searchable(suite))
        await asyncio.sleep(_PAUSE_SECONDS)
    left = await _queued(suite, 0)
    await filling
    busy.sort()
    middle = len(idle) // 2
    case = f"one document behind {behind} of another tenant"
    return [
        row("one document, idle", "cairn", "searchable_p50_seconds", idle[middle]),
        row("one document, idle", "cairn", "searchable_max_seconds", idle[-1]),
        row(case, "cairn", "searchable_p50_seconds", busy[middle])
        | {
            "ratio": round(busy[middle] / idle[middle], 3),
            "against": "idle",
            "queued_at_the_end": left,
        },
        row(case, "cairn", "searchable_max_seconds", busy[-1]),
    ]


async def _fill(suite: Suite, count: int, seed: int) -> None:
    texts = list(enumerate(documents(count, SHORT, seed)))
    for start in range(0, count, PER_REQUEST):
        part = texts[start : start + PER_REQUEST]
        await submit(suite, "noisy", "noisy", {f"n{seed}-{number}": text for number, text in part})


async def _queued(suite: Suite, at_least: int) -> int:
    """Waits until so many documents of the noisy tenant are in the queue."""
    while True:
        stats = await suite.ingestion.GetQueueStats(
            pb.GetQueueStatsRequest(scope=scope("noisy")), timeout=30
        )
        depth = stats.queued_count + stats.running_count
        if depth >= at_least:
            return depth
        await asyncio.sleep(0.05)


async def _seconds_to_searchable(suite: Suite) -> float:
    number = next(_numbers)
    word = f"zyzzyva{number}"
    await submit(suite, "quiet", "quiet", {word: f"# Find me\n\nThis one says {word} and more.\n"})
    started = time.perf_counter()
    request = retrieval_pb.SearchRequest(
        scope=scope("quiet"),
        collection="quiet",
        query=retrieval_pb.Query(text=word),
        options=retrieval_pb.SearchOptions(top_k=1, mode=retrieval_pb.SEARCH_MODE_KEYWORD),
    )
    while time.perf_counter() - started < _LONGEST_SECONDS:
        try:
            answer = await suite.retrieval.Search(request, timeout=10)
        except Exception:  # noqa: BLE001 - before the first document there is no collection
            answer = None
        if answer is not None and any(each.passage.document_id == word for each in answer.passages):
            return time.perf_counter() - started
        await asyncio.sleep(_POLL_SECONDS)
    raise RuntimeError("a document was not found in time")
