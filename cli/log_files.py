"""Log files of the suite's processes: rotated at each start, bounded while they grow."""

from __future__ import annotations

import shutil
from collections import deque
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEPT_COUNT = 3
_MAX_BYTES = 32 * 1024 * 1024


class LogFolder:
    """The folder `<data-dir>/logs`."""

    def __init__(self, folder: Path) -> None:
        """Names the folder; created when a log is opened."""
        self._folder = folder

    def path(self, name: str) -> Path:
        """Returns where a process's log is."""
        return self._folder / f"{name}.log"

    def rotate(self, name: str) -> None:
        """Makes room for the log of a new run: `.log` becomes `.log.1`, and so on."""
        kept = [self.path(name)] + [
            self.path(name).with_suffix(f".log.{number}") for number in range(1, _KEPT_COUNT + 1)
        ]
        for older, newer in zip(reversed(kept), list(reversed(kept))[1:], strict=False):
            if newer.exists():
                newer.replace(older)

    def open(self, name: str) -> IO[bytes]:
        """Opens the log for a process to append to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self.path(name).open("ab")

    def bound(self, name: str) -> None:
        """Moves the content aside when the log has grown past its bound.

        The process goes on writing to the same file: it was opened for appending, so what it
        writes next lands at the new end. Lines written between copy and cut are lost.
        """
        path = self.path(name)
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            with path.open("r+b") as log:
                log.truncate(0)

    def tail(self, name: str, line_count: int) -> list[str]:
        """Returns the last lines; empty when there is no log."""
        try:
            with self.path(name).open(encoding="utf-8", errors="replace") as log:
                return [line.rstrip("\n") for line in deque(log, maxlen=line_count)]
        except OSError:
            return []
