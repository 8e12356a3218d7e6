"""Fact 9: one event loop per process touches gRPC, and nothing forks."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import services

ROOT = pathlib.Path(services.__file__).parent
LOOP_MAKERS = {"run", "Runner", "new_event_loop"}
FORKS = {"fork", "forkpty", "Process", "Pool", "ProcessPoolExecutor"}


def calls() -> Iterator[tuple[str, str, str]]:
    """Yields file, object and attribute of each call `object.attribute(...)` in the services."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if isinstance(node.func.value, ast.Name):
                yield path.relative_to(ROOT).as_posix(), node.func.value.id, node.func.attr


def test_one_module_makes_the_event_loop() -> None:
    makers = {
        name
        for name, module, function in calls()
        if module in ("asyncio", "uvloop") and function in LOOP_MAKERS
    }
    assert makers == {"rpc/process.py"}


def test_nothing_forks() -> None:
    forks = [
        (name, f"{module}.{function}")
        for name, module, function in calls()
        if module in ("os", "multiprocessing", "futures", "concurrent") and function in FORKS
    ]
    assert forks == []
