"""What CI runs: its exit status, its last line, and that nothing stays behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.repository.files import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="leftovers are found through /proc"
)

CLOSING = "======== 3 passed, 1 skipped in 1.23s ========"


def ci(tmp_path, make):
    """Runs .ci/run with `make` as the make that it finds."""
    program = tmp_path / "make"
    program.write_text(make, encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(ROOT / ".ci" / "run")],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_last_line_is_that_of_pytest(tmp_path):
    done = ci(tmp_path, f"#!/bin/sh\necho '{CLOSING}'\necho '== summary'\n")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == CLOSING


def test_a_failed_step_fails_the_run(tmp_path):
    done = ci(tmp_path, f"#!/bin/sh\necho '{CLOSING}'\nexit 2\n")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == CLOSING


def test_what_is_left_running_is_named_and_ended(tmp_path):
    """A process that left its session and ignores SIGTERM is found all the same."""
    pid_file = tmp_path / "pid"
    leftover = tmp_path / "leftover.py"
    leftover.write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.setsid()\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(120)\n",
        encoding="utf-8",
    )
    done = ci(
        tmp_path,
        f"#!/bin/sh\n{sys.executable} {leftover} >/dev/null 2>&1 &\n"
        f"until [ -s {pid_file} ]; do sleep 0.05; done\necho '{CLOSING}'\n",
    )
    assert "leftover.py" in done.stdout
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == CLOSING
    pid = int(pid_file.read_text(encoding="utf-8"))
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/status").exists() and time.monotonic() < deadline:
        if "State:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
            break  # dead; whoever adopted it has not reaped it yet
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()
