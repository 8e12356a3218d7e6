"""`python -m benchmarks.ingestion [--quick] [--json] [--only short,long,latency]`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from benchmarks.ingestion import latency, throughput
from benchmarks.ingestion.documents import LONG, SHORT
from benchmarks.ingestion.suite import running

SEED = 6
PARTS = ("short", "long", "latency")


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of their own")
    parser.add_argument(
        "--only",
        type=_parts,
        default=PARTS,
        help=f"of {','.join(PARTS)}, by commas; all unless set",
    )
    options = parser.parse_args()
    rows = asyncio.run(_measure(options.only, quick=options.quick, workers=options.workers))
    if options.json:
        print(json.dumps(_report(rows)))
        return
    for each in rows:
        extra = f"{each['ratio']}x of {each['against']}" if "ratio" in each else ""
        line = f"{each['case']:48} {each['system']:24} {each['metric']:26} {each['value']:>10}"
        print(f"{line} {extra}".rstrip())


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if not set(parts) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"must be of {','.join(PARTS)}")
    return parts


async def _measure(only: Sequence[str], *, quick: bool, workers: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with running(workers) as suite:
        if "short" in only:
            rows += await throughput.measure(
                suite, "short documents", 700 if quick else 3000, SHORT, SEED
            )
        if "long" in only:
            rows += await throughput.measure(
                suite, "long documents", 36 if quick else 200, LONG, SEED + 10
            )
        if "latency" in only:
            rows += await latency.measure(
                suite, samples=9 if quick else 21, behind=700 if quick else 10_000, seed=SEED + 20
            )
    return rows


def _report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in ("torch", "grpcio", "sqlalchemy", "tokenizers"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    machine = {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))}
    return {
        "bench": "ingestion",
        "versions": versions,
        "machine": machine,
        "seed": SEED,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
