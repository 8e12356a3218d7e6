"""Ends engine processes whose front process is gone.

vLLM runs its engine and workers as processes of their own, and they survive a killed front. A spawned child
imports the front's main module before anything heavy, so `__main__` calls `die_with_front` there.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

FRONT_PID_VARIABLE = "CAIRN_ENGINE_FRONT_PID"
_POLL_SECONDS = 0.5


def name_front() -> None:
    """Tells processes started from now on that this one is their front."""
    os.environ[FRONT_PID_VARIABLE] = str(os.getpid())


def die_with_front() -> None:
    """Makes this process end, by SIGKILL, when the front or the direct parent ends.

    A kill leaves no time to hang in native code. Does nothing where no front is named.
    """
    front = os.environ.get(FRONT_PID_VARIABLE)
    if not front:
        return
    pids = {int(front), os.getppid()}
    threading.Thread(target=_watch, args=(pids,), name="orphan-guard", daemon=True).start()


def _watch(pids: set[int]) -> None:
    if hasattr(os, "pidfd_open"):
        try:
            poll = select.poll()
            for pid in pids:
                poll.register(os.pidfd_open(pid), select.POLLIN)
            poll.poll()
        except ProcessLookupError:
            pass  # gone already
    else:
        while all(_is_alive(pid) for pid in pids):
            time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
