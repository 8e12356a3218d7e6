"""Which type a file has: its first bytes decide between binary formats, its name between texts.

Containers (ZIP, OLE) are opened by the parser's process only, which then says what they hold.
"""

from __future__ import annotations

import re

from services.ingestion.parsers.formats import (
    BY_ALIAS,
    BY_SUFFIX,
    EMAIL,
    HTML,
    JSON,
    MARKDOWN,
    OLE,
    PDF,
    PLAIN,
    RTF,
    SHORT_NAMES,
    SUPPORTED,
    XML,
    ZIP,
    ZIP_TYPES,
    name_of,
)
from services.ingestion.parsers.wide import decode_wide
from services.rpc.errors import InvalidArgumentError, Reason

__all__ = ["HTML", "MARKDOWN", "PDF", "PLAIN", "SUPPORTED", "recognise"]

_UNKNOWN_TYPES = {
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-download",
    "application/force-download",
    "application/unknown",
}
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"RIFF", "audio or video"),
    (b"OggS", "audio or video"),
    (b"ID3", "audio"),
    (b"fLaC", "audio"),
    (b"%!PS", "a PostScript document"),
    (b"SQLite format 3\x00", "a database"),
    (b"PAR1", "a Parquet file"),
    (b"ITOLITLS", "a Microsoft Reader book"),
    (b"ITSF", "a compiled help file (.chm)"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
)
_TEXTS_OF_PROGRAMS = frozenset(
    f"application/{name}"
    for name in (
        "javascript", "x-javascript", "ecmascript", "typescript", "x-typescript", "x-python",
        "x-sh", "x-shellscript", "x-perl", "x-ruby", "x-httpd-php", "sql", "x-sql", "yaml",
        "x-yaml", "toml", "x-tex", "x-latex", "x-subrip", "x-tcl", "x-csh", "graphql",
    )
)  # fmt: skip
"""Types of source texts that are not registered under text/."""
_ARCHIVE_SUFFIXES = {
    "zip",
    "tar",
    "gz",
    "tgz",
    "bz2",
    "xz",
    "7z",
    "rar",
    "jar",
    "war",
    "apk",
    "whl",
}
_CONTROLS = bytes(byte for byte in range(32) if not 9 <= byte <= 13 and byte != 27)
_PLAIN_SUFFIXES = {"", "txt", "text"}
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BYTES_OF_LOCAL_HEADER = 30
_TEXT_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00\x00\xfe\xff")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml[\s]", re.IGNORECASE)
_MAIL_HEADER = re.compile(
    rb"(?:(?:From |[A-Za-z-]{2,40}:)[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*){3}", re.IGNORECASE
)
_MAIL_FIELDS = re.compile(
    rb"^(?:from|to|subject|date|message-id|received|mime-version):", re.IGNORECASE | re.MULTILINE
)
_TAR_MARK = slice(257, 262)


def recognise(head: bytes, file_name: str, declared_type: str) -> str:
    """Returns the type to parse a file as: one of `SUPPORTED`, or a container's.

    Args:
        head: Its first bytes, 1 kB or more where it has them.
        file_name: Its name or path; may be empty.
        declared_type: MIME type the submitter gave; may be empty.

    Raises:
        InvalidArgumentError: the type cannot be parsed, or name, declaration and content disagree.
    """
    declared = declared_type.partition(";")[0].strip().lower()
    declared = BY_ALIAS.get(declared, declared)
    if declared in _UNKNOWN_TYPES:
        declared = ""
    suffix = _suffix(file_name)
    binary = _binary_type(head, suffix)
    if binary:
        return _agreed(binary, declared, suffix)
    wanted = declared or BY_SUFFIX.get(suffix, "")
    if wanted in {PDF, ZIP, *ZIP_TYPES}:
        raise _unsupported(f"it is named or declared {name_of(wanted)}, but its content is not")
    if suffix in _ARCHIVE_SUFFIXES and not declared:
        raise _unsupported("the file name says an archive, but its content is none")
    if _is_binary(head):
        raise _unsupported("the file is binary, of no known type")
    return _text_type(head, wanted, suffix)


def _binary_type(head: bytes, suffix: str) -> str:
    """Returns the type that the first bytes prove; empty: a text or unknown."""
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"{\\rtf"):
        return RTF
    if head.startswith(b"PK\x03\x04"):
        if suffix in _ARCHIVE_SUFFIXES or len(head) < _BYTES_OF_LOCAL_HEADER:
            raise _unsupported(
                "the file is an archive; unpack it and submit its files, so that each has a name, "
                "readers and a version of its own"
            )
        return ZIP
    if head.startswith((b"PK\x05\x06", b"PK\x07\x08")):
        raise _unsupported("the file is an empty or divided ZIP archive")
    if head.startswith(_OLE_MAGIC):
        return OLE
    for magic, name in _MAGIC:
        if head.startswith(magic):
            raise _unsupported(f"the file is {name}")
    if head[_TAR_MARK] == b"ustar":
        raise _unsupported("the file is a tar archive; unpack it and submit its files")
    return ""


def _agreed(binary: str, declared: str, suffix: str) -> str:
    """Returns the type of a binary file, unless what was said of it is something else."""
    if binary == OLE:
        # Legacy and encrypted Office files; the parser says which it is, whatever its name.
        return OLE
    said = declared or BY_SUFFIX.get(suffix, "")
    if binary == ZIP:
        if said in ZIP_TYPES:
            return said
        if said in {"", ZIP, OLE} or said.startswith("application/vnd."):
            # Also what is called by the name of the old format: the container says what it is.
            return ZIP
        raise _unsupported(
            f"its content is a ZIP container, but its name or declared type says {name_of(said)}"
        )
    said_types = {said, BY_SUFFIX.get(suffix, binary)} - {""}
    if binary == RTF and said in {"", OLE, PLAIN, "application/msword"}:
        return RTF  # Word names RTF files .doc
    if said_types - {binary}:
        raise _unsupported(
            f"its content is {name_of(binary)}, but its name or declared type says otherwise"
        )
    return binary


def _text_type(head: bytes, wanted: str, suffix: str) -> str:  # noqa: C901, PLR0911 - rules
    if wanted == RTF:
        raise _unsupported("it is named or declared an RTF document, but its content is not")
    if wanted in SUPPORTED:
        # A page that was saved under another name is a page all the same.
        is_page = wanted == XML or (wanted == PLAIN and suffix in _PLAIN_SUFFIXES)
        return HTML if is_page and _HTML_START.match(head) else wanted
    if wanted == OLE:
        # Web pages and tables that are called Office files, to be opened with those programs.
        by_suffix = BY_SUFFIX.get(suffix, "")
        if by_suffix in SUPPORTED and by_suffix not in {PDF, RTF, *ZIP_TYPES}:
            return by_suffix
        if _HTML_START.match(head):
            return HTML
        return XML if _XML_START.match(head) else PLAIN
    if wanted in _TEXTS_OF_PROGRAMS or (wanted == "video/mp2t" and suffix == "ts"):
        return PLAIN
    if wanted.endswith("+json"):
        return JSON
    if wanted.endswith("+xml"):
        return XML
    if wanted and not wanted.startswith("text/"):
        raise _unsupported(f"it is declared as {wanted[:100]!r}")
    if _HTML_START.match(head):
        return HTML
    if not wanted and not suffix and _XML_START.match(head):
        return XML
    if not wanted and not suffix and _is_mail(head):
        return EMAIL
    return PLAIN


def _is_mail(head: bytes) -> bool:
    """Whether a text begins with the header of a message."""
    found = _MAIL_HEADER.match(head)
    return found is not None and len(_MAIL_FIELDS.findall(found[0])) >= 2


def _suffix(file_name: str) -> str:
    name = re.split(r"[?#]", file_name.strip().lower(), maxsplit=1)[0]
    return name.rpartition(".")[2] if "." in name.rpartition("/")[2] else ""


def _is_binary(head: bytes) -> bool:
    """Whether the bytes are no text in any usual encoding."""
    if head.startswith(_TEXT_MARKS):
        return False
    sample = head[:2048]
    zeros = sample.count(0)
    if not zeros:
        return len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) // 10
    if zeros == len(sample):
        return True
    # UTF-32 has nothing but zeros at two of its four places; UTF-16 has all its zeros on one side.
    quarters = sorted(sample[place::4].count(0) for place in range(4))
    is_utf32 = quarters[2] >= len(sample) // 4 and quarters[0] <= len(sample) // 200
    is_utf16 = min(sample[0::2].count(0), sample[1::2].count(0)) <= len(sample) // 50
    return not (is_utf32 or is_utf16) and decode_wide(head) is None


def _unsupported(what: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"{what}; supported are {', '.join(SHORT_NAMES)} and other plain text",
        metadata={"supported": ", ".join(SUPPORTED)},
    )
