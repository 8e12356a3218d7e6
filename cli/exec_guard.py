"""Becomes another program that dies with its parent.

Usage: `python exec_guard.py PARENT_PID PROGRAM ARGUMENTS…`. The kernel keeps the death signal over
`exec`, so the guard costs one interpreter start and no memory.
It runs as a script in isolated mode: it may import nothing but the standard library.
Elsewhere than on Linux it only executes; the sweeper does the rest.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Binds this process to its parent's life, then executes the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above: no signal will come any more
            sys.exit(1)
    # The interpreter ignores it, and what is ignored stays ignored in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - to become the program is the purpose


if __name__ == "__main__":
    main()
