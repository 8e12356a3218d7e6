"""The files of a segment: plain arrays and a manifest with their checksums.

A folder is written beside its final name, synced, and renamed: it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

MANIFEST = "segment.json"
_FORM = 1
_BLOCK_BYTES = 1 << 22


class DamagedSegmentError(Exception):
    """A segment's folder is not what was written: a file is missing, cut, changed or unknown."""


def array_path(folder: Path, name: str) -> Path:
    """Returns the file of an array."""
    return folder / f"{name}.bin"


def write_array(folder: Path, name: str, array: NDArray[Any]) -> None:
    """Writes an array as its plain little-endian bytes."""
    np.ascontiguousarray(array).tofile(array_path(folder, name))


def new_array(folder: Path, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Returns an array that lives in its file, to be filled."""
    if 0 in shape:
        array_path(folder, name).touch()
        return np.empty(shape, dtype)
    return np.memmap(array_path(folder, name), dtype, "w+", shape=shape)


def seal(
    folder: Path, arrays: dict[str, tuple[str, tuple[int, ...]]], about: dict[str, Any]
) -> None:
    """Writes the manifest, last of all files, and syncs everything.

    Args:
        folder: Where the arrays were written.
        arrays: By name: dtype and shape; every other file is listed as bytes.
        about: What else the manifest says.
    """
    files: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST:
            continue
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        digest = _digest(path)
        files[path.name] = {"bytes": path.stat().st_size, "crc32": digest}
    described = {
        name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in arrays.items()
    }
    body = {"form": _FORM, **about, "arrays": described, "files": files}
    text = json.dumps(body, sort_keys=True)
    whole = {"body": body, "crc32": zlib.crc32(text.encode())}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(whole, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns what the manifest says, proven to be what was written.

    Raises:
        DamagedSegmentError: no manifest, a damaged one, or one of an unknown form.
    """
    try:
        whole = json.loads((folder / MANIFEST).read_text("utf-8"))
        body = whole["body"]
        text = json.dumps(body, sort_keys=True)
        if zlib.crc32(text.encode()) != whole["crc32"]:
            raise DamagedSegmentError(f"{MANIFEST} was changed")
        form = body["form"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedSegmentError(f"{MANIFEST} cannot be read: {type(error).__name__}") from error
    if form != _FORM:
        raise DamagedSegmentError(f"{MANIFEST} has form {form}, not {_FORM}")
    return body


def check_file(folder: Path, name: str, manifest: dict[str, Any], *, is_deep: bool) -> None:
    """Checks a file's length, and its checksum if that is wanted.

    Raises:
        DamagedSegmentError: it is missing, cut or changed.
    """
    path = folder / name
    wanted = manifest["files"].get(name)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DamagedSegmentError(f"{name} is missing") from error
    if wanted is None or size != wanted["bytes"]:
        raise DamagedSegmentError(f"{name} has {size} bytes, not {wanted and wanted['bytes']}")
    if is_deep and _digest(path) != wanted["crc32"]:
        raise DamagedSegmentError(f"{name} was changed")


def open_array(
    folder: Path, name: str, manifest: dict[str, Any], *, is_mapped: bool
) -> NDArray[Any]:
    """Returns an array of a checked segment, mapped from its file or read into memory.

    Mapped arrays are private copies to the program: writable, though nothing writes, because
    compiled code would be compiled anew for arrays that are read-only.
    """
    described = manifest["arrays"][name]
    shape, dtype = tuple(described["shape"]), np.dtype(described["dtype"])
    path = array_path(folder, name)
    if 0 in shape:
        return np.empty(shape, dtype)
    if is_mapped:
        return np.memmap(path, dtype, "c", shape=shape).view(np.ndarray)
    return np.fromfile(path, dtype).reshape(shape)


def sync_folder(folder: Path) -> None:
    """Makes names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(made: Path, folder: Path) -> None:
    """Renames a sealed folder to its final name."""
    if folder.exists():
        shutil.rmtree(folder)
    made.rename(folder)
    sync_folder(folder.parent)


def _digest(path: Path) -> int:
    """Returns a file's CRC-32, which changes with any flipped byte; 3.6 GB a second."""
    digest = 0
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest = zlib.crc32(buffer[:size], digest)
    return digest
