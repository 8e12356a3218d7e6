"""Hands out compiled searches by the width of codes, and compiles them in the background.

A query never waits for a compiler: until a width is ready, and on machines without numba, searches
use numpy. What was compiled is kept on disk where a folder can be written.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.retrieval.vectors.quantiser import LINE


@dataclass(frozen=True, slots=True)
class Kernels:
    """The compiled searches of one width."""

    search_ids: Any
    search_graph: Any
    search_floats: Any
    search_float_graph: Any


class KernelRegistry:
    """Compiled searches, made once for each width.

    Args:
        cache_folder: Where compiled code is kept; None: beside the package where that can be
            written, else nowhere.
    """

    def __init__(self, cache_folder: Path | None = None) -> None:
        self._folder = cache_folder
        self._ready: dict[int, Kernels] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        self.failure: str = ""
        """Why nothing is compiled; empty while all is well."""

    def configure(self, cache_folder: Path) -> None:
        """Sets the folder for compiled code; for what is compiled from now on."""
        self._folder = cache_folder

    def get(self, width: int) -> Kernels | None:
        """Returns the searches of a width, or None while they are not ready."""
        return self._ready.get(width)

    def prepare(self, width: int) -> None:
        """Starts to compile a width, unless that was done."""
        with self._lock:
            if width in self._threads or self.failure:
                return
            thread = threading.Thread(
                target=self._make, args=(width,), name=f"kernels-{width}", daemon=True
            )
            self._threads[width] = thread
        thread.start()

    def wait(self, width: int, seconds: float = 120.0) -> Kernels | None:
        """Compiles a width and waits for it: for start-up, builders, tests and benchmarks."""
        self.prepare(width)
        thread = self._threads.get(width)
        if thread is not None:
            thread.join(seconds)
        return self._ready.get(width)

    def _make(self, width: int) -> None:
        try:
            with self._compiling:
                made = self._compile(width, is_cached=True)
        except ImportError as error:
            self.failure = f"numba cannot be used: {error}"
        except Exception:  # noqa: BLE001 - a cache that is damaged or cannot be written
            try:
                with self._compiling:
                    made = self._compile(width, is_cached=False)
            except Exception as error:  # noqa: BLE001 - numpy serves instead
                self.failure = f"cannot compile: {type(error).__name__}: {error}"
            else:
                self._ready[width] = made
        else:
            self._ready[width] = made

    def _compile(self, width: int, *, is_cached: bool) -> Kernels:
        import numba  # noqa: PLC0415 - takes memory and time that only segments need

        folder = self._folder
        if folder is not None and is_cached:
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                numba.config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]
        # Imported after the folder is set: their own functions are cached there too.
        from services.retrieval.vectors.kernels import coded, floats  # noqa: PLC0415

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = Kernels(
                coded.scan(width, cache=is_cached),
                coded.walk(width, cache=is_cached),
                floats.scan(cache=is_cached),
                floats.walk(cache=is_cached),
            )
            _call_once(made, width)
        return made


def _call_once(made: Kernels, width: int) -> None:
    """Calls each search on a tiny segment: that compiles it, or loads it from the cache."""
    rows, d = 32, width
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((rows, d), np.float32)
    codes = rng.integers(0, 255, (rows, width), np.uint8)
    starts = np.arange(rows + 1)
    links = ((np.arange(rows) + 1) % rows).astype(np.int32)[:, None]
    upper, upper_links = np.empty((0, 2), np.int32), np.empty((0, 2), np.int32)
    scratch = Scratch(rows)
    out_rows, out_scores = np.empty((1, 2), np.int64), np.empty((1, 2), np.float32)
    ids, bits = np.arange(rows, dtype=np.int32), np.full(rows // 8, 255, np.uint8)
    scratch.fit(rows + 2, width, 8, 4)
    slack, steps = np.zeros(2), np.ones(d, np.float32)
    made.search_ids(
        codes, vectors, ids, bits, steps, vectors[:1], slack, scratch.quantised[:width],
        scratch.scores, scratch.near, out_rows, out_scores,
    )  # fmt: skip
    made.search_floats(vectors, ids, bits, vectors[:1], out_rows, out_scores)
    visited, epoch = np.zeros(rows, np.uint8), np.zeros(1, np.int64)
    made.search_graph(
        codes, vectors, starts, links, upper, upper_links, ids[:1], bits, bits, steps, vectors[:1], slack, 8, 2,
        visited, epoch, scratch.quantised[:width], scratch.pool, scratch.fresh, out_rows, out_scores,
    )  # fmt: skip
    made.search_float_graph(
        vectors, starts, links, upper, upper_links, ids[:1], bits, bits, vectors[:1], 1.0, 8, 2,
        visited, epoch, scratch.pool, scratch.fresh, out_rows, out_scores,
    )  # fmt: skip


class Scratch(threading.local):
    """Buffers of one thread that searches write into, kept from search to search."""

    def __init__(self, rows: int = 4096) -> None:
        self.scores = np.empty(rows, np.int32)
        self.near = np.empty(rows, np.int32)
        self.quantised = np.empty(LINE, np.int16)
        self.pool = np.empty(1024, np.int64)
        self.fresh = np.empty((2, 256), np.int32)

    def fit(self, rows: int, width: int, effort: int = 0, links: int = 0) -> None:
        """Grows the buffers to what a search needs."""
        if len(self.scores) < rows:
            self.scores = np.empty(rows + rows // 4, np.int32)
            self.near = np.empty(rows + rows // 4, np.int32)
        if len(self.quantised) != width:
            self.quantised = np.empty(width, np.int16)
        if len(self.pool) < effort:
            self.pool = np.empty(effort, np.int64)
        if self.fresh.shape[1] < links * 2 + 128:
            self.fresh = np.empty((2, links * 2 + 128), np.int32)


REGISTRY = KernelRegistry()
"""The process's own: compiled code is the same for all segments."""
