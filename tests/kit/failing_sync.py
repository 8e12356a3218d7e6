"""Makes SQLite's fsync fail, below SQLite and above the kernel: the driver's own file methods are replaced.

    python -m tests.kit.failing_sync FLAG MODULE

runs a module whose databases fail to sync as long as the file FLAG exists.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import runpy
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_int),
)
"""The name is passed as a bare pointer: SQLite keeps it."""
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_METHODS = 19
"""Words of sqlite3_io_methods in its third version; the first holds the version."""
_SYNC_WORD = 5


class _Vfs(ctypes.Structure):
    """The head of sqlite3_vfs."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("max_pathname", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("app_data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
    )


_kept: list[object] = []
"""What SQLite points to must live as long as the process."""


def fail_syncs(is_failing: Callable[[], bool]) -> None:
    """Makes syncs of files opened from now on fail with SQLITE_IOERR_FSYNC whenever asked to."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    vfs = library.sqlite3_vfs_find(None).contents
    former_open = _OPEN(vfs.open)
    replaced: dict[int, ctypes.Array[ctypes.c_void_p]] = {}

    def replace(methods: int) -> ctypes.Array[ctypes.c_void_p]:
        words = (ctypes.c_void_p * _METHODS).from_address(methods)
        copy = (ctypes.c_void_p * _METHODS)(*words)
        former_sync = _SYNC(words[_SYNC_WORD])

        def sync(file: int, flags: int) -> int:
            return sqlite3.SQLITE_IOERR_FSYNC if is_failing() else former_sync(file, flags)

        callback = _SYNC(sync)
        copy[_SYNC_WORD] = ctypes.cast(callback, ctypes.c_void_p).value
        _kept.extend((callback, copy, former_sync))
        return copy

    def open_file(self: int, name: int, file: int, flags: int, out_flags: object) -> int:
        code = former_open(self, name, file, flags, out_flags)
        methods = ctypes.c_void_p.from_address(file)
        if code == sqlite3.SQLITE_OK and methods.value:
            if methods.value not in replaced:
                replaced[methods.value] = replace(methods.value)
            methods.value = ctypes.addressof(replaced[methods.value])
        return code

    callback = _OPEN(open_file)
    _kept.extend((callback, former_open))
    vfs.open = ctypes.cast(callback, ctypes.c_void_p).value


if __name__ == "__main__":
    flag, module = Path(sys.argv[1]), sys.argv[2]
    fail_syncs(flag.exists)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
