"""The systems under measurement, each a process with vLLM's own children."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.generation.workload import Result, Workload

ROOT = Path(__file__).resolve().parents[2]
SERVED = ("cairn", "http", "grpc")
"""What is measured beside the engine alone: ours, and vLLM's own servers."""
_READY_SECONDS = 240
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class System:
    """A system that answers workloads."""

    name: str
    target: str
    """Where its server listens; empty: it has none."""
    process: psutil.Process
    measure: Callable[[Workload], Awaitable[Result]]

    def front_seconds(self) -> float:
        """CPU time of the front process, since its start."""
        times = self.process.cpu_times()
        return times.user + times.system

    def engine_seconds(self) -> float:
        """CPU time of the engine's processes."""
        found = 0.0
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                found += times.user + times.system
        return found


@dataclass(frozen=True, slots=True)
class Setup:
    """What all systems have in common."""

    python: str
    """Of the vLLM environment."""
    grpc_python: str
    """Of an environment that also has vLLM's gRPC server; empty: that one is left out."""
    model: Path
    engine_args: dict[str, Any]
    cores: str
    """Cores for the model's threads, as vLLM's CPU build takes them; empty: all."""

    def environment(self) -> dict[str, str]:
        """Returns the environment of every system."""
        chosen = {
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        }
        if self.cores:
            chosen["VLLM_CPU_OMP_THREADS_BIND"] = self.cores
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
        return {**kept, **chosen}


class Bare:
    """AsyncLLM in a process that takes workloads by its standard input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def _answer(self, question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())

    async def encode(self, questions: Sequence[str]) -> list[list[int]]:
        """Returns prompts as tokens."""
        return await self._answer({"encode": list(questions)})

    async def measure(self, workload: Workload) -> Result:
        """Runs a workload."""
        return Result(**await self._answer(workload.as_json()))


@contextlib.asynccontextmanager
async def bare(setup: Setup) -> AsyncIterator[tuple[System, Bare]]:
    """Starts AsyncLLM with nothing in front of it."""
    command = [setup.python, "-m", "benchmarks.generation.bare", str(setup.model)]
    arguments = json.dumps(setup.engine_args)
    async with _process([*command, arguments], setup.environment(), pipes=True) as started:
        assert started.stdout is not None
        line = await asyncio.wait_for(started.stdout.readline(), _READY_SECONDS)
        if line != b"ready\n":
            raise RuntimeError("AsyncLLM did not start")
        runner = Bare(started)
        yield System("AsyncLLM", "", psutil.Process(started.pid), runner.measure), runner


@contextlib.asynccontextmanager
async def cairn(setup: Setup, name: str = "cairn", **settings: str) -> AsyncIterator[System]:
    """Starts the generation service."""
    port = free_port()
    own = {
        "ENGINES": "vllm",
        "VLLM_MODEL": str(setup.model),
        "VLLM_ENGINE_ARGS": json.dumps(setup.engine_args),
        "PORT": str(port),
        "METRICS_PORT": "0",
        "EMBEDDING_TARGET": "none",
        "DRAIN_DELAY_SECONDS": "0",
        **settings,
    }
    environment = setup.environment() | {f"CAIRN_GENERATION_{key}": own[key] for key in own}
    command = [setup.python, "-m", "services.generation"]
    async with _process(command, environment) as started:
        yield await _served(name, started, port, setup.python, "cairn")


@contextlib.asynccontextmanager
async def vllm_http(setup: Setup) -> AsyncIterator[System]:
    """Starts vLLM's own HTTP server."""
    port = free_port()
    module = "vllm.entrypoints.openai.api_server"
    command = [setup.python, "-m", module, "--model", str(setup.model), "--port", str(port)]
    more = ["--host", "127.0.0.1", "--served-model-name", "bench", "--disable-uvicorn-access-log"]
    async with _process([*command, *more, *_flags(setup.engine_args)], setup.environment()) as it:
        yield await _served("vllm HTTP", it, port, setup.python, "http")


@contextlib.asynccontextmanager
async def vllm_grpc(setup: Setup) -> AsyncIterator[System]:
    """Starts vLLM's own gRPC server."""
    port = free_port()
    module = "vllm.entrypoints.launchers.grpc_server"
    command = [setup.grpc_python, "-m", module, "--model", str(setup.model), "--port", str(port)]
    flags = ["--host", "127.0.0.1", *_flags(setup.engine_args)]
    async with _process([*command, *flags], setup.environment()) as started:
        yield await _served("vllm gRPC", started, port, setup.grpc_python, "grpc")


def served(setup: Setup, name: str) -> contextlib.AbstractAsyncContextManager[System]:
    """Starts the system of that name, one of `SERVED`."""
    return {"cairn": cairn, "http": vllm_http, "grpc": vllm_grpc}[name](setup)


async def _served(
    name: str, started: asyncio.subprocess.Process, port: int, python: str, kind: str
) -> System:
    target = f"127.0.0.1:{port}"
    await _until_ready(started, port)

    async def measure(workload: Workload) -> Result:
        asking = await asyncio.create_subprocess_exec(
            python, "-m", "benchmarks.generation.load", kind, target,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, said = await asking.communicate(json.dumps(workload.as_json()).encode())
        if asking.returncode:
            raise RuntimeError(f"{name}: {said.decode(errors='replace')[-2000:]}")
        return Result(**json.loads(printed))

    system = System(name, target, psutil.Process(started.pid), measure)
    # Health comes before the model in some of them: only an answer proves that it serves.
    await _until_answered(system)
    return system


async def _until_ready(started: asyncio.subprocess.Process, port: int) -> None:
    ends_at = time.monotonic() + _READY_SECONDS
    while time.monotonic() < ends_at:
        if started.returncode is not None:
            raise RuntimeError("a server ended before it was ready")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise RuntimeError("a server was not ready in time")


async def _until_answered(system: System) -> None:
    probe = Workload(("ready?",), 1, 1, ((5, 6, 7),))
    ends_at = time.monotonic() + _READY_SECONDS
    while True:
        try:
            if (await system.measure(probe)).tokens:
                return
        except RuntimeError:
            if time.monotonic() > ends_at:
                raise
        await asyncio.sleep(2 * _POLL_SECONDS)


@contextlib.asynccontextmanager
async def _process(
    command: Sequence[str], environment: dict[str, str], *, pipes: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    log = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process is
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if pipes else log,
        stderr=log,
        limit=64 * 1024 * 1024,
    )
    family = psutil.Process(started.pid)
    try:
        yield started
    except BaseException:
        log.seek(0)
        print(log.read().decode(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        log.close()
        children = family.children(recursive=True) if started.returncode is None else []
        if started.returncode is None:
            started.terminate()
        try:
            await asyncio.wait_for(started.wait(), 20)
        except TimeoutError:
            started.kill()
            await started.wait()
        for child in children:  # vLLM's own servers leave theirs behind
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _flags(engine_args: dict[str, Any]) -> list[str]:
    """Returns engine arguments as options of vLLM's programs."""
    flags: list[str] = []
    for key, value in engine_args.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            flags.append(option)
        elif isinstance(value, dict):
            flags += [option, json.dumps(value)]
        elif value is not False:
            flags += [option, str(value)]
    return flags


def free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
