"""The front is nicer than what it has started, with all of its threads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, subprocess, sys, threading
from services.generation.engine_first import yield_to_engine
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
threading.Thread(target=threading.Event().wait, daemon=True).start()
before = os.getpriority(os.PRIO_PROCESS, 0)
yield_to_engine(int(sys.argv[1]))
own = [os.getpriority(os.PRIO_PROCESS, int(each)) for each in os.listdir("/proc/self/task")]
childs = os.getpriority(os.PRIO_PROCESS, child.pid)
child.communicate(b"\\n")
print(json.dumps([[each - before for each in own], childs - before]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="niceness of threads is Linux's")
@pytest.mark.parametrize("niceness", [0, 3])
def test_threads_step_back_and_children_do_not(niceness: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(niceness)], capture_output=True, text=True, check=True
    )
    own, child = json.loads(done.stdout)

    assert len(own) >= 2
    assert set(own) == {niceness}
    assert child == 0
