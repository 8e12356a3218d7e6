"""How one engine is shared: a flooding neighbour, overload, the order of passages."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import passage_pb2, scope_pb2

from benchmarks.generation.workload import questions

_SHEDDING = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}


@dataclass(slots=True)
class Seen:
    """What a group of callers saw."""

    first_text_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    without_retry_info: int = 0
    late: int = 0
    finished: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    prompt_tokens: int = 0

    def first_text(self, share: float) -> float:
        """Returns a quantile of the time to the first text, in ms."""
        ranked = sorted(self.first_text_ms)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


class Callers:
    """Asks a generation service.

    Args:
        channel: To the service.
        seed: Of the questions.
    """

    def __init__(self, channel: grpc.aio.Channel, seed: int) -> None:
        self._stub = rpc.GenerationServiceStub(channel)
        self._source = random.Random(seed)

    def request(
        self, tenant: str, max_tokens: int, words: int = 60, *, is_live: bool = True
    ) -> pb.GenerateRequest:
        """Returns a question that nobody has asked before, for a stream or for a whole answer."""
        (question,) = questions(1, words, self._source.randrange(1 << 30))
        return pb.GenerateRequest(
            scope=scope_pb2.Scope(tenant=tenant, principals=["everyone"]),
            messages=[pb.Message(role=pb.ROLE_USER, content=question)],
            sampling=pb.Sampling(max_tokens=max_tokens, temperature=0.0),
            stream=is_live,
        )

    async def ask(self, request: pb.GenerateRequest, seen: Seen, within: float = 60) -> None:
        """Asks and notes what came."""
        began = time.perf_counter()
        is_first = True
        try:
            call: AsyncIterator[pb.GenerateResponse] = self._stub.Generate(request, timeout=within)
            async for event in call:
                if is_first and event.HasField("delta"):
                    seen.first_text_ms.append(1000 * (time.perf_counter() - began))
                    is_first = False
                if event.HasField("finished"):
                    usage = event.finished.usage
                    if event.finished.finish_reason == pb.FINISH_REASON_DEADLINE:
                        seen.late += 1
                        return
                    seen.finished += 1
                    seen.tokens += usage.completion_tokens
                    seen.cached_tokens += usage.cached_prompt_tokens
                    seen.prompt_tokens += usage.prompt_tokens
        except grpc.aio.AioRpcError as error:
            if error.code() not in _SHEDDING:
                raise
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                seen.late += 1
                return
            seen.refused_ms.append(1000 * (time.perf_counter() - began))
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            seen.without_retry_info += b"RetryInfo" not in bytes(details)  # pyright: ignore[reportArgumentType]

    async def keep_asking(
        self, tenant: str, workers: int, seconds: float, max_tokens: int, *, is_live: bool = True
    ) -> Seen:
        """Asks with so many workers, each its next question when one is answered."""
        seen = Seen()
        ends_at = time.monotonic() + seconds

        async def work() -> None:
            while time.monotonic() < ends_at:
                await self.ask(self.request(tenant, max_tokens, is_live=is_live), seen)

        await asyncio.gather(*(work() for _ in range(workers)))
        return seen

    async def arrive(
        self, tenant: str, per_second: float, seconds: float, max_tokens: int, within: float
    ) -> Seen:
        """Asks for whole answers at a rate, whatever is answered, for so long."""
        seen = Seen()
        ends_at = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < ends_at:
                asked = self.request(tenant, max_tokens, is_live=False)
                group.create_task(self.ask(asked, seen, within))
                await asyncio.sleep(self._source.expovariate(per_second))
        return seen


async def neighbours(target: str, *, seconds: float, seed: int) -> list[dict[str, Any]]:
    """Returns how late a quiet tenant's first text is beside one of 20 times its load."""
    async with grpc.aio.insecure_channel(target) as channel:
        callers = Callers(channel, seed)
        await callers.keep_asking("warm", 4, 2.0, 16)
        beside: dict[int, list[Seen]] = {1: [], 20: []}
        for _ in range(2):
            for load, found in beside.items():
                quiet, _other = await asyncio.gather(
                    callers.keep_asking("quiet", 2, seconds, 32),
                    callers.keep_asking("other", 2 * load, seconds, 32),
                )
                found.append(quiet)
    values = {load: min(each.first_text(0.95) for each in found) for load, found in beside.items()}
    return [
        {
            "case": "neighbour_at_1x",
            "system": "cairn",
            "metric": "first_text_ms_p95",
            "value": round(values[1], 1),
        },
        {
            "case": "neighbour_at_20x",
            "system": "cairn",
            "metric": "first_text_ms_p95",
            "value": round(values[20], 1),
            "ratio": round(values[20] / values[1], 2),
            "against": "neighbour_at_1x",
        },
    ]


async def overload(target: str, *, seconds: float, seed: int) -> list[dict[str, Any]]:
    """Returns goodput and refusals at twice the load that the engine can serve.

    Answers come whole: reading streams would take the callers as much of the cores as serving does.
    """
    async with grpc.aio.insecure_channel(target) as channel:
        callers = Callers(channel, seed)
        await callers.keep_asking("warm", 4, 2.0, 16)
        peak = await callers.keep_asking("peak", 64, seconds, 64, is_live=False)
        per_second = peak.finished / seconds
        flood = await callers.arrive("flood", 2 * per_second, 2 * seconds, 64, within=4.0)
    goodput = flood.finished / (2 * seconds)
    refused = sorted(flood.refused_ms) or [0.0]
    rows = [
        ("peak", "answers_per_second", per_second, {}),
        (
            "twice_the_load",
            "answers_per_second",
            goodput,
            {"ratio": round(goodput / per_second, 3), "against": "peak"},
        ),
        ("twice_the_load", "refused", len(flood.refused_ms), {}),
        ("twice_the_load", "refused_ms_p50", refused[len(refused) // 2], {}),
        ("twice_the_load", "refused_ms_p95", refused[int(0.95 * len(refused))], {}),
        ("twice_the_load", "refused_without_retry_info", flood.without_retry_info, {}),
        ("twice_the_load", "ended_by_deadline", flood.late, {}),
    ]
    return [
        {"case": case, "system": "cairn", "metric": metric, "value": round(value, 2), **more}
        for case, metric, value, more in rows
    ]


async def passage_order(target: str, *, requests: int, seed: int) -> list[dict[str, Any]]:
    """Returns what the canonical order of passages saves against the order of retrieval.

    The order of retrieval is asked for by ids that say nothing: passages of unnamed documents keep
    the order they are given in.
    """
    source = random.Random(seed)
    texts = [" ".join(questions(1, 70, seed + number)) for number in range(60)]
    topics = [source.sample(range(60), 5) for _ in range(20)]
    found: dict[str, Seen] = {}
    async with grpc.aio.insecure_channel(target) as channel:
        callers = Callers(channel, seed)
        for name, is_named in (("retrieval order", False), ("canonical order", True)):
            seen = found[name] = Seen()
            asked = random.Random(seed + 1)
            for _ in range(requests):
                shown = list(topics[min(19, int(asked.paretovariate(1.0)) - 1)])
                asked.shuffle(shown)
                request = callers.request(name, 8, words=8)
                for number in shown:
                    request.passages.append(
                        passage_pb2.ScoredPassage(
                            passage=passage_pb2.Passage(
                                document_id=f"d{number:02}" if is_named else "",
                                chunk_id=f"c{number:02}" if is_named else "",
                                text=texts[number],
                            )
                        )
                    )
                await callers.ask(request, seen)
    before, after = found["retrieval order"], found["canonical order"]
    cached = {name: seen.cached_tokens / seen.prompt_tokens for name, seen in found.items()}
    pairs = (
        ("cached_share", cached["retrieval order"], cached["canonical order"]),
        ("first_text_ms_p50", before.first_text(0.5), after.first_text(0.5)),
    )
    rows = []
    for metric, old, new in pairs:
        rows += [
            {
                "case": "passages",
                "system": "retrieval order",
                "metric": metric,
                "value": round(old, 3),
            },
            {
                "case": "passages",
                "system": "canonical order",
                "metric": metric,
                "value": round(new, 3),
                "ratio": round(new / old, 3) if old else 0.0,
                "against": "retrieval order",
            },
        ]
    return rows
