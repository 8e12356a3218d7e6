"""`python -m benchmarks.gateway [--quick] [--json] [--litellm-python …] [--only …]`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import resource
import signal
import subprocess
import sys
from typing import Any

from benchmarks.gateway import chat, clients, overhead, semantic

SEED = 8
_PARTS = ("chat", "overhead", "semantic", "clients")
_PACKAGES = ("grpcio", "uvicorn", "uvloop", "fastapi", "pydantic")
_FILES = 20_000


def main() -> None:
    """Runs the benchmark and prints its rows."""
    options = _arguments().parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, _more_files())
    # Whoever ends it early ends what it started, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    versions = _versions()
    if options.litellm_python:
        versions["litellm"] = _litellm_version(options.litellm_python)
    else:
        _say("litellm: skipped, no --litellm-python with its environment")
    rows = asyncio.run(_measure(options))
    report = {
        "bench": "gateway",
        "versions": versions,
        "machine": {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0))},
        "seed": SEED,
        "rows": rows,
    }
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
        return
    for each in rows:
        print(_line(each))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--litellm-python",
        default=os.environ.get("CAIRN_BENCH_LITELLM_PYTHON", ""),
        help="Python of an environment that has litellm[proxy]",
    )
    parser.add_argument(
        "--only",
        default="",
        help=f"parts: {', '.join(_PARTS)}; empty: all, but clients if quick",
    )
    parser.add_argument("--items", type=int, default=100_000, help="of the clients' collection")
    parser.add_argument("--clients", type=int, default=5_000, help="kept connections")
    parser.add_argument("--rate", type=float, default=500, help="requests per second of them all")
    return parser


async def _measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    quick = options.quick
    parts = [part for part in options.only.split(",") if part]
    if not parts:
        parts = list(_PARTS[:-1] if quick else _PARTS)
    rows: list[dict[str, Any]] = []
    for part in parts:
        _say(f"measuring {part}")
        match part:
            case "chat":
                found = await chat.measure(
                    options.litellm_python, seconds=3 if quick else 8, rounds=1 if quick else 3
                )
            case "overhead":
                found = await overhead.measure(seconds=4 if quick else 15)
            case "semantic":
                found = await semantic.measure(seconds=5 if quick else 20)
            case "clients":
                found = await clients.measure(
                    items=10_000 if quick else options.items,
                    clients=500 if quick else options.clients,
                    per_second=50 if quick else options.rate,
                    seconds=10 if quick else 40,
                    seed=SEED,
                )
            case _:
                raise SystemExit(f"there is no part {part!r}: choose from {', '.join(_PARTS)}")
        for each in found:
            _say(_line(each))
        rows += found
    return rows


def _more_files() -> tuple[int, int]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_FILES if most == resource.RLIM_INFINITY else min(_FILES, most), most)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _litellm_version(python: str) -> str:
    ask = "import importlib.metadata as m; print(m.version('litellm'))"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} has no litellm: pip install 'litellm[proxy]'")
    return done.stdout.strip()


def _line(row: dict[str, Any]) -> str:
    extra = f"{row['ratio']}x of {row['against']}" if "ratio" in row else ""
    name = f"{row['case']:42} {row['system']:16} {row['metric']:32}"
    return f"{name} {row['value']:>10} {extra}".rstrip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
