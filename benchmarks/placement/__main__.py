"""`python -m benchmarks.placement [--quick] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from benchmarks.placement.workload import (
    CONTEXT_TOKENS,
    CONTEXTS,
    ByTurns,
    Questions,
    Run,
    ask_all,
)
from services.gateway.clients.generation_client import GenerationClient
from services.rpc.channel import open_channel
from services.rpc.guard import Guard
from services.rpc.placement import Placement
from services.rpc.replicas import Replicas
from services.rpc.retry_budget import RetryBudget
from tests.kit.generation_process import GenerationProcess, generation_process
from tests.kit.ports import free_port
from tests.kit.tiny_llama import ROOT, VLLM_PYTHON, tiny_llama_folder

SEED = 11
BLOCK_TOKENS = 32
CACHE_SHARE = 0.6
"""Of all contexts: what the cache of one replica holds."""
READY_SECONDS = 240


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no replica is killed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--vllm-python", default=str(VLLM_PYTHON))
    options = parser.parse_args()
    if not Path(options.vllm_python).exists():
        sys.exit("no vLLM here: `make vllm` builds .venv-vllm, or name one by --vllm-python")
    rows = asyncio.run(_rows(options))
    if options.json:
        machine = {"cores": os.cpu_count(), "processor": platform.machine()}
        versions = {"vllm": _vllm_version(options.vllm_python)}
        report = {"bench": "placement", "versions": versions, "machine": machine, "seed": SEED}
        print(json.dumps(report | {"rows": rows}))
        return
    for row in rows:
        more = f"{row['ratio']}x of {row['against']}" if "ratio" in row else ""
        print(f"{row['case']:18} {row['system']:10} {row['metric']:26} {row['value']:>8} {more}")


async def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = [free_port(), free_port()]
        processes = await asyncio.gather(
            *(
                asyncio.to_thread(stack.enter_context, _replica(options, folder, port))
                for port in ports
            )
        )
        target = ",".join(each.target for each in processes)
        questions = Questions(SEED)
        order = questions.draw(options.questions)
        runs: dict[str, Run] = {}
        for name, placement in (("by turns", ByTurns()), ("by prefix", Placement())):
            async with _asking(target, placement) as (client, replicas):
                runs[name] = await ask_all(client, replicas, questions, order, tenant=name)
        rows = _compared("two replicas", runs["by prefix"], runs["by turns"])
        if not options.quick:
            killed = await _with_a_kill(options, stack, folder, ports, processes, questions)
            rows += _after_a_kill(killed, runs["by turns"])
    return rows


async def _with_a_kill(
    options: argparse.Namespace,
    stack: contextlib.ExitStack,
    folder: Path,
    ports: list[int],
    processes: list[GenerationProcess],
    questions: Questions,
) -> list[Run]:
    """Kills a replica amid the questions and starts it again; returns the runs during and after."""
    target = ",".join(each.target for each in processes)
    order = questions.draw(options.questions)

    def kill(number: int) -> None:
        if number == options.questions // 4:
            processes[0].process.kill()

    async with _asking(target, Placement()) as (client, replicas):
        during = await ask_all(client, replicas, questions, order, "killed", on_start=kill)
        await asyncio.to_thread(stack.enter_context, _replica(options, folder, ports[0]))
        await _both(replicas)
        after = await ask_all(client, replicas, questions, order, "killed")
    return [during, after]


@contextlib.asynccontextmanager
async def _asking(
    target: str, placement: Placement
) -> AsyncIterator[tuple[GenerationClient, Replicas]]:
    guard = Guard("generation", RetryBudget("benchmark"), is_essential=True)
    async with (
        open_channel(target) as channel,
        Replicas("generation", target, placement=placement).running() as replicas,
    ):
        await _both(replicas)
        yield GenerationClient(channel, replicas, guard), replicas


async def _both(replicas: Replicas) -> None:
    """Waits until both replicas can serve."""
    async with asyncio.timeout(30):
        while len(replicas.usable()) < 2:  # noqa: ASYNC110 - channels have no event for it
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def _replica(options: argparse.Namespace, folder: Path, port: int) -> Iterator[GenerationProcess]:
    blocks = round(CACHE_SHARE * CONTEXTS * CONTEXT_TOKENS / BLOCK_TOKENS)
    arguments = {
        "max_model_len": 2048,
        "max_num_seqs": 8,
        "dtype": "bfloat16",
        "enforce_eager": True,
        "block_size": BLOCK_TOKENS,
        "num_gpu_blocks_override": blocks,
    }
    with generation_process(
        folder / f"{port}.log",
        python=options.vllm_python,
        ready_seconds=READY_SECONDS,
        port=str(port),
        engines="vllm",
        vllm_model=str(tiny_llama_folder()),
        vllm_engine_args=json.dumps(arguments),
        cache_salt_secret="a secret that both replicas know",
        VLLM_CPU_KVCACHE_SPACE="1",
        HF_HUB_OFFLINE="1",
    ) as process:
        yield process


def _compared(case: str, ours: Run, base: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for system, run in (("by turns", base), ("by prefix", ours)):
        tokens = sum(each.prompt_tokens for each in run.asked if each is not None)
        uncached: dict[str, Any] = {"metric": "uncached prompt tokens", "value": run.uncached()}
        if run is ours:
            uncached |= {
                "ratio": round(ours.uncached() / base.uncached(), 3),
                "against": "by turns",
            }
        figures = [
            {"metric": "prompt tokens", "value": tokens},
            uncached,
            {"metric": "most to mean load", "value": round(run.most_to_mean(), 3)},
            {"metric": "failed questions", "value": run.failed},
        ]
        rows += [{"case": case, "system": system, **each} for each in figures]
    return rows


def _after_a_kill(runs: list[Run], base: Run) -> list[dict[str, Any]]:
    during, after = runs
    half = slice(len(base.asked) // 2, None)
    ratio = round(after.uncached(half) / base.uncached(half), 3)
    return [
        {
            "case": "a replica killed",
            "system": "by prefix",
            "metric": "failed questions",
            "value": during.failed + after.failed,
        },
        {
            "case": "it is back",
            "system": "by prefix",
            "metric": "uncached prompt tokens",
            "value": after.uncached(half),
            "ratio": ratio,
            "against": "by turns",
        },
        {
            "case": "it is back",
            "system": "by prefix",
            "metric": "most to mean load",
            "value": round(after.most_to_mean(), 3),
        },
    ]


def _vllm_version(python: str) -> str:
    code = "import importlib.metadata as m; print(m.version('vllm-cpu'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
