"""Which type a file has: its first bytes decide between binary formats, its name between texts."""

from __future__ import annotations

import re

from services.rpc.errors import InvalidArgumentError, Reason

MARKDOWN = "text/markdown"
HTML = "text/html"
PLAIN = "text/plain"
PDF = "application/pdf"
SUPPORTED = (MARKDOWN, HTML, PLAIN, PDF)

_BY_ALIAS = {
    "text/x-markdown": MARKDOWN,
    "application/xhtml+xml": HTML,
    "application/x-pdf": PDF,
}
_UNKNOWN_TYPES = {"", "application/octet-stream", "binary/octet-stream"}
_BY_SUFFIX = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdown": MARKDOWN,
    "mkd": MARKDOWN,
    "mdx": MARKDOWN,
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "pdf": PDF,
    "txt": PLAIN,
    "text": PLAIN,
}
_UNSUPPORTED_SUFFIXES = {
    "doc": "a Word document (.doc)",
    "docx": "a Word document (.docx)",
    "ppt": "a PowerPoint presentation (.ppt)",
    "pptx": "a PowerPoint presentation (.pptx)",
    "xls": "an Excel workbook (.xls)",
    "xlsx": "an Excel workbook (.xlsx)",
    "msg": "an Outlook message (.msg)",
    "eml": "a mail message (.eml)",
    "epub": "an EPUB book",
    "odt": "an OpenDocument text",
    "rtf": "an RTF document",
    "xml": "an XML document",
    "zip": "an archive",
    "tar": "an archive",
    "gz": "an archive",
    "7z": "an archive",
    "rar": "an archive",
}
_MAGIC = (
    (b"PK\x03\x04", "a ZIP container (an Office document, an e-book or an archive)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE container (a legacy or encrypted Office file)"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"RIFF", "audio or video"),
    (b"OggS", "audio or video"),
    (b"ID3", "audio"),
    (b"%!PS", "a PostScript document"),
)
_TEXT_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00\x00\xfe\xff")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)


def recognise(head: bytes, file_name: str, declared_type: str) -> str:
    """Returns the type to parse a file as, one of `SUPPORTED`.

    Args:
        head: Its first bytes, 1 kB or more where it has them.
        file_name: Its name or path; may be empty.
        declared_type: MIME type the submitter gave; may be empty.

    Raises:
        InvalidArgumentError: the type cannot be parsed, or name, declaration and content disagree.
    """
    declared = declared_type.partition(";")[0].strip().lower()
    declared = _BY_ALIAS.get(declared, declared)
    suffix = _suffix(file_name)
    if b"%PDF-" in head[:1024]:
        return _as_pdf(declared, suffix)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            raise _unsupported(f"the file is {name}")
    if suffix in _UNSUPPORTED_SUFFIXES:
        raise _unsupported(f"the file name says {_UNSUPPORTED_SUFFIXES[suffix]}")
    wanted = declared if declared not in _UNKNOWN_TYPES else _BY_SUFFIX.get(suffix, "")
    if wanted == PDF:
        raise _unsupported("it is named or declared a PDF, but its content is not")
    if _is_binary(head):
        raise _unsupported("the file is binary, of no known type")
    if wanted in SUPPORTED:
        return wanted
    if wanted and not wanted.startswith("text/"):
        raise _unsupported(f"it is declared as {wanted[:100]!r}")
    return HTML if _HTML_START.match(head) else PLAIN


def _suffix(file_name: str) -> str:
    name = re.split(r"[?#]", file_name.strip().lower(), maxsplit=1)[0]
    return name.rpartition(".")[2] if "." in name.rpartition("/")[2] else ""


def _as_pdf(declared: str, suffix: str) -> str:
    if declared not in {*_UNKNOWN_TYPES, PDF} or _BY_SUFFIX.get(suffix, PDF) != PDF:
        raise _unsupported("its content is a PDF, but its name or declared type says otherwise")
    return PDF


def _is_binary(head: bytes) -> bool:
    """Whether the bytes are no text in any usual encoding."""
    if head.startswith(_TEXT_MARKS):
        return False
    sample = head[:2048]
    zeros = sample.count(0)
    if not zeros:
        controls = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in sample)
        return controls > len(sample) // 10
    if zeros == len(sample):
        return True
    # UTF-32 is mostly zeros; UTF-16 of a Latin script has its zeros on one side of every unit.
    is_utf32 = zeros > len(sample) * 3 // 5
    is_utf16 = min(sample[0::2].count(0), sample[1::2].count(0)) <= len(sample) // 50
    return not (is_utf32 or is_utf16)


def _unsupported(what: str) -> InvalidArgumentError:
    supported = ", ".join(SUPPORTED)
    return InvalidArgumentError(
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"{what}; supported are {supported} and other plain text",
        metadata={"supported": supported},
    )
