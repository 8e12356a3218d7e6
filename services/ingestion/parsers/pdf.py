"""PDF: the text of each page, with page numbers. Scanned pages are told apart from empty ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ingestion.parsers.parsed import Block, ParsedDocument, UnparsableError
from services.ingestion.parsers.plain import paragraphs

if TYPE_CHECKING:
    import pypdfium2

    from services.ingestion.parsers.dispatch import ParseOptions

_HYPHENS = re.compile("[\ufffe\x02]\\s*")
"""How PDFium marks a word broken at the end of a line."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\u00ad]")
_TITLE_NOISE = re.compile(  # what programs write by themselves
    r"\A(?:untitled|microsoft word - .*|"
    r".*\.(?:docx?|pptx?|xlsx?|pdf|jpe?g|png|tex|dvi|indd|qxd))\Z",
    re.IGNORECASE,
)
_PASSWORD_ERROR = 4
_MAX_PAGES = 20_000


def parse(data: bytes, options: ParseOptions | None = None) -> ParsedDocument:
    """Returns the text of all pages, a blank line between them.

    Raises:
        UnparsableError: it is encrypted, damaged, or has no text.
    """
    import pypdfium2  # noqa: PLC0415 - parsers load what their file needs

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD_ERROR:
            raise UnparsableError(
                "ENCRYPTED", "the PDF needs a password; submit it without encryption"
            ) from error
        raise UnparsableError(
            "PARSE_FAILED", "the PDF is damaged: no page tree can be read"
        ) from error
    with document:
        count = min(len(document), _MAX_PAGES)
        pages = [_page_text(document, index) for index in range(count)]
        title = _title(document)
    return _assemble(pages, title)


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str | None:
    """Returns the text of a page; empty: it is blank; None: it shows something else than text."""
    import pypdfium2  # noqa: PLC0415 - in the parser process only

    try:
        page = document[index]
        try:
            text_page = page.get_textpage()
            text = _clean(text_page.get_text_range())
            text_page.close()
            if text:
                return text
            return None if next(iter(page.get_objects(max_depth=1)), None) is not None else ""
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return None


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub(" ", _HYPHENS.sub("", text))
    text = text.encode("utf-8", "replace").decode()
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def _title(document: pypdfium2.PdfDocument) -> str:
    title = _clean(document.get_metadata_value("Title") or "")
    return "" if _TITLE_NOISE.match(title) else title[:500]


def _assemble(pages: Sequence[str | None], title: str) -> ParsedDocument:
    unread = [number for number, text in enumerate(pages, 1) if text is None]
    if not any(pages):
        if unread:
            raise UnparsableError(
                "NEEDS_OCR",
                f"none of the {len(pages)} pages has a text layer: they are images; "
                "run the PDF through text recognition (OCR) first",
            )
        raise UnparsableError("EMPTY_TEXT", "the PDF has no text: all its pages are blank")
    parts: list[str] = []
    blocks: list[Block] = []
    position = 0
    for number, text in enumerate(pages, 1):
        if not text:
            continue
        blocks.extend(paragraphs(text, start=position, page=number))
        parts.append(text)
        position += len(text) + 2
    warnings = []
    if unread:
        noun = "page" if len(unread) == 1 else "pages"
        verb = "has no text and needs" if len(unread) == 1 else "have no text and need"
        warnings.append(f"{noun} {_ranges(unread)} {verb} OCR")
    return ParsedDocument("\n\n".join(parts), tuple(blocks), title, warnings=tuple(warnings))


def _ranges(numbers: Sequence[int]) -> str:
    """Writes 1, 2, 3, 7 as "1–3, 7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}–{high}" if low < high else str(low) for low, high in spans)
