"""Processes of an engine end with their front, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.generation_process import ROOT, are_gone

# A front as `python -m` makes one, a child as vLLM's engine, and its child as vLLM's worker. Both
# ignore SIGTERM and never look at their parent, as native code does.
_PROGRAM = """
import multiprocessing, signal, sys, time
from engine_child import engine

if __name__ == "__main__":
    from services.rpc.orphan_guard import guard_children
    guard_children()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=engine, args=(True,))
    process.start()
    process.join()
"""
_CHILD = """
import multiprocessing, signal, time

def engine(has_worker):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if has_worker:
        multiprocessing.get_context("spawn").Process(target=engine, args=(False,)).start()
    else:
        print("ready", flush=True)
    while True:
        time.sleep(60)
"""


@pytest.mark.parametrize("victim", ["front", "engine"])
def test_a_killed_front_or_engine_takes_its_children_along(tmp_path: Path, victim: str) -> None:
    package = tmp_path / "program"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_PROGRAM)
    (tmp_path / "engine_child.py").write_text(_CHILD)
    front = subprocess.Popen(
        [sys.executable, "-m", "program"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        stdout=subprocess.PIPE,
    )
    assert front.stdout is not None
    with front.stdout as output:
        assert output.readline() == b"ready\n"
        children = psutil.Process(front.pid).children(recursive=True)
        engines = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        try:
            assert len(engines) == 2
            if victim == "front":
                front.kill()
                assert are_gone(engines)
            else:
                (engine,) = (each for each in engines if each.ppid() == front.pid)
                engine.kill()
                assert are_gone(engines)
        finally:
            for child in engines:
                if child.is_running():
                    child.kill()
            front.kill()
            front.wait()
