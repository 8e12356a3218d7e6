"""A program in a pseudo-terminal of its own, as a person runs it."""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Makes the terminal the controlling one: only then does Ctrl-C become SIGINT.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


class Terminal:
    """The person's side."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._raw = b""

    @property
    def text(self) -> str:
        """What stands on the screen and above, without escape sequences."""
        return _ESCAPES.sub("", self._raw.decode("utf-8", "replace"))

    def read_until(self, pattern: str, seconds: float) -> re.Match[str]:
        """Waits for output that matches."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, f"waited in vain for {pattern!r}:\n{self.text}"
            assert self._read(0.5), f"ended before {pattern!r}:\n{self.text}"
        return found

    def press_ctrl_c(self) -> None:
        """Types Ctrl-C."""
        os.write(self._descriptor, b"\x03")

    def wait(self, seconds: float) -> int:
        """Waits for the program's end; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"did not end:\n{self.text}"
            self._read(0.2)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        """Reads what there is; returns whether there may be more."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return seconds > 0
        try:
            chunk = os.read(self._descriptor, 65536)
        except OSError:  # the other side is closed
            return False
        self._raw += chunk
        return bool(chunk)


@contextlib.contextmanager
def terminal(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Runs `command` in a new terminal while the block lasts; kills it at the end if need be."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=dict(environment) | {"TERM": "xterm-256color"},
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)
