"""Outlives a supervisor that was killed and ends what it left behind.

It reads lines from its standard input: `+PID` when a process group was started, `-PID` when it is
gone. The end of the input means that the supervisor is gone: what is still listed is ended, with
everything those processes started themselves. On Linux the services die with the supervisor by
the kernel's own hand (see `exec_guard`); the sweeper takes their children, and does the whole work
on other systems. It runs as a script in isolated mode: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05


def main() -> None:
    """Keeps the list until the input ends, then sweeps."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    _end(groups)


def _end(groups: set[int]) -> None:
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and any(_signal_group(group, 0) for group in groups):
        time.sleep(_POLL_SECONDS)
    for group in groups:
        _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Returns whether the group still had a process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main()
