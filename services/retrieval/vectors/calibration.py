"""Measures what comparing rows costs on this machine, once, in a tenth of a second.

It runs behind the compiler in its thread, so no query waits for it; until then the figures of the
machine that this was written on serve.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors.planner import Costs

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.retrieval.vectors.kernels.registry import Kernels

_ROWS, _NEAR_ROWS, _FAR_ROWS = 60_000, 2_000, 20_000
WIDTH = 384
_ROUNDS = 5
_FAR_ROWS_A_STEP = 10.0
"""A step of a walk waits for memory three times: for links, marks and codes. Measured 9 to 12
times a row of a scan, at 100,000 and 300,000 rows."""
_current = Costs()


def current() -> Costs:
    """Returns the costs that are known now."""
    return _current


def use(costs: Costs) -> None:
    """Sets the costs that planners go by."""
    global _current  # noqa: PLW0603 - one machine, one set of costs
    _current = costs


def measure(kernels: Kernels) -> Costs:
    """Returns the costs of this machine, from scans of random codes.

    Args:
        kernels: Compiled for a width of 384.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (_ROWS, WIDTH), np.uint8)
    vectors = np.zeros((_ROWS, WIDTH), np.float32)
    steps, slack = np.ones(WIDTH, np.float32), np.zeros(2)
    query = rng.standard_normal((1, WIDTH), np.float32)
    quantised = np.empty(WIDTH, np.int16)
    scores, near = np.empty(_ROWS, np.int32), np.empty(_ROWS, np.int32)
    rows, found = np.empty((1, 10), np.int64), np.empty((1, 10), np.float32)
    bits = np.empty(0, np.uint8)

    def scan(count: int) -> float:
        ids = np.sort(rng.permutation(_ROWS)[:count]).astype(np.int32)
        given = (codes, vectors, ids, bits, steps, query, slack, quantised, scores, near)
        return _best(lambda: kernels.search_ids(*given, rows, found))

    small, near_scan, far_scan = scan(200), scan(_NEAR_ROWS), scan(_FAR_ROWS)
    far_row = (far_scan - near_scan) / (_FAR_ROWS - _NEAR_ROWS)
    usual = Costs()
    return Costs(
        row=_bounded((near_scan - small) / (_NEAR_ROWS - 200), usual.row),
        far_row=_bounded(far_row, usual.far_row),
        step=_bounded(far_row * _FAR_ROWS_A_STEP, usual.step),
        base=_bounded(small / 2, usual.base),
    )


def load_or_measure(kernels: Kernels, folder: Path) -> Costs:
    """Returns the costs kept in a folder, or measures them and keeps them there if it can."""
    path = folder / "costs.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return Costs(**{key: float(value) for key, value in found.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        costs = measure(kernels)
    with contextlib.suppress(OSError):
        path.write_text(json.dumps(asdict(costs)), "utf-8")
    return costs


def _bounded(measured: float, usual: float) -> float:
    """Returns a figure within reason: start-ups are disturbed by much."""
    return min(max(measured, usual / 4), usual * 4)


def _best(run: Callable[[], object]) -> float:
    """Returns the least nanoseconds of a few runs: the others were disturbed."""
    times: list[int] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - began)
    return float(min(times))
