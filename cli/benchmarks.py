"""Finds and runs the benchmarks of a checkout: folders with a program that prints one object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.errors import CliError

FOLDER = Path(__file__).parents[1] / "benchmarks"
_FIELDS = ("bench", "versions", "machine", "seed", "rows")
_ROW_FIELDS = ("case", "system", "metric", "value")


def benchmark_names(folder: Path = FOLDER) -> list[str]:
    """Returns the names that can be run: folders with a program."""
    return sorted(path.parent.name for path in folder.glob("*/__main__.py"))


def summary_of(name: str, folder: Path = FOLDER) -> str:
    """Returns the first paragraph of a benchmark's README on one line."""
    try:
        text = (folder / name / "README.md").read_text("utf-8")
    except OSError:
        return ""
    paragraphs = [part for part in text.split("\n\n") if part and not part.startswith("#")]
    return " ".join(paragraphs[0].split()) if paragraphs else ""


def run_benchmark(
    name: str, *, is_quick: bool, more: Sequence[str] = (), folder: Path = FOLDER
) -> dict[str, Any]:
    """Runs a benchmark in a process of its own and returns what it found; its stderr is ours.

    Args:
        name: Which.
        is_quick: Whether it must end within about a minute.
        more: Options of its own, as given.
        folder: Where benchmarks are.

    Raises:
        CliError: there is none of this name, it failed, or its object is not the promised one.
    """
    if name not in (names := benchmark_names(folder)):
        raise CliError(
            f"there is no benchmark {name!r}",
            f"choose from {', '.join(names)}" if names else "they are part of a checkout",
        )
    options = ["--json", *(["--quick"] if is_quick else []), *more]
    done = subprocess.run(  # noqa: S603 - a program of this checkout
        [sys.executable, "-m", f"{folder.name}.{name}", *options],
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": str(folder.parent)},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise CliError(f"benchmark {name} ended with exit code {done.returncode}")
    return _checked(name, done.stdout)


def _checked(name: str, text: str) -> dict[str, Any]:
    try:
        report = json.loads(text)
    except ValueError:
        raise CliError(f"benchmark {name} did not print one JSON object") from None
    missing = [field for field in _FIELDS if not isinstance(report, dict) or field not in report]
    if not missing:
        missing = [
            f"rows[{index}].{field}"
            for index, row in enumerate(report["rows"])
            for field in _ROW_FIELDS
            if field not in row
        ]
    if missing:
        raise CliError(f"the object of benchmark {name} lacks {', '.join(missing)}")
    return report


def extras(row: Mapping[str, Any]) -> str:
    """Returns a row's comparison and further figures as text."""
    parts = []
    if "ratio" in row:
        parts.append(f"{row['ratio']}x of {row.get('against', '?')}")
    known = {*_ROW_FIELDS, "ratio", "against"}
    parts += [f"{name} {value}" for name, value in row.items() if name not in known]
    return ", ".join(parts)
