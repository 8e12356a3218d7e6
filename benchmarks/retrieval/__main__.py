"""`python -m benchmarks.retrieval [--quick] [--json] [--peers …] [--rows …] [--only …]`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.retrieval import cases, dataset, engine, indexes, quality, served
from benchmarks.retrieval.build import build
from benchmarks.retrieval.dataset import Folder
from benchmarks.retrieval.peers.worker import MODULES
from benchmarks.retrieval.workers import OURS, ROOT, Places, opened, say

SEED = 0
_QUICK_ROWS = 10_000
_PARTS = ("engine", "service", "indexes", "quality")
_PACKAGES = ("numpy", "numba", "faiss-cpu", "grpcio", "sqlalchemy")


def main() -> None:
    """Runs the benchmark and prints its rows."""
    options = _arguments().parse_args()
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as scratch:
        cache = Path(options.cache or scratch).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        places = Places(options.peers_python, cache)
        peers = [name for name in options.peers.split(",") if name]
        sizes = [int(each) for each in options.rows.split(",")]
        if options.quick:
            sizes = [min(size, _QUICK_ROWS) for size in sizes[:1]]
        if options.build:
            build(peers, places, sizes, SEED)
            return
        versions = _versions()
        rows = []
        for row in _run(options, places, peers, sizes, versions):
            say(_line(row))
            rows.append(row)
    report = {
        "bench": "retrieval",
        "versions": versions,
        "machine": _machine(),
        "seed": SEED,
        "rows": rows,
    }
    if options.json:
        print(json.dumps(report))
        return
    for row in rows:
        print(_line(row))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", default=",".join(MODULES), help="systems to compare with")
    parser.add_argument("--rows", default="100000", help="sizes, comma-separated")
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("CAIRN_BENCH_PEERS_PYTHON", ""),
        help="Python of an environment that has the peers",
    )
    parser.add_argument("--cache", default="", help="folder that keeps data and built indexes")
    parser.add_argument(
        "--only", default="", help=f"parts: {', '.join(_PARTS)}; empty: all, the first if quick"
    )
    parser.add_argument("--rounds", type=int, default=0, help="rounds of all systems; 0: 7")
    parser.add_argument("--cases", default="", help="filters to measure; empty: all")
    parser.add_argument(
        "--data", default=str(ROOT.parent / "shared" / "data"), help="labelled sets for quality"
    )
    parser.add_argument("--build", action="store_true", help="only build indexes into the cache")
    return parser


def _run(
    options: argparse.Namespace,
    places: Places,
    peers: list[str],
    sizes: list[int],
    versions: dict[str, str],
) -> Iterator[dict[str, Any]]:
    effort = engine.QUICK if options.quick else engine.FULL
    if options.rounds:
        effort = replace(effort, rounds=options.rounds)
    parts = options.only.split(",") if options.only else _PARTS[: 1 if options.quick else None]
    chosen = {name.strip() for name in options.cases.split(",") if name.strip()}
    wanted = [case for case in cases.ALL if not chosen or case.name in chosen]
    for size in sizes:
        folder = dataset.make(size, dataset.QUERIES, SEED, places.cache)
        if "engine" in parts:
            with opened([OURS, *peers], places, folder.path) as workers:
                versions |= {worker.name: worker.version for worker in workers.values()}
                yield from _builds(workers, size)
                yield from engine.compare(workers, folder, wanted, effort, SEED)
        if "indexes" in parts:
            yield from indexes.measure(folder, places, is_quick=options.quick)
        if "service" in parts:
            yield from _service(folder, places, is_quick=options.quick)
    if "quality" in parts:
        yield from quality.measure(Path(options.data), places.cache)


def _service(folder: Folder, places: Places, *, is_quick: bool) -> list[dict[str, Any]]:
    async def rows() -> list[dict[str, Any]]:
        with opened([OURS], places, folder.path, pin=False) as workers:
            found = []
            async for row in served.measure(
                folder, Path(scratch), workers[OURS], is_quick=is_quick
            ):
                say(_line(row))
                found.append(row)
            return found

    with tempfile.TemporaryDirectory(prefix="cairn-bench-service-") as scratch:
        return asyncio.run(rows())


def _builds(workers: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for worker in workers.values():
        yield {
            "case": f"build, {size} rows",
            "system": worker.name,
            "metric": "cpu_seconds",
            "value": round(worker.build_cpu_seconds or 0.0, 1),
        }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _machine() -> dict[str, Any]:
    about = Path("/proc/cpuinfo")
    text = about.read_text("utf-8") if about.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def _line(row: Mapping[str, Any]) -> str:
    head = f"{row['case']:32} {row['system']:18} {row['metric']:24} {row['value']:>12}"
    known = {"case", "system", "metric", "value"}
    rest = "  ".join(f"{name} {value}" for name, value in row.items() if name not in known)
    return f"{head}  {rest}".rstrip()


if __name__ == "__main__":
    main()
