"""OLE containers: which legacy or encrypted file it is. Nothing in them is parsed."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from services.ingestion.parsers.parsed import UnparsableError

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENTRY_BYTES = 128
_MAX_SECTORS = 4096
_NO_SECTOR = 0xFFFFFFF0
_LEGACY = (
    ("WordDocument", "a Word 97–2003 document (.doc)", "save it as .docx"),
    ("PowerPoint Document", "a PowerPoint 97–2003 presentation (.ppt)", "save it as .pptx"),
    ("Workbook", "an Excel 97–2003 workbook (.xls)", "save it as .xlsx"),
    ("Book", "an Excel 5.0/95 workbook (.xls)", "save it as .xlsx"),
    ("__properties_version1.0", "an Outlook message (.msg)", "save it as .eml"),
    ("VisioDocument", "a Visio drawing (.vsd)", "save it as PDF"),
    ("Quill", "a Publisher document (.pub)", "save it as PDF"),
    ("PerfectOffice_MAIN", "a WordPerfect document", "save it as .docx"),
)
_ENCRYPTED_ENTRIES = {"EncryptedPackage", "EncryptionInfo", "EncryptedSummary"}
_WORD_IS_ENCRYPTED = 0x0100


def parse(data: bytes) -> None:
    """Says what the file is and what to do about it.

    Raises:
        UnparsableError: always.
    """
    entries = dict(_entries(data))
    if _ENCRYPTED_ENTRIES & entries.keys() or _is_encrypted_word(data, entries):
        raise UnparsableError(
            "ENCRYPTED", "the Office file is protected by a password; submit it without"
        )
    for entry, name, remedy in _LEGACY:
        if entry in entries:
            raise UnparsableError(
                "LEGACY_FORMAT", f"the file is {name}, which is not read; {remedy}"
            )
    raise UnparsableError(
        "LEGACY_FORMAT" if entries else "PARSE_FAILED",
        "the file is an OLE container of an unknown kind"
        if entries
        else "the file is a damaged OLE container",
    )


def _entries(data: bytes) -> Iterator[tuple[str, int]]:
    """Yields name and first sector of what the directory lists."""
    if len(data) < 512:
        return
    shift = struct.unpack_from("<H", data, 30)[0]
    sector_bytes = 1 << shift if 7 <= shift <= 16 else 512
    sector = struct.unpack_from("<I", data, 48)[0]
    for _ in range(_MAX_SECTORS):
        start = (sector + 1) * sector_bytes
        if sector >= _NO_SECTOR or start + sector_bytes > len(data) + sector_bytes - 1:
            return
        for place in range(start, min(start + sector_bytes, len(data) - 127), _ENTRY_BYTES):
            size = struct.unpack_from("<H", data, place + 64)[0]
            if 2 < size <= 64:
                name = data[place : place + size - 2].decode("utf-16-le", "replace")
                yield name.strip("\x00\x01\x05\x06"), struct.unpack_from("<I", data, place + 116)[0]
        following = _next_sector(data, sector, sector_bytes)
        if following is None or following == sector:
            return
        sector = following


def _next_sector(data: bytes, sector: int, sector_bytes: int) -> int | None:
    per_table = sector_bytes // 4
    table = sector // per_table
    if table >= 109:
        return None
    table_sector = struct.unpack_from("<I", data, 76 + 4 * table)[0]
    place = (table_sector + 1) * sector_bytes + 4 * (sector % per_table)
    if table_sector >= _NO_SECTOR or place + 4 > len(data):
        return None
    return struct.unpack_from("<I", data, place)[0]


def _is_encrypted_word(data: bytes, entries: dict[str, int]) -> bool:
    if "WordDocument" not in entries:
        return False
    shift = struct.unpack_from("<H", data, 30)[0]
    place = (entries["WordDocument"] + 1) << (shift if 7 <= shift <= 16 else 9)
    if place + 12 > len(data):
        return False
    return bool(struct.unpack_from("<H", data, place + 10)[0] & _WORD_IS_ENCRYPTED)
