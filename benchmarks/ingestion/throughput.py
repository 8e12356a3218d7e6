"""How fast documents become searchable, against the embedding service alone on the same texts."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cairn.embedding.v1 import embedding_service_pb2 as embedding_pb
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.types.v1 import scope_pb2

from benchmarks.ingestion.documents import documents, embedded_texts

if TYPE_CHECKING:
    from benchmarks.ingestion.suite import Suite

_CALLS_AT_ONCE = 4
_TEXTS_PER_CALL = 64
PER_REQUEST = 50
_PROBE_SECONDS = 0.1
_POLL_SECONDS = 0.25


def scope(tenant: str) -> scope_pb2.Scope:
    """Returns the scope of a tenant's ingester."""
    return scope_pb2.Scope(tenant=tenant, principals=["everyone"], actor="service:bench")


async def measure(
    suite: Suite, case: str, count: int, paragraphs: int, seed: int
) -> list[dict[str, Any]]:
    """Returns rows: both rates in turns, who computed, and the ack's latency under such load.

    Documents are submitted one by one only in a second round, of half as many: such a document is
    no bulk, and costs several times what one of a thousand does.
    """
    idle = suite.cpu_seconds()["embedding"]
    alone_before = await _embed_alone(suite, documents(count // 2, paragraphs, seed + 1))
    alone_cpu = suite.cpu_seconds()["embedding"] - idle
    alone_chunks = _chunks(documents(count // 2, paragraphs, seed + 1))
    sent = documents(count, paragraphs, seed)
    chunks = _chunks(sent)
    before = suite.cpu_seconds()
    rate = await _ingest(suite, case, sent)
    after = suite.cpu_seconds()
    alone_after = await _embed_alone(suite, documents(count // 2, paragraphs, seed + 2))
    alone = (alone_before + alone_after) / 2
    beside, acks = await _ingest_beside_others(
        suite, case, documents(count // 2, paragraphs, seed + 3)
    )
    against = "embedding service alone"
    rows: list[dict[str, Any]] = [
        row(case, "embedding service alone", "chunks_per_second", alone),
        row(case, "embedding service alone", "cpu_ms_per_chunk", alone_cpu / alone_chunks * 1000),
        row(case, "cairn", "chunks_per_second", rate)
        | {"ratio": round(rate / alone, 3), "against": against},
        row(case, "cairn", "documents_per_second", rate * count / chunks),
        *(
            row(case, name, "cpu_ms_per_chunk", (after[name] - before[name]) / chunks * 1000)
            for name in suite.pids
        ),
    ]
    case = f"{case} beside others one by one"
    rows.append(
        row(case, "cairn", "chunks_per_second", beside)
        | {"ratio": round(beside / alone, 3), "against": against}
    )
    for percent in (50, 99, 100):
        name = f"submit_ack_p{percent}_ms" if percent < 100 else "submit_ack_max_ms"
        rows.append(row(case, "cairn", name, _percentile(acks, percent) * 1000))
    return rows


def row(case: str, system: str, metric: str, value: float) -> dict[str, Any]:
    """Returns one row of the report."""
    return {"case": case, "system": system, "metric": metric, "value": round(value, 3)}


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _chunks(sent: Sequence[str]) -> int:
    return sum(len(embedded_texts(document)) for document in sent)


async def _embed_alone(suite: Suite, sent: Sequence[str]) -> float:
    """Returns texts per second in the bulk lane; no text was seen before."""
    texts = [text for document in sent for text in embedded_texts(document)]
    calls = iter(
        [texts[start : start + _TEXTS_PER_CALL] for start in range(0, len(texts), _TEXTS_PER_CALL)]
    )

    async def work() -> None:
        for some in calls:
            options = embedding_pb.EmbedOptions(
                kind=embedding_pb.INPUT_KIND_DOCUMENT, lane=embedding_pb.LANE_BULK
            )
            request = embedding_pb.EmbedRequest(scope=scope("bench"), texts=some, options=options)
            await suite.embedding.Embed(request, timeout=120)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_CALLS_AT_ONCE)))
    return len(texts) / (time.perf_counter() - started)


async def _ingest(suite: Suite, case: str, sent: Sequence[str]) -> float:
    """Returns chunks per second, from the first submission to the last ready document."""
    started = time.perf_counter()
    job_ids: list[str] = []
    for start in range(0, len(sent), PER_REQUEST):
        part = list(enumerate(sent))[start : start + PER_REQUEST]
        job_ids += await submit(suite, "bulk", case, {f"{case}-{n}": text for n, text in part})
    jobs = await asyncio.gather(
        *(
            _finished(suite, "bulk", job_ids[start : start + 1000])
            for start in range(0, len(job_ids), 1000)
        )
    )
    seconds = time.perf_counter() - started
    return sum(job.chunk_count for job in itertools.chain(*jobs)) / seconds


async def _ingest_beside_others(
    suite: Suite, case: str, sent: Sequence[str]
) -> tuple[float, list[float]]:
    """Returns the same while others submit single documents, which do not count, and their acks."""
    probing = asyncio.create_task(_probe(suite, case))
    rate = await _ingest(suite, f"{case} again", sent)
    probing.cancel()
    return rate, await probing


async def _probe(suite: Suite, case: str) -> list[float]:
    """Submits small documents of another tenant until cancelled; returns seconds to the acks."""
    acks: list[float] = []
    try:
        for number in itertools.count():
            started = time.perf_counter()
            text = f"# Probe\n\nProbe {number} of {case}.\n"
            await submit(suite, "probe", case, {f"probe-{case}-{number}": text})
            acks.append(time.perf_counter() - started)
            await asyncio.sleep(_PROBE_SECONDS)
    except asyncio.CancelledError:
        pass
    return acks


async def submit(suite: Suite, tenant: str, collection: str, texts: dict[str, str]) -> list[str]:
    """Submits documents that must all be accepted and returns their jobs' ids."""
    request = pb.SubmitDocumentsRequest(
        scope=scope(tenant),
        collection=collection.replace(" ", "-"),
        documents=[
            pb.DocumentInput(
                header=pb.DocumentHeader(document_id=name, content_type="text/markdown"),
                content=text.encode(),
            )
            for name, text in texts.items()
        ],
    )
    answer = await suite.ingestion.SubmitDocuments(request, timeout=60)
    refused = [each.error.reason for each in answer.submissions if each.error.reason]
    if refused:
        raise RuntimeError(f"documents were refused: {refused[0]}")
    return [each.job.job_id for each in answer.submissions]


async def _finished(suite: Suite, tenant: str, job_ids: Sequence[str]) -> list[pb.Job]:
    """Waits for jobs, which must all become ready."""
    # Not by watching each: that would cost the machine a twentieth of what is measured.
    request = pb.GetQueueStatsRequest(scope=scope(tenant))
    while True:
        stats = await suite.ingestion.GetQueueStats(request, timeout=30)
        if stats.queued_count + stats.running_count == 0:
            break
        await asyncio.sleep(_POLL_SECONDS)
    last: dict[str, pb.Job] = {}
    watched = pb.WatchJobsRequest(scope=scope(tenant), job_ids=job_ids)
    async for message in suite.ingestion.WatchJobs(watched, timeout=300):
        last.update({job.job_id: job for job in message.jobs})
    failed = [job for job in last.values() if job.state != pb.JOB_STATE_READY]
    if failed:
        raise RuntimeError(f"a document failed: {failed[0].failure.reason}")
    return list(last.values())
