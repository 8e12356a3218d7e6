"""The formats that are read: their MIME types, names and file name suffixes."""

from __future__ import annotations

MARKDOWN = "text/markdown"
HTML = "text/html"
PLAIN = "text/plain"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODP = "application/vnd.oasis.opendocument.presentation"
EPUB = "application/epub+zip"
RTF = "application/rtf"
CSV = "text/csv"
TSV = "text/tab-separated-values"
EMAIL = "message/rfc822"
JSON = "application/json"
JSONL = "application/x-ndjson"
XML = "application/xml"

SUPPORTED = (
    MARKDOWN, HTML, PLAIN, PDF, DOCX, PPTX, XLSX, ODT, ODS, ODP, EPUB, RTF, CSV, TSV, EMAIL, JSON,
    JSONL, XML,
)  # fmt: skip
SHORT_NAMES = (
    "Markdown", "HTML", "plain text", "PDF", "DOCX", "PPTX", "XLSX", "ODT", "ODS", "ODP", "EPUB",
    "RTF", "CSV", "TSV", "EML", "JSON", "JSON lines", "XML",
)  # fmt: skip

ZIP = "application/zip"
"""A ZIP container of a kind still to be found out."""
OLE = "application/x-ole-storage"
"""A legacy or encrypted Office file; which of them, is still to be found out."""
ZIP_TYPES = frozenset({DOCX, PPTX, XLSX, ODT, ODS, ODP, EPUB})

NAMES = {
    MARKDOWN: "Markdown",
    HTML: "a web page",
    PLAIN: "a plain text",
    PDF: "a PDF",
    DOCX: "a Word document (.docx)",
    PPTX: "a PowerPoint presentation (.pptx)",
    XLSX: "an Excel workbook (.xlsx)",
    ODT: "an OpenDocument text (.odt)",
    ODS: "an OpenDocument spreadsheet (.ods)",
    ODP: "an OpenDocument presentation (.odp)",
    EPUB: "an EPUB book",
    RTF: "an RTF document",
    CSV: "a CSV table",
    TSV: "a TSV table",
    EMAIL: "a mail message (.eml)",
    JSON: "JSON",
    JSONL: "JSON lines",
    XML: "an XML document",
    ZIP: "a ZIP container",
    OLE: "a legacy Office file",
}

BY_ALIAS = {
    "text/x-markdown": MARKDOWN,
    "application/markdown": MARKDOWN,
    "application/xhtml+xml": HTML,
    "application/x-pdf": PDF,
    "application/vnd.ms-word.document.macroenabled.12": DOCX,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.template": DOCX,
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": PPTX,
    "application/vnd.openxmlformats-officedocument.presentationml.slideshow": PPTX,
    "application/vnd.openxmlformats-officedocument.presentationml.template": PPTX,
    "application/vnd.ms-excel.sheet.macroenabled.12": XLSX,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.template": XLSX,
    "application/vnd.oasis.opendocument.text-template": ODT,
    "text/rtf": RTF,
    "application/x-rtf": RTF,
    "text/x-csv": CSV,
    "application/csv": CSV,
    "text/tsv": TSV,
    "text/x-json": JSON,
    "text/json": JSON,
    "application/jsonl": JSONL,
    "application/x-jsonlines": JSONL,
    "application/jsonlines": JSONL,
    "application/json-lines": JSONL,
    "text/xml": XML,
    # What programs take an outline in Org mode for, by its name.
    "application/vnd.lotus-organizer": PLAIN,
    "application/rss+xml": XML,
    "application/atom+xml": XML,
    "application/x-zip-compressed": ZIP,
    "application/msword": OLE,
    "application/vnd.ms-powerpoint": OLE,
    "application/vnd.ms-excel": OLE,
    "application/vnd.ms-outlook": OLE,
}
BY_SUFFIX = {
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
    "rst": PLAIN,
    "adoc": PLAIN,
    "asciidoc": PLAIN,
    "org": PLAIN,
    "tex": PLAIN,
    "docx": DOCX,
    "docm": DOCX,
    "dotx": DOCX,
    "pptx": PPTX,
    "pptm": PPTX,
    "ppsx": PPTX,
    "potx": PPTX,
    "xlsx": XLSX,
    "xlsm": XLSX,
    "xltx": XLSX,
    "odt": ODT,
    "ott": ODT,
    "ods": ODS,
    "odp": ODP,
    "epub": EPUB,
    "rtf": RTF,
    "csv": CSV,
    "tsv": TSV,
    "tab": TSV,
    "eml": EMAIL,
    "mht": EMAIL,
    "mhtml": EMAIL,
    "json": JSON,
    "geojson": JSON,
    "jsonl": JSONL,
    "ndjson": JSONL,
    "xml": XML,
    "rss": XML,
    "atom": XML,
    "doc": OLE,
    "dot": OLE,
    "ppt": OLE,
    "pps": OLE,
    "xls": OLE,
    "xlt": OLE,
    "msg": OLE,
}


def name_of(content_type: str) -> str:
    """Returns what people call a type."""
    return NAMES.get(content_type, repr(content_type[:100]))
