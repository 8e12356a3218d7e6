"""What the operating system says of processes: since when they run, how much memory they hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAT_START_TIME = 19  # fields after the command's name: state is 0, ppid is 1


def start_ticks(pid: int) -> str:
    """Returns a mark of the process's start that a later process of the same id does not share.

    Empty when there is no such process (a zombie counts as none).
    """
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        return fields[_STAT_START_TIME] if fields and fields[0] != "Z" else ""
    return _ps(pid, "lstart")


def is_same_process(pid: int, ticks: str) -> bool:
    """Returns whether `pid` is still the process that had this mark."""
    return bool(ticks) and start_ticks(pid) == ticks


def rss_bytes(pid: int) -> int:
    """Returns the resident memory of the process and all its descendants; 0 when it is gone."""
    if sys.platform == "linux":
        return sum(_linux_rss_bytes(one) for one in (pid, *_linux_descendants(pid)))
    return int(_ps(pid, "rss") or 0) * 1024


def _linux_rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _linux_descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _stat_fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name in parentheses may hold anything


def _ps(pid: int, column: str) -> str:
    command = ["/bin/ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed program
