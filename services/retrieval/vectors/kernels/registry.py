"""Hands out compiled searches by the width of codes, and compiles them in the background.

A query never waits for a compiler: until a width is ready, and on machines without numba, searches
use numpy. What was compiled is kept on disk where a folder can be written.
"""

from __future__ import annotations

import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.retrieval.vectors import calibration
from services.retrieval.vectors.quantiser import LINE

_SMALL_ROWS = 65_536
SEEDS = 256
"""Most allowed rows that a filtered walk starts from."""
_BESIDE = Path(__file__).parent / "__pycache__"
_FOLDER_VARIABLE = "NUMBA_CACHE_DIR"
"""Numba's own name for it."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The compiled searches of one width."""

    search_ids: Any
    search_ids_four: Any
    descend: Any
    search_graph: Any
    search_floats: Any
    descend_floats: Any
    search_float_graph: Any


class KernelRegistry:
    """Compiled searches, made once for each width.

    Args:
        cache_folder: Where compiled code is kept if it cannot be kept beside the package, which
            all processes share; None: where a parent process keeps it, or nowhere.
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
        """Sets the other folder for compiled code, for builders started from here too."""
        self._folder = cache_folder
        os.environ[_FOLDER_VARIABLE] = str(cache_folder)

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
            return
        except Exception:  # noqa: BLE001 - a cache that is damaged or cannot be written
            try:
                with self._compiling:
                    made = self._compile(width, is_cached=False)
            except Exception as error:  # noqa: BLE001 - numpy serves instead
                self.failure = f"cannot compile: {type(error).__name__}: {error}"
                return
        self._calibrate(made, width)
        self._ready[width] = made

    def _calibrate(self, made: Kernels, width: int) -> None:
        if width == calibration.WIDTH:
            calibration.use(calibration.load_or_measure(made, self._cache()))

    def _cache(self) -> Path:
        root = _BESIDE
        if not os.access(root.parent, os.W_OK):
            given = os.environ.get(_FOLDER_VARIABLE)
            root = self._folder or (Path(given) if given else _BESIDE)
        return root / _sources_digest()

    def _compile(self, width: int, *, is_cached: bool) -> Kernels:
        # Takes memory and time that only segments need.
        from numba.core import config as numba_config  # noqa: PLC0415 - heavy, for segments only

        folder = self._cache()
        before = numba_config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        if is_cached:
            folder.mkdir(parents=True, exist_ok=True)
            numba_config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]
        # Imported after the folder is set: their own functions are cached there too.
        from services.retrieval.vectors.kernels import coded, floats  # noqa: PLC0415 - imports numba

        try:
            made = Kernels(
                coded.scan(width, cache=is_cached),
                coded.scan_four(width, cache=is_cached),
                coded.descent(width, cache=is_cached),
                coded.walk(width, cache=is_cached),
                floats.scan(cache=is_cached),
                floats.descent(cache=is_cached),
                floats.walk(cache=is_cached),
            )
            _call_once(made, width)
        finally:
            numba_config.CACHE_DIR = before  # pyright: ignore[reportAttributeAccessIssue]
        return made


def _sources_digest() -> str:
    """Names the compiled form of these sources: numba does not see when an imported one changes."""
    digest = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest = zlib.crc32(path.read_bytes(), digest)
    return f"kernels-{digest:08x}"


def _call_once(made: Kernels, width: int) -> None:
    """Calls each search on a tiny segment: that compiles it, or loads it from the cache."""
    rows = 32
    vectors = np.random.default_rng(0).standard_normal((rows, width), np.float32)
    codes = np.zeros((rows, width), np.uint8)
    ids, bits = np.arange(rows, dtype=np.int32), np.full(rows // 8, 255, np.uint8)
    starts, links = np.arange(rows + 1), ((ids + 1) % rows)[:, None]
    upper, upper_links = np.zeros((1, 2), np.int32), np.full((1, 2), -1, np.int32)
    upper[0, 1] = -1
    own = Scratch(64)
    own.fit(rows + 2, width)
    own.fit_four(rows + 2, width)
    slack, steps = np.zeros(2), np.ones(width, np.float32)
    out_rows, out_scores = np.empty((4, 2), np.int64), np.empty((4, 2), np.float32)
    entries = np.empty(4, np.int64)
    queries, out = vectors[:4], (out_rows, out_scores)
    scan = (codes, vectors, ids, bits, steps, queries, slack)
    made.search_ids(*scan, own.quantised, own.scores, own.near, *out)
    made.search_ids_four(*scan, own.four_quantised, own.four_scores, own.near, *out)
    made.search_floats(vectors, ids, bits, queries, *out)
    made.descend(codes, upper, upper_links, steps, queries, own.quantised, entries)
    made.descend_floats(vectors, upper, upper_links, queries, entries)
    visited, epoch = np.zeros(rows, np.uint8), np.zeros(1, np.int64)
    graph = (starts, links, entries, ids[:1], bits, bits)
    made.search_graph(
        codes, vectors, *graph, steps, queries, slack, 8, 2, visited, epoch, own.quantised,
        own.pool, own.fresh, *out,
    )  # fmt: skip
    made.search_float_graph(
        vectors, *graph, queries, 1.0, 8, 2, visited, epoch, own.pool, own.fresh, *out
    )


class Scratch(threading.local):
    """Buffers of one thread that searches write into, kept from search to search."""

    def __init__(self, rows: int = 4096) -> None:
        self.scores = np.empty(rows, np.int32)
        self.near = np.empty(rows, np.int32)
        self.quantised = np.empty(LINE, np.int16)
        self.four_scores = np.empty((4, 1), np.int32)
        self.four_quantised = np.empty((4, LINE), np.int16)
        self.pool = np.empty(1024, np.int64)
        self.fresh = np.empty((2, 512), np.int32)
        self.entries = np.empty(1, np.int64)

    def fit(self, rows: int, width: int, effort: int = 0, links: int = 0) -> None:
        """Grows the buffers to what a search needs."""
        if len(self.scores) < rows:
            self.scores = np.empty(rows + rows // 4, np.int32)
            self.near = np.empty(rows + rows // 4, np.int32)
        if len(self.quantised) != width:
            self.quantised = np.empty(width, np.int16)
        if len(self.pool) < effort:
            self.pool = np.empty(effort, np.int64)
        if self.fresh.shape[1] < links * 2 + SEEDS + 64:
            self.fresh = np.empty((2, links * 2 + SEEDS + 64), np.int32)

    def fit_four(self, rows: int, width: int) -> None:
        """Grows the buffers for four queries at once; they are let go when far too large."""
        if not rows <= self.four_scores.shape[1] <= rows * 4 + _SMALL_ROWS:
            self.four_scores = np.empty((4, rows), np.int32)
        if self.four_quantised.shape[1] != width:
            self.four_quantised = np.empty((4, width), np.int16)


REGISTRY = KernelRegistry()
"""The process's own: compiled code is the same for all segments."""
