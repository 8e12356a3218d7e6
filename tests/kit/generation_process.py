"""The generation service as a process of its own, found by the ports it logs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 30
_SHOWN_LINES = 40


@dataclass(frozen=True, slots=True)
class GenerationProcess:
    """A running generation service."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def descendants(self) -> list[psutil.Process]:
        """Returns the processes it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextlib.contextmanager
def generation_process(
    log: Path, *, python: Path | str = sys.executable, ready_seconds: float = 30, **settings: str
) -> Iterator[GenerationProcess]:
    """Runs the service for the block; it is ready when the block begins.

    Args:
        log: File for its output.
        python: Interpreter, of the environment it shall run in.
        ready_seconds: Longest wait for it.
        settings: CAIRN_GENERATION_… variables without the prefix, in lower case; names in capitals
            are taken as they are.
    """
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")},
        "CAIRN_GENERATION_PORT": "0",
        "CAIRN_GENERATION_METRICS_PORT": "0",
        "CAIRN_GENERATION_DRAIN_DELAY_SECONDS": "0.1",
        "CAIRN_GENERATION_EMBEDDING_TARGET": "none",
    }
    for key, value in settings.items():
        environment[key if key.isupper() else f"CAIRN_GENERATION_{key.upper()}"] = value
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "services.generation"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        ports = _ready(process, log, ready_seconds)
        yield GenerationProcess(process, ports["port"], ports["metrics_port"])
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode:  # without it a failing test would not say why the service has ended
            print(f"the service ended with {process.returncode}:{_end_of(log)}")


def are_gone(processes: list[psutil.Process], seconds: float = 10) -> bool:
    """Whether all of the processes end within the time; one that nobody has reaped has ended."""
    ends_at = time.monotonic() + seconds
    while any(_runs(process) for process in processes):
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end_of(log: Path) -> str:
    return "\n".join(["", *log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]])


def _ready(process: subprocess.Popen[bytes], log: Path, ready_seconds: float) -> dict[str, int]:
    """Returns the ports once the service says it is ready."""
    ends_at = time.monotonic() + ready_seconds
    while time.monotonic() < ends_at:
        lines = log.read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith('{"') and line[-1] == "}"]
        if any(event.get("event") == "ready" for event in events):
            names = ("port", "metrics_port")
            return {name: event[name] for event in events for name in names if name in event}
        if process.poll() is not None:
            raise AssertionError(f"the service ended:{_end_of(log)}")
        time.sleep(0.1)
    raise AssertionError(f"not ready after {ready_seconds} s:\n" + "\n".join(lines[-20:]))
