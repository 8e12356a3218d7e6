"""PDF: text in reading order with its headings, lists, tables and page numbers.

A page without text is told apart from an empty one; with an OCR hook, it is read.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.ingestion.parsers.options import OcrHook, ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.pdf_blocks import folded, write_pages
from services.ingestion.parsers.pdf_layout import columns_of
from services.ingestion.parsers.pdf_running import Page
from services.ingestion.parsers.pdf_words import page_runs
from services.ingestion.parsers.writer import DocumentWriter, one_line

if TYPE_CHECKING:
    import pypdfium2

_TITLE_NOISE = re.compile(  # what programs write by themselves
    r"\A(?:untitled|microsoft (?:word|powerpoint|excel) - .*|powerpoint presentation|"
    r".*\.(?:docx?|pptx?|xlsx?|pdf|jpe?g|png|tex|dvi|indd|qxd))\Z",
    re.IGNORECASE,
)
_PASSWORD_ERROR = 4
_MAX_PAGES = 20_000
_MAX_OUTLINE = 5_000
_MAX_ANNOTATIONS = 2_000
_NOTE_KINDS = {1, 3, 9, 10, 11, 12, 15}
"""Annotations that say something: text, free text, kinds of highlights, caret."""
_WIDGET = 20
_DEFAULTS = ParseOptions()


@dataclass(slots=True)
class _Found:
    """What is on a page."""

    number: int
    columns: Page = ()
    extras: list[str] = field(default_factory=list)
    """What was filled into forms, and notes that were stuck on."""
    ocr_text: str = ""
    ocr_failure: str = ""
    is_unread: bool = False
    """It shows something, and none of it is text."""


def parse(data: bytes, options: ParseOptions = _DEFAULTS) -> ParsedDocument:
    """Returns the text of all pages.

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
        if not len(document):
            raise UnparsableError("PARSE_FAILED", "the PDF is damaged: it has no pages")
        if document.get_formtype():
            document.init_forms()
        count = min(len(document), _MAX_PAGES)
        pages = [_page(document, index, options.ocr) for index in range(count)]
        title = _title(document)
        outline = _outline(document)
    return _assemble(pages, title, outline)


def _page(document: pypdfium2.PdfDocument, index: int, ocr: OcrHook) -> _Found:
    import pypdfium2  # noqa: PLC0415 - in the parser process only

    found = _Found(index + 1)
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        found.is_unread = True
        return found
    with contextlib.closing(page):
        try:
            text_page = page.get_textpage()
        except pypdfium2.PdfiumError:
            found.is_unread = True
            return found
        with contextlib.closing(text_page):
            found.columns = columns_of(page_runs(text_page))
        found.extras = list(_extras(document, page))
        if not found.columns and not found.extras:
            found.is_unread = next(iter(page.get_objects(max_depth=1)), None) is not None
            if found.is_unread and ocr:
                from services.ingestion.parsers import ocr as recognition  # noqa: PLC0415 - rare

                try:
                    found.ocr_text = recognition.read_page(page, found.number, ocr)
                except UnparsableError as error:
                    found.ocr_failure = error.message
                found.is_unread = not found.ocr_text
    return found


def _extras(document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> Iterator[str]:
    """Yields what is filled into the page's form fields, and the notes that stick to it."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - in the parser process only

    for place in range(min(pdfium.FPDFPage_GetAnnotCount(page.raw), _MAX_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, place)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == _WIDGET and document.formenv is not None:
            name = _wide(pdfium.FPDFAnnot_GetFormFieldName, document.formenv.raw, annotation)
            value = _wide(pdfium.FPDFAnnot_GetFormFieldValue, document.formenv.raw, annotation)
            if value and value != "Off":
                yield f"{name}: {value}" if name else value
        elif kind in _NOTE_KINDS:
            text = _wide(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
            if text:
                yield f"Note: {text}"
        pdfium.FPDFPage_CloseAnnot(annotation)


def _wide(function: Callable[..., int], *arguments: object) -> str:
    """Calls a function of PDFium that fills a buffer with UTF-16."""
    size = function(*arguments, None, 0)
    if not 2 < size <= 1 << 20:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    function(*arguments, buffer, size)
    return one_line(bytes(buffer)[: size - 2].decode("utf-16-le", "replace"))


def _title(document: pypdfium2.PdfDocument) -> str:
    title = one_line(document.get_metadata_value("Title") or "")
    return "" if _TITLE_NOISE.match(title) else title[:500]


def _outline(document: pypdfium2.PdfDocument) -> dict[int, dict[str, int]]:
    """Returns the depth of each title in the outline, by page number."""
    import pypdfium2  # noqa: PLC0415 - in the parser process only

    titles: dict[int, dict[str, int]] = {}
    try:
        for _, entry in zip(range(_MAX_OUTLINE), document.get_toc(max_depth=8), strict=False):
            target = entry.get_dest()
            page = target.get_index() if target is not None else None
            title = folded(entry.get_title() or "")
            if page is not None and title:
                titles.setdefault(page + 1, {}).setdefault(title, entry.level + 1)
    except (pypdfium2.PdfiumError, UnicodeError, ValueError):
        return titles
    return titles


def _assemble(
    pages: Sequence[_Found], title: str, outline: dict[int, dict[str, int]]
) -> ParsedDocument:
    unread = [page.number for page in pages if page.is_unread]
    writer = DocumentWriter()
    laid_out: list[tuple[int, Page]] = [(page.number, page.columns) for page in pages]
    by_number = {page.number: page for page in pages}

    def write_extras(number: int) -> None:
        page = by_number[number]
        writer.page = number
        for paragraph in re.split(r"\n\s*\n", page.ocr_text):
            writer.paragraph(paragraph)
        writer.items(page.extras)

    write_pages(writer, laid_out, outline, after_page=write_extras)
    if not writer.length:
        if unread:
            failure = next(filter(None, (page.ocr_failure for page in pages)), "")
            raise UnparsableError(
                "NEEDS_OCR",
                failure
                or f"none of the {len(pages)} pages has a text layer: they are images; "
                "run the PDF through text recognition (OCR) first",
            )
        raise UnparsableError("EMPTY_TEXT", "the PDF has no text: all its pages are blank")
    if unread:
        noun = "page" if len(unread) == 1 else "pages"
        verb = "has no text and needs" if len(unread) == 1 else "have no text and need"
        writer.warnings.append(f"{noun} {_ranges(unread)} {verb} OCR")
        writer.warnings.extend(
            dict.fromkeys(page.ocr_failure for page in pages if page.ocr_failure)
        )
    recognised = [page.number for page in pages if page.ocr_text]
    if recognised:
        writer.warnings.append(f"text recognised from images on pages {_ranges(recognised)}")
    return writer.finish(title)


def _ranges(numbers: Sequence[int]) -> str:
    """Writes 1, 2, 3, 7 as "1–3, 7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}–{high}" if low < high else str(low) for low, high in spans)
