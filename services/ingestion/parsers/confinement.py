"""What a parser process takes away from itself before it sees the first document."""

from __future__ import annotations

import ctypes
import platform
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVILEGES = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_MACHINES = {
    # Architecture as the kernel numbers it; system calls: socket, ptrace, process_vm_readv and
    # process_vm_writev, io_uring_setup.
    "x86_64": (0xC000003E, (41, 101, 310, 311, 425)),
    "aarch64": (0xC00000B7, (198, 117, 270, 271, 425)),
}
_FOREIGN_CALLS = 0x40000000
"""System calls from here on are those of a second table on x86-64 (x32)."""
_LOAD, _JUMP_EQUAL, _JUMP_NOT_BELOW, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
_MAX_FILES = 64


def confine(memory_bytes: int) -> None:
    """Gives up what parsing does not need: files to write, the network, outliving its parent.

    Args:
        memory_bytes: Address space the process may have.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_FILES, _MAX_FILES))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        library = ctypes.CDLL(None)
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _refuse_calls(library)


def _refuse_calls(library: ctypes.CDLL) -> None:
    """Makes the kernel refuse to open sockets and to look into other processes.

    Where it cannot (another architecture, a kernel without seccomp), the limits remain.
    """
    known = _MACHINES.get(platform.machine())
    if known is None:
        return
    architecture, calls = known
    refuse = len(calls) + 1
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 0, refuse + 2, architecture),
        (_LOAD, 0, 0, 0),
        (_JUMP_NOT_BELOW, refuse, 0, _FOREIGN_CALLS),
        *((_JUMP_EQUAL, refuse - 1 - place, 0, call) for place, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HL", len(steps), ctypes.addressof(buffer))
    if library.prctl(_PR_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
        library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(program))
