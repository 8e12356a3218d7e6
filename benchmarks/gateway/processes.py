"""The processes of a run: gateways, engines, services, LiteLLM's proxy; what they take."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A process and its children."""

    pid: int

    def cpu_seconds(self) -> float:
        """Processor time since the start, children included."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / _TICKS

    def resident_mib(self) -> float:
        """Resident memory now, children included."""
        pages = 0
        for pid in _family(self.pid):
            with contextlib.suppress(FileNotFoundError):
                pages += int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * _PAGE / (1 << 20)


@dataclass(frozen=True, slots=True)
class Door:
    """An HTTP server under measurement."""

    port: int
    key: str
    process: Measured


@contextlib.asynccontextmanager
async def process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT
) -> AsyncIterator[Measured]:
    """Runs a program while the block runs; it ends with its children."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=kept | {"HF_HUB_OFFLINE": "1"} | dict(environment),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Measured(started.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, 15)
        try:
            await asyncio.wait_for(started.wait(), 15)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, 9)
            await started.wait()


@contextlib.asynccontextmanager
async def service(name: str, settings: Mapping[str, str]) -> AsyncIterator[Measured]:
    """Runs one of the suite's services."""
    given = {
        "LOG_LEVEL": "error",
        "DRAIN_DELAY_SECONDS": "0",
        "GRACE_SECONDS": "1",
        "METRICS_PORT": "0",
        **settings,
    }
    environment = {f"CAIRN_{name.upper()}_{key}": value for key, value in given.items()}
    async with process([sys.executable, "-m", f"services.{name}"], environment) as started:
        yield started


@contextlib.asynccontextmanager
async def mock_engine(kind: str) -> AsyncIterator[int]:
    """Runs an engine that writes without a model; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.engines", kind, str(port)]
    async with process(command, {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}):
        await listening(port)
        yield port


@contextlib.asynccontextmanager
async def gateway(folder: Path, targets: Mapping[str, str], **more: str) -> AsyncIterator[Door]:
    """Runs a gateway whose limits are counted and never reached."""
    port = free_port()
    settings = {
        "HTTP_PORT": str(port),
        "PORT": "0",
        "DATA_DIR": str(folder),
        "RATE_PER_SECOND": "1000000",
        "RATE_BURST": "1000000",
        **{f"{name.upper()}_TARGET": target for name, target in targets.items()},
        **more,
    }
    async with service("gateway", settings) as started:
        await answering(port, "/readyz")
        key = (folder / "gateway" / "admin.key").read_text("utf-8").strip()
        yield Door(port, key, started)


@contextlib.asynccontextmanager
async def litellm(python: str, folder: Path, engine_port: int) -> AsyncIterator[Door]:
    """Runs LiteLLM's proxy with one worker, keys, limits and usage."""
    port, key = free_port(), "sk-bench-0123456789abcdef"
    gate = Path(__file__).with_name("peers") / "litellm_gate.py"
    (folder / "litellm_gate.py").write_text(gate.read_text("utf-8"), "utf-8")
    (folder / "config.yaml").write_text(
        f"""\
model_list:
  - model_name: mock
    litellm_params:
      model: openai/mock
      api_base: http://127.0.0.1:{engine_port}/v1
      api_key: none
general_settings:
  custom_auth: litellm_gate.authenticate
litellm_settings:
  callbacks: litellm_gate.usage_logger
  telemetry: false
""",
        "utf-8",
    )
    environment = {
        "BENCH_KEY": key,
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "PYTHONPATH": str(folder),
    }
    command = [
        str(Path(python).with_name("litellm")),
        *("--config", str(folder / "config.yaml"), "--port", str(port), "--num_workers", "1"),
    ]
    async with process(command, environment, folder) as started:
        await answering(port, "/health/liveliness")
        yield Door(port, key, started)


async def listening(port: int) -> None:
    """Waits until something listens."""
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


async def answering(port: int, path: str) -> None:
    """Waits until a path answers 200."""
    end = time.monotonic() + _START_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                    return
            if time.monotonic() > end:
                raise TimeoutError(f"{path} on port {port} does not answer")
            await asyncio.sleep(0.2)


def free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except FileNotFoundError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(fields[11]) + int(fields[12])
