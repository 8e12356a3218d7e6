"""Ends engine processes whose front process is gone.

vLLM runs its engine and workers as processes of their own, and they survive a killed front. A
process that `multiprocessing` spawns first imports the main module of its parent, before anything
heavy; `guard_children` makes that module this one, which arms the guard when it is so imported.
"""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import sys
import threading
import time

FRONT_PID_VARIABLE = "CAIRN_ENGINE_FRONT_PID"
_POLL_SECONDS = 0.5


def guard_children() -> None:
    """Makes processes spawned from now on, and theirs, end with this one."""
    os.environ[FRONT_PID_VARIABLE] = str(os.getpid())
    # `multiprocessing` does not import a package's __main__ in children; they get this module.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(__name__)


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


if __name__ == "__mp_main__":
    die_with_front()
