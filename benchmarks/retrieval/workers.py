"""The harness' side of worker processes: starts them, asks them, says aloud which are missing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OURS = "cairn"


class WorkerError(RuntimeError):
    """A worker could not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where workers come from and where they keep things."""

    peers_python: str
    """Python of the peers' environment; empty: this one."""
    cache: Path
    """Folder of built indexes, by system, version, data and seed."""


class Worker:
    """One system in a process of its own.

    Args:
        name: Which.
        command: Program and arguments.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        )
        self.version = ""
        self.build_cpu_seconds: float | None = None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Sends one request and waits for its answer.

        Raises:
            WorkerError: the worker is gone or reports an error.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "opened with pipes"
        assert stdout is not None, "opened with pipes"
        try:
            stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name} ended with code {self._process.wait(10)}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def open(self, data: Path, cache: Path) -> None:
        """Opens its index over a data folder, building it when the cache has none."""
        described = self.ask("describe")
        self.version = described["version"]
        folder = cache / f"{self.name}-{self.version}-{described['key']}-{data.name}"
        note = folder / "build.json"
        is_built = note.exists()
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        answer = self.ask("open", data=str(data), folder=str(folder))
        if not is_built:
            figures = {**answer, "seconds": time.monotonic() - began}
            note.write_text(json.dumps(figures), "utf-8")
            say(f"{self.name} {self.version}: built in {figures['seconds']:.0f} s")
        self.build_cpu_seconds = json.loads(note.read_text("utf-8"))["cpu_seconds"]

    def close(self) -> None:
        """Hangs up and waits for its end."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def opened(
    names: Sequence[str], places: Places, data: Path, *, pin: bool = True
) -> Iterator[dict[str, Worker]]:
    """Yields the workers that could be opened, by name; the others are said aloud.

    Args:
        names: Systems wanted; `cairn` is ours.
        places: Where they come from.
        data: Data folder.
        pin: Whether all run on one core, the last one.
    """
    workers: dict[str, Worker] = {}
    try:
        for name in names:
            try:
                worker = Worker(name, _command(name, places))
            except OSError as error:
                say(f"left out: {name}: {error}")
                continue
            try:
                worker.open(data, places.cache)
                if pin:
                    worker.ask("pin", core=max(os.sched_getaffinity(0)))
            except WorkerError as error:
                say(f"left out: {error}")
                worker.close()
                if name == OURS:
                    raise
            else:
                workers[name] = worker
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def say(text: str) -> None:
    """Tells people on stderr; stdout is for the report."""
    print(text, file=sys.stderr, flush=True)


def _command(name: str, places: Places) -> list[str]:
    if name == OURS:
        return [sys.executable, "-m", "benchmarks.retrieval.ours"]
    python = places.peers_python or sys.executable
    return [python, "-m", "benchmarks.retrieval.peers.worker", name]
