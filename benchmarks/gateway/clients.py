"""Thousands of kept connections with think time, over a large collection.

7 requests of 10 recommend items like one of the collection's, within a category; 3 search by words
and meaning with queries that repeat as they do in life (Zipf), half of them never asked before.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.types.v1 import metadata_pb2, vector_pb2

from benchmarks.gateway.load import Plan, send
from benchmarks.gateway.processes import gateway
from benchmarks.gateway.rows import all_latencies, latency_rows, row
from benchmarks.gateway.semantic import SCOPE, Services, services

_DIMENSIONS = 384
_MODEL = "all-MiniLM-L6-v2"
_BATCH = 500
_CATEGORIES = 20
_KNOWN_QUERIES = 400
_ADJECTIVES = [
    "red",
    "blue",
    "light",
    "heavy",
    "warm",
    "small",
    "large",
    "quiet",
    "fast",
    "soft",
    "hard",
    "bright",
    "dark",
]
_NOUNS = [
    "lamp",
    "chair",
    "table",
    "jacket",
    "shoe",
    "bottle",
    "phone",
    "book",
    "clock",
    "bag",
    "ball",
    "knife",
    "mirror",
]


async def measure(
    *, items: int, clients: int, per_second: float, seconds: float, seed: int
) -> list[dict[str, Any]]:
    """Returns rows for one run.

    Args:
        items: In the collection.
        clients: Connections, kept for the whole run.
        per_second: Requests of all of them together.
        seconds: Of the run, after ten that are not counted.
        seed: Of everything random.
    """
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as name:
        folder = Path(name)
        async with services(folder) as behind:
            await _fill(behind, items, seed)
            async with gateway(folder, behind.targets) as door:
                asks = _asks(items, round(per_second * (seconds + 10) * 1.5), seed)
                before = door.process.resident_mib()
                plan = Plan(
                    door.port,
                    door.key,
                    asks,
                    clients,
                    seconds,
                    per_second=per_second,
                    warm_seconds=10,
                    seed=seed,
                )
                processes = {"gateway": door.process, **behind.processes}
                used = {name: each.cpu_seconds() for name, each in processes.items()}
                seen = await send(plan)
                used = {name: each.cpu_seconds() - used[name] for name, each in processes.items()}
                after = door.process.resident_mib()
    case = f"{clients} clients, {items} items"
    count = sum(seen["statuses"].values())
    errors = count - seen["statuses"].get("200", 0)
    kinds = {
        kind: latency_rows(f"{case}, {kind}", found) for kind, found in seen["latencies_ms"].items()
    }
    return [
        row(case, "requests per second", count / seen["seconds"]),
        row(case, "errors", errors) | {"refused": str(seen["refused"])},
        *latency_rows(case, all_latencies(seen)),
        *(each for rows in kinds.values() for each in rows),
        *(
            row(case, f"processors, {name}", each / seen["whole_seconds"])
            for name, each in used.items()
        ),
        row(case, "resident MiB before", before),
        row(case, "resident MiB after", after),
    ]


async def _fill(behind: Services, items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    settings = retrieval.CollectionSettings(dimensions=_DIMENSIONS, embedding_model=_MODEL)
    await behind.retrieval.CreateCollection(
        retrieval.CreateCollectionRequest(scope=SCOPE, name="default", settings=settings),
        wait_for_ready=True,
        timeout=60,
    )
    centres = rng.normal(size=(200, _DIMENSIONS)).astype(np.float32)
    for first in range(0, items, _BATCH):
        count = min(_BATCH, items - first)
        rows = centres[rng.integers(0, 200, count)] + 0.7 * rng.normal(
            size=(count, _DIMENSIONS)
        ).astype(np.float32)
        documents = [_item(first + place, rows[place], rng) for place in range(count)]
        await behind.retrieval.Upsert(
            retrieval.UpsertRequest(scope=SCOPE, collection="default", documents=documents),
            timeout=120,
        )
    # Builds the index now, not beside the clients.
    async for _ in behind.retrieval.OptimizeCollection(
        retrieval.OptimizeCollectionRequest(scope=SCOPE, name="default"), timeout=600
    ):
        pass


def _item(number: int, row_: Any, rng: Any) -> retrieval.Document:
    text = (
        f"{_ADJECTIVES[int(rng.integers(len(_ADJECTIVES)))]} "
        f"{_NOUNS[int(rng.integers(len(_NOUNS)))]} number {number}"
    )
    vector = vector_pb2.Vector(
        data=row_.astype("<f4").tobytes(),
        element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
        dimensions=_DIMENSIONS,
    )
    return retrieval.Document(
        document_id=f"item-{number}",
        text=text,
        metadata={"category": metadata_pb2.MetadataValue(keyword=f"c{number % _CATEGORIES}")},
        chunks=[retrieval.Chunk(chunk_id="c0", start=0, end=len(text), vector=vector)],
    )


def _asks(items: int, count: int, seed: int) -> list[dict[str, Any]]:
    chosen = random.Random(seed)
    known = [
        f"{chosen.choice(_ADJECTIVES)} {chosen.choice(_NOUNS)} {n}" for n in range(_KNOWN_QUERIES)
    ]
    weights = [1 / (place + 1) for place in range(_KNOWN_QUERIES)]
    asks: list[dict[str, Any]] = []
    for number in range(count):
        if chosen.random() < 0.7:
            item = chosen.randrange(items)
            body = {
                "positive_ids": [f"item-{item}"],
                "filter": f'category = "c{chosen.randrange(_CATEGORIES)}"',
                "top_k": 10,
            }
            asks.append({"path": "/v1/recommend", "body": body, "kind": "recommend"})
            continue
        query = chosen.choices(known, weights)[0]
        if chosen.random() < 0.5:
            query = f"{chosen.choice(_ADJECTIVES)} {chosen.choice(_NOUNS)} of kind {number}"
        body = {"query": query, "top_k": 10}
        asks.append({"path": "/v1/search", "body": body, "kind": "search"})
    return asks
