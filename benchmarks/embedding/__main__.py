"""`python -m benchmarks.embedding [--quick] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
from typing import Any

from services.embedding.hardware import configure_process, has_fast_bfloat16, usable_cores

SEED = 4


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    configure_process(options.threads)
    from benchmarks.embedding.offline import compare  # noqa: PLC0415 - after the configuration
    from benchmarks.embedding.served import measure  # noqa: PLC0415 - as above

    rows = list(compare(options.threads, quick=options.quick, seed=SEED))
    rows += asyncio.run(measure(options.threads, quick=options.quick, seed=SEED))
    if options.json:
        print(json.dumps(_report(options.threads, rows)))
        return
    for row in rows:
        extra = f"{row['ratio']}x of {row['against']}" if "ratio" in row else ""
        cosine = f"min cosine {row['min_cosine']}" if "min_cosine" in row else ""
        print(
            f"{row['case']:28} {row['system']:30} {row['metric']:22} {row['value']:>10} "
            f"{extra} {cosine}".rstrip()
        )


def _report(threads: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    packages = ("torch", "tokenizers", "safetensors", "grpcio", "sentence-transformers")
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    machine = {
        "processor": platform.machine(),
        "threads": threads,
        "has_bfloat16": has_fast_bfloat16(),
    }
    return {
        "bench": "embedding",
        "versions": versions,
        "machine": machine,
        "seed": SEED,
        "rows": rows,
    }


if __name__ == "__main__":
    main()
