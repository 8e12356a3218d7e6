"""A file of one process's events, which outlives the process.

Lines go into a file that is mapped into memory, before a request ends: a killed process loses none,
for the mapped pages are the operating system's; a line that was cut off in the middle belonged to a
request that was never answered. A system call for each line would let the interpreter's lock go
each time, and wait for it beside a thread that computes: a stream writes a line for each piece.
Whoever holds the lock on a file owns it: the lock ends with the process, and the next to take it
brings the events home.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from prometheus_client import Counter

from services.gateway.ledger.events import MOVED, Outcome, UsageEvent, decode_line
from services.gateway.usage import CostParts, Usage

_STEP_BYTES = 1_000_000
"""What the file grows by: some thousand requests."""
_RETRY_SECONDS = 5.0
"""A disk that had no room is not asked again for so long: each try writes until it is full."""
_CLOSED = -1
_LINES_AT_ONCE = 50
_BREATH_SECONDS = 0.002
"""Requests need the interpreter between some lines of an orphan: each holds it for 10 µs."""
_FAILED = Counter(
    "cairn_gateway_journal_errors_total",
    "Lines of usage that the disk did not take; they are lost if the process dies at once.",
)


class Journal:
    """The file that this process appends to.

    Args:
        folder: Of all journals; it is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._file = _create(folder)
        self._mapped: mmap.mmap | None = None
        self._capacity = 0
        self._full_until = 0.0
        self.size_bytes = 0

    def append(self, line: bytes) -> bool:
        """Writes a line where it outlives the process; False when the disk has no room for it."""
        end = self.size_bytes + len(line)
        if end > self._capacity and not self._grow(end):
            _FAILED.inc()
            return False
        assert self._mapped is not None
        self._mapped[self.size_bytes : end] = line
        self.size_bytes = end
        return True

    def remove(self) -> None:
        """Deletes the file: its events are in the store."""
        self.path.unlink(missing_ok=True)
        self._close()

    def abandon(self) -> None:
        """Leaves the file to whoever brings its events home."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self.size_bytes)
        self._close()

    def _grow(self, least: int) -> bool:
        """Makes room for more lines; False when the disk has none."""
        if time.monotonic() < self._full_until:
            return False
        capacity = max(least, self._capacity + _STEP_BYTES)
        try:
            # Zeros that are written, not a hole: a full disk shows here, and not in a mapped page,
            # where it would end the process.
            _write_zeros(self._file, self._capacity, capacity)
            mapped = mmap.mmap(self._file, capacity)
        except OSError:
            self._full_until = time.monotonic() + _RETRY_SECONDS
            return False
        if self._mapped is not None:
            self._mapped.close()
        self._mapped, self._capacity = mapped, capacity
        return True

    def _close(self) -> None:
        if self._mapped is not None:
            self._mapped.close()
        os.close(self._file)
        # What still comes is refused as by a full disk.
        self._file, self._mapped, self._capacity = _CLOSED, None, 0


def _write_zeros(file: int, start: int, end: int) -> None:
    while start < end:
        start += os.pwrite(file, bytes(end - start), start)


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{secrets.token_hex(8)}.journal"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Another process may have taken the empty file for an orphan before it was locked.
        if _lock(file) and path.exists():
            return path, file
        os.close(file)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def orphan(path: Path) -> Iterator[int | None]:
    """Gives the file to the block when its process is gone, else None."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield file if _lock(file) else None
    finally:
        os.close(file)


def read_events(file: int, cost_of: Callable[[Usage, str], CostParts]) -> list[UsageEvent]:
    """Returns the events of an orphan; what was under way is interrupted, and costs what it used.

    Takes its time, in a thread, so that requests have theirs.

    Args:
        file: Open for reading, from its beginning.
        cost_of: Price of a usage by a model.
    """
    ended: dict[str, UsageEvent] = {}
    under_way: dict[str, UsageEvent] = {}
    with os.fdopen(os.dup(file), "rb") as lines:
        for number, line in enumerate(lines):
            if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                time.sleep(_BREATH_SECONDS)
            if line.startswith(b"\0"):
                break  # room that was not used
            found = decode_line(line)
            if isinstance(found, UsageEvent):
                is_over = found.outcome is not Outcome.INTERRUPTED
                (ended if is_over else under_way)[found.event_id] = found
            elif found is None or found[0] not in under_way:
                continue
            elif found[1] == MOVED:
                del under_way[found[0]]
            else:
                event = under_way[found[0]]
                usage = replace(event.usage, completion_tokens=found[1])
                under_way[found[0]] = replace(event, usage=usage)
    for event_id, event in under_way.items():
        if event_id not in ended:
            cost = cost_of(event.usage, event.model)
            ended[event_id] = replace(event, cost=cost)
    return list(ended.values())
