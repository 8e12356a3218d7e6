"""A folder that belongs to one process, though several share the data directory.

Processes take the first folder that no living one holds: after a restart that is the folder of the
process before, with its files. A lock of the operating system says who holds it, and is gone with
its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from services.rpc.errors import StartupError

MAX_SLOTS = 64


class Slot:
    """A folder held by this process.

    Args:
        path: The folder.
        lock: Open file that is locked.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """Lets another process have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def claim(root: Path) -> Slot:
    """Takes the first folder that nobody holds.

    Args:
        root: Folder of the folders; made when it is not there.

    Raises:
        StartupError: more processes share the data directory than there may be.
    """
    for number in range(MAX_SLOTS):
        path = root / f"replica-{number}"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        return Slot(path, lock)
    raise StartupError(f"more than {MAX_SLOTS} processes share {root}")
