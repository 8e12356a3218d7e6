"""Reads the text off a page that is an image, through a hook that the operator configures."""

from __future__ import annotations

import importlib
import struct
import subprocess
import zlib
from typing import TYPE_CHECKING

from services.ingestion.parsers.parsed import UnparsableError
from services.ingestion.parsers.writer import storable

if TYPE_CHECKING:
    import pypdfium2

    from services.ingestion.parsers.options import OcrHook

_DOTS_PER_INCH = 200
_MAX_PIXELS = 12_000_000
"""Pixels of one page image, a byte each."""
_MAX_TEXT_BYTES = 1 << 20
_SECONDS = 60.0


def read_page(page: pypdfium2.PdfPage, number: int, hook: OcrHook) -> str:
    """Returns what the hook reads on a page; empty: nothing.

    Raises:
        UnparsableError: the hook fails.
    """
    image = page_image(page)
    if hook.entry_point:
        module, _, name = hook.entry_point.partition(":")
        text = getattr(importlib.import_module(module), name)(image, number)
        if not isinstance(text, str):
            raise _failed(f"{hook.entry_point} returned no text")
        return storable(text[:_MAX_TEXT_BYTES]).strip()
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            hook.command, input=image, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(f"{hook.command[0]} did not run ({type(error).__name__})") from error
    if done.returncode:
        raise _failed(f"{hook.command[0]} ended with status {done.returncode}")
    return storable(done.stdout[:_MAX_TEXT_BYTES].decode("utf-8", "replace")).strip()


def page_image(page: pypdfium2.PdfPage) -> bytes:
    """Returns a page as a grey PNG."""
    width, height = page.get_size()
    scale = _DOTS_PER_INCH / 72
    pixels = max(1.0, width * height * scale * scale)
    scale *= min(1.0, (_MAX_PIXELS / pixels) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)  # pyright: ignore[reportArgumentType] - takes floats
    buffer = memoryview(bitmap.buffer).cast("B")
    rows = b"".join(
        b"\x00" + bytes(buffer[row * bitmap.stride : row * bitmap.stride + bitmap.width])
        for row in range(bitmap.height)
    )
    header = struct.pack(">IIBBBBB", bitmap.width, bitmap.height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _png_part(b"IHDR", header),
            _png_part(b"IDAT", zlib.compress(rows, 1)),
            _png_part(b"IEND", b""),
        )
    )


def _png_part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _failed(message: str) -> UnparsableError:
    return UnparsableError("NEEDS_OCR", f"the page is an image and the OCR hook failed: {message}")
