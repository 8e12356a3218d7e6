"""Chooses the parser of a file, and looks into containers for what they hold."""

from __future__ import annotations

import importlib
from dataclasses import replace

from services.ingestion.parsers import formats, ole
from services.ingestion.parsers.options import ParseOptions
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.zip_source import ZipSource

_PACKAGE = "services.ingestion.parsers"
_MODULES = {
    formats.MARKDOWN: "markdown",
    formats.HTML: "html",
    formats.PLAIN: "plain",
    formats.PDF: "pdf",
    formats.DOCX: "docx",
    formats.PPTX: "pptx",
    formats.XLSX: "xlsx",
    formats.ODT: "opendocument",
    formats.ODS: "opendocument",
    formats.ODP: "opendocument",
    formats.EPUB: "epub",
    formats.RTF: "rtf",
    formats.CSV: "delimited",
    formats.TSV: "delimited",
    formats.EMAIL: "mail",
    formats.JSON: "json_text",
    formats.JSONL: "json_text",
    formats.XML: "xml_text",
}
_PARTS = (
    ("word/", formats.DOCX),
    ("ppt/", formats.PPTX),
    ("xl/", formats.XLSX),
)


_DEFAULTS = ParseOptions()


def parse(data: bytes, content_type: str, options: ParseOptions = _DEFAULTS) -> ParsedDocument:
    """Returns the text and structure of a file.

    Args:
        data: Its bytes.
        content_type: What `recognise` returned.
        options: What parsers may be told.

    Raises:
        UnparsableError: there is none to be had; the reason says why.
    """
    actual = _actual_type(data, content_type)
    module = importlib.import_module(f"{_PACKAGE}.{_MODULES[actual]}")
    if actual in {formats.PDF, formats.EMAIL}:
        parsed = module.parse(data, options)
    else:
        parsed = module.parse(data)
    return replace(parsed, content_type=actual)


def _actual_type(data: bytes, content_type: str) -> str:
    if content_type == formats.OLE:
        ole.parse(data)
    if content_type != formats.ZIP and content_type not in formats.ZIP_TYPES:
        return content_type
    if data.startswith(ole.MAGIC):
        ole.parse(data)
    actual = _zip_type(ZipSource(data))
    if content_type not in {formats.ZIP, actual}:
        raise UnparsableError(
            "UNSUPPORTED_CONTENT_TYPE",
            f"its content is {formats.name_of(actual)}, but its name or declared type says "
            f"{formats.name_of(content_type)}",
        )
    return actual


def _zip_type(source: ZipSource) -> str:
    if "mimetype" in source:
        declared = source.read("mimetype")[:200].decode("ascii", "replace").strip()
        declared = formats.BY_ALIAS.get(declared, declared)
        if declared in formats.ZIP_TYPES:
            return declared
    if "META-INF/container.xml" in source:
        return formats.EPUB
    if "xl/workbook.bin" in source:
        raise UnparsableError(
            "LEGACY_FORMAT",
            "the file is a binary Excel workbook (.xlsb), which is not read; save it as .xlsx",
        )
    names = [name.lower() for name in source.names]
    for prefix, content_type in _PARTS:
        if any(name.startswith(prefix) for name in names):
            return content_type
    raise UnparsableError(
        "UNSUPPORTED_CONTENT_TYPE",
        "the file is an archive, no document; unpack it and submit its files",
    )
