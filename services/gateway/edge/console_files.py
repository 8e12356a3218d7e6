"""Files of the console: read once, served with a policy that lets nothing else in."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

CONSOLE_FOLDER = Path(__file__).parent / "console"

_MAX_FILES = 500
_MAX_FILE_BYTES = 4_000_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """A file and what it is."""

    content: bytes
    media_type: str
    etag: str

    def headers(self) -> dict[str, str]:
        """Returns the response headers."""
        return {
            "content-security-policy": _POLICY,
            "x-frame-options": "DENY",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "cache-control": "no-cache",
            "etag": self.etag,
        }


class ConsoleFiles:
    """The files by their path under `/`; those in `assets/` also by their bare name.

    Args:
        folder: Where they are; may be empty.
    """

    def __init__(self, folder: Path = CONSOLE_FOLDER) -> None:
        self._files: dict[str, ConsoleFile] = {}
        for path in sorted(folder.rglob("*"))[:_MAX_FILES] if folder.is_dir() else ():
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                self._files[name.as_posix()] = _read(path)

    def find(self, name: str) -> ConsoleFile | None:
        """Returns a file by its path: "index.html", "assets/app.js" or "app.js" for "assets/…"."""
        return self._files.get(name) or self._files.get(name.removeprefix("assets/"))


def _read(path: Path) -> ConsoleFile:
    content = path.read_bytes()
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(f"{path} is too large for a console file")
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if media_type.startswith("text/") or media_type == "application/javascript":
        media_type += "; charset=utf-8"
    return ConsoleFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
