"""`python -m benchmarks.answers [--quick] [--json] [--data DIR] [--chunks N] [--data-dir DIR]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.answers import corpus
from benchmarks.gateway.load import Plan, percentile, send
from benchmarks.gateway.rows import all_latencies, latency_rows, row
from benchmarks.report import report
from benchmarks.suites import ROOT, Suite, cairn, running, suite

BENCH = "answers"
PACKAGES = ("cairn-rag", "grpcio", "numpy", "torch")
SEED = 7
OWN = ROOT / "tests" / "data" / "quality"
COLLECTION = "answers"
SYSTEM = "cairn"
_CONNECTIONS = 64
_HISTORY = 5
_WARM_SECONDS = 3.0
_SETTLE_SECONDS = 180.0
_IDLE_SHARE = 0.1
"""Of a core, that a suite takes that does nothing."""
_SPARE = 200
"""Questions that are asked before those that count."""


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, default=OWN, help="texts: a folder as of cairn eval")
    parser.add_argument("--chunks", type=int, help="of the collection")
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--rate", type=float, default=20.0, help="questions a second")
    parser.add_argument("--recommend-rate", type=float, default=200.0)
    parser.add_argument("--only", choices=("query", "recommend", "load"), action="append")
    parser.add_argument(
        "--data-dir", type=Path, help="a suite that runs, with the collection or without; "
        "none: one is started"
    )  # fmt: skip
    options = parser.parse_args()
    chunks = options.chunks or (2_000 if options.quick else 100_000)
    seconds = options.seconds or (5.0 if options.quick else 40.0)
    parts = options.only or ["query", "recommend"]
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cairn-bench-")))
        started = (
            running(options.data_dir)
            if options.data_dir
            else stack.enter_context(suite(folder / "suite"))
        )
        load(started, options.data, folder, chunks)
        if "query" in parts:
            asks = _questions(
                options.data, int(options.rate * (seconds + _WARM_SECONDS) * 1.1) + _SPARE
            )
            rows += asyncio.run(_measure(started, "query", asks, options.rate, seconds))
        if "recommend" in parts:
            for name, make in _RECOMMENDATIONS.items():
                asks = _recommendations(make, chunks)
                rows += asyncio.run(
                    _measure(started, name, asks, options.recommend_rate, seconds)
                )  # fmt: skip
    for each in rows:
        each["case"] = f"{each['case']}, {chunks} chunks"
    if options.json:
        print(json.dumps(report(BENCH, rows, seed=SEED, packages=PACKAGES)))
        return
    for each in rows:
        print(f"{each['case']:44} {each['metric']:40} {each['value']:>10}")


def load(started: Suite, data: Path, folder: Path, chunks: int) -> None:
    """Makes the collection unless the suite holds it; its index is built."""
    found = json.loads(cairn(started.data_dir, "collections", "list", "--json"))
    if any(each["name"] == COLLECTION for each in found["collections"]):
        print(f"Collection {COLLECTION} is taken as it is.", file=sys.stderr)
        # A suite that was ended while it built an index builds it now: not while it is measured.
        cairn(started.data_dir, "collections", "optimize", COLLECTION)
        return
    export = folder / "collection"
    parts, revision = corpus.pieces(corpus.texts_of(data), SEED)
    corpus.write(export, parts, revision, chunks, SEED)
    cairn(started.data_dir, "collections", "import", COLLECTION, str(export))
    export.unlink()
    cairn(started.data_dir, "collections", "optimize", COLLECTION)


def _questions(data: Path, count: int) -> list[dict[str, Any]]:
    found = corpus.questions(data, corpus.texts_of(data), count, SEED)
    return [
        {
            "path": "/v1/query",
            "body": {"query": each, "collection": COLLECTION, "bypass_cache": True},
        }
        for each in found
    ]


def _recommendations(make: Callable[..., dict[str, Any]], chunks: int) -> list[dict[str, Any]]:
    rng = random.Random(SEED)
    return [
        {"path": "/v1/recommend", "body": make(rng, chunks) | {"collection": COLLECTION}}
        for _ in range(20_000)
    ]


def _ids(rng: random.Random, chunks: int, count: int) -> list[str]:
    return [f"d{rng.randrange(chunks):07}" for _ in range(count)]


def _like_one(rng: random.Random, chunks: int) -> dict[str, Any]:
    """More like a document, of those in stock."""
    return {"positive_ids": _ids(rng, chunks, 1), "filter": "stock > 0", "top_k": 10}


def _by_history(rng: random.Random, chunks: int) -> dict[str, Any]:
    """The best fifty like a document, of one category and in stock, ordered by history."""
    category = f'category = "c{rng.randrange(corpus.CATEGORIES)}"'
    return {
        "positive_ids": _ids(rng, chunks, 1),
        "liked_ids": _ids(rng, chunks, _HISTORY),
        "disliked_ids": _ids(rng, chunks, 1),
        "filter": f"stock > 0 AND {category}",
        "top_k": 10,
        "diversity": 0.2,
    }


_RECOMMENDATIONS = {"recommend, like one": _like_one, "recommend, by history": _by_history}


async def _measure(
    started: Suite, case: str, asks: list[dict[str, Any]], rate: float, seconds: float
) -> list[dict[str, Any]]:
    # One after the other: the collection's view is loaded by the first.
    await send(Plan(started.port, started.key, asks[-_SPARE:], 1, _WARM_SECONDS))
    await _settled(started)
    before = started.cpu_seconds()
    plan = Plan(
        started.port,
        started.key,
        asks,
        _CONNECTIONS,
        seconds,
        per_second=rate,
        warm_seconds=_WARM_SECONDS,
        keeps_timings=True,
        seed=SEED,
    )
    seen = await send(plan)
    after = started.cpu_seconds()
    count = seen["statuses"].get("200", 0)
    if not count:
        raise RuntimeError(f"nothing was answered: {seen['statuses']}")
    spent = {
        name: (after[name] - before[name]) / count * seconds / (seconds + _WARM_SECONDS)
        for name in after
    }
    accounted = seen["accounted"]
    return [
        row(case, "requests per second", count / seen["seconds"], SYSTEM),
        *latency_rows(case, all_latencies(seen), SYSTEM),
        row(case, "stages' share of the time told, mean", sum(accounted) / count, SYSTEM),
        row(case, "the same, lowest of 100", percentile(accounted, 0.01), SYSTEM),
        row(case, "refused or failed", sum(seen["statuses"].values()) - count, SYSTEM),
        row(case, "answers not whole", sum(seen["degraded"].values()), SYSTEM),
        *(
            row(case, f"processor ms a request, {name}", value * 1e3, SYSTEM)
            for name, value in spent.items()
            if value >= 5e-5
        ),
    ]


async def _settled(started: Suite) -> None:
    """Waits until nothing is built beside: a suite that was just started may have to."""
    until = time.monotonic() + _SETTLE_SECONDS
    former = sum(started.cpu_seconds().values())
    while time.monotonic() < until:
        await asyncio.sleep(2)
        now = sum(started.cpu_seconds().values())
        if now - former < _IDLE_SHARE * 2:
            return
        former = now
    print("The suite is still busy with something else.", file=sys.stderr)


if __name__ == "__main__":
    main()
