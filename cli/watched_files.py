"""Follows files and folders: what is new, changed or gone since the last look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.documents_to_ingest import SourceFile, find_files
from cli.errors import CliError


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look found."""

    changed: list[SourceFile] = field(default_factory=list)
    """New or changed, and as they were at the look before: nobody is writing them."""
    removed: list[SourceFile] = field(default_factory=list)


class WatchedFiles:
    """Looks at paths again and again.

    Args:
        paths: Files and folders.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._taken: dict[str, tuple[SourceFile, tuple[int, int]]] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def take(self, files: Sequence[SourceFile]) -> None:
        """Notes files that are ingested already, as they are now."""
        for file in files:
            if (version := _version(file)) is not None:
                self._taken[file.uri] = (file, version)
                self._seen[file.uri] = version

    def look(self) -> Changes:
        """Returns what changed since the last look; blocks for the file system."""
        try:
            files, _ = find_files([path for path in self._paths if path.exists()])
        except CliError:  # gone between the two
            return Changes()
        changes = Changes()
        now: dict[str, tuple[int, int]] = {}
        for file in files:
            version = _version(file)
            if version is None:
                continue
            now[file.uri] = version
            taken = self._taken.get(file.uri)
            if (taken is None or taken[1] != version) and self._seen.get(file.uri) == version:
                changes.changed.append(file)
                self._taken[file.uri] = (file, version)
        for uri in [uri for uri in self._taken if uri not in now]:
            changes.removed.append(self._taken.pop(uri)[0])
        self._seen = now
        return changes


def _version(file: SourceFile) -> tuple[int, int] | None:
    try:
        status = file.path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
