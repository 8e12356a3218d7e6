"""Which files a person means, and what the gateway is told about each."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CliError

_FOLDER_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in [
        "md",
        "markdown",
        "mdown",
        "mkd",
        "mdx",
        "html",
        "htm",
        "xhtml",
        "txt",
        "text",
        "rst",
        "adoc",
        "asciidoc",
        "org",
        "tex",
        "pdf",
        "docx",
        "docm",
        "dotx",
        "pptx",
        "pptm",
        "ppsx",
        "potx",
        "xlsx",
        "xlsm",
        "xltx",
        "odt",
        "ott",
        "ods",
        "odp",
        "epub",
        "rtf",
        "csv",
        "tsv",
        "tab",
        "eml",
        "mht",
        "mhtml",
        "json",
        "geojson",
        "jsonl",
        "ndjson",
        "xml",
        "rss",
        "atom",
        "doc",
        "dot",
        "ppt",
        "pps",
        "xls",
        "msg",
    ]
)
"""What is taken from a folder; a file that is named itself is always sent."""

_TYPES = {".md": "text/markdown", ".markdown": "text/markdown"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to ingest."""

    path: Path
    uri: str
    """What citations will call it: relative to the working directory where it lies below it."""

    @property
    def content_type(self) -> str:
        """MIME type by its name; empty: ingestion recognises it by the content."""
        suffix = self.path.suffix.lower()
        return _TYPES.get(suffix) or mimetypes.guess_type(self.path.name)[0] or ""


def find_files(paths: Sequence[Path]) -> tuple[list[SourceFile], int]:
    """Returns the files, each once, and how many files of folders are of no known type.

    Raises:
        CliError: a path does not exist.
    """
    found: dict[Path, SourceFile] = {}
    skipped_count = 0
    for path in paths:
        if not path.exists():
            raise CliError(f"{path} does not exist")
        for file in _walk(path) if path.is_dir() else [path]:
            if path.is_dir() and file.suffix.lower() not in _FOLDER_SUFFIXES:
                skipped_count += 1
                continue
            resolved = file.resolve()
            found.setdefault(resolved, SourceFile(resolved, _uri(resolved)))
    return list(found.values()), skipped_count


def parse_metadata(entries: Sequence[str]) -> dict[str, Any]:
    """Reads `key=value` entries: numbers, true, false and JSON lists keep their type.

    Raises:
        CliError: an entry has no `=` or no key.
    """
    metadata: dict[str, Any] = {}
    for entry in entries:
        key, separator, text = entry.partition("=")
        if not separator or not key:
            raise CliError(f"--metadata {entry!r} is not of the form key=value")
        metadata[key] = _typed(text)
    return metadata


def _typed(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | list | dict) else text


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent) / name


def _uri(path: Path) -> str:
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
