"""Reads parts of a ZIP container by name, within bounds; never writes anything anywhere."""

from __future__ import annotations

import io
import posixpath
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

from services.ingestion.parsers.parsed import UnparsableError
from services.ingestion.parsers.xml_source import parse_part

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_MAX_ENTRIES = 20_000
_MAX_PART_BYTES = 64 * 1024 * 1024
"""A tree of an XML part takes a multiple of this in memory."""
_MAX_TOTAL_BYTES = 160 * 1024 * 1024
_PIECE_BYTES = 1 << 20
_IS_ENCRYPTED = 0x1
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
"""What the standard library raises over damaged containers."""


class ZipSource:
    """The parts of a ZIP container.

    Args:
        data: The container.

    Raises:
        UnparsableError: it is damaged, encrypted or has too many parts.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            entries = self._archive.infolist()
        except _DAMAGE as error:
            raise UnparsableError(
                "PARSE_FAILED", "the file is damaged: its ZIP container cannot be read"
            ) from error
        if len(entries) > _MAX_ENTRIES:
            raise UnparsableError(
                "UNSAFE_CONTENT", f"the container has over {_MAX_ENTRIES} parts; it looks hostile"
            )
        self._entries = {entry.filename: entry for entry in entries}
        self._folded = {name.lower(): name for name in self._entries}
        self._budget = _MAX_TOTAL_BYTES

    def __contains__(self, name: object) -> bool:
        """Whether there is such a part."""
        return isinstance(name, str) and self._find(name) is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parts, as they stand in the container."""
        return tuple(self._entries)

    def read(self, name: str) -> bytes:
        """Returns a part.

        Raises:
            UnparsableError: it is missing, damaged, encrypted or too large when unpacked.
        """
        found = self._find(name)
        if found is None:
            raise UnparsableError("PARSE_FAILED", "the file is damaged: a part of it is missing")
        entry = self._entries[found]
        if entry.flag_bits & _IS_ENCRYPTED:
            raise UnparsableError(
                "ENCRYPTED", "the file is protected by a password; submit it without"
            )
        try:
            return self._unpack(entry)
        except _DAMAGE as error:
            raise UnparsableError(
                "PARSE_FAILED", "the file is damaged: a part of its container cannot be unpacked"
            ) from error

    def xml(self, name: str) -> Element:
        """Returns the root element of a part.

        Raises:
            UnparsableError: see `read` and `parse_part`.
        """
        return parse_part(self.read(name))

    def _find(self, name: str) -> str | None:
        name = name.lstrip("/")
        if name in self._entries:
            return name
        return self._folded.get(name.lower())

    def _unpack(self, entry: zipfile.ZipInfo) -> bytes:
        # What the header says of the size is not believed: bytes are counted as they come.
        limit = min(_MAX_PART_BYTES, self._budget)
        if entry.file_size > limit:
            raise _too_large()
        pieces: list[bytes] = []
        size = 0
        with self._archive.open(entry) as part:
            while piece := part.read(_PIECE_BYTES):
                size += len(piece)
                if size > limit:
                    raise _too_large()
                pieces.append(piece)
        self._budget -= size
        return b"".join(pieces)


def relations(source: ZipSource, part: str) -> dict[str, tuple[str, str]]:
    """Returns the relations of an Office part: by id, the type's last word and the target."""
    folder, name = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{name}.rels")
    if path not in source:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for relation in source.xml(path):
        if not isinstance(relation.tag, str) or relation.get("TargetMode") == "External":
            continue
        kind = (relation.get("Type") or "").rpartition("/")[2]
        found[relation.get("Id") or ""] = (kind, resolve(part, relation.get("Target") or ""))
    return found


def resolve(part: str, target: str) -> str:
    """Returns the name of the part that `target` means when it stands in `part`."""
    target = unquote(target.partition("#")[0])
    if target.startswith("/"):
        return target.lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(part), target))


def main_part(source: ZipSource, fallback: str) -> str:
    """Returns the name of the part that an Office file begins with."""
    for kind, target in relations(source, "").values():
        if kind == "officeDocument" and target in source:
            return target
    return fallback


def _too_large() -> UnparsableError:
    return UnparsableError(
        "TOO_LARGE",
        f"a part of the file unpacks to more than {_MAX_PART_BYTES >> 20} MiB, or all of them to "
        f"more than {_MAX_TOTAL_BYTES >> 20} MiB; split it (or it is a decompression bomb)",
    )
