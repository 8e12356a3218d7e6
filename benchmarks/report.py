"""What a benchmark prints as JSON: its rows, and what they were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def report(
    bench: str, rows: Sequence[Mapping[str, Any]], *, seed: int, packages: Iterable[str]
) -> dict[str, Any]:
    """Returns the object.

    Args:
        bench: The benchmark's name.
        rows: What was measured, losing rows included.
        seed: Of the data and of the order of requests.
        packages: Distributions whose versions matter.
    """
    return {
        "bench": bench,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "machine": {"cores": os.cpu_count() or 0, "processor": platform.machine()},
        "seed": seed,
        "rows": list(rows),
    }
