"""XML without its dangers: no entity is expanded, nothing fetched, depth and size are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from services.ingestion.parsers.parsed import UnparsableError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_DOCTYPE = re.compile(rb"<\0?!\0?D\0?O\0?C\0?T\0?Y\0?P\0?E")
"""In UTF-8 and both kinds of UTF-16."""
_TOO_DEEP = "the XML is nested too deeply"
_STRICT_OFFICE = (
    (b"http://purl.oclc.org/ooxml/wordprocessingml/main", b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"),
    (b"http://purl.oclc.org/ooxml/presentationml/main", b"http://schemas.openxmlformats.org/presentationml/2006/main"),
    (b"http://purl.oclc.org/ooxml/spreadsheetml/main", b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (b"http://purl.oclc.org/ooxml/drawingml/main", b"http://schemas.openxmlformats.org/drawingml/2006/main"),
    (b"http://purl.oclc.org/ooxml/officeDocument/", b"http://schemas.openxmlformats.org/officeDocument/2006/"),
)  # fmt: skip
"""Namespaces of "strict" Office files, and those that everyone else writes."""


class _RootReached(Exception):  # noqa: N818 - ends a parse that has seen enough
    """The document type is over, the document begins."""


def parse_xml(data: bytes, *, is_lenient: bool = False) -> Element:
    """Returns the root element.

    Args:
        data: The document.
        is_lenient: Read damaged documents as far as they make sense.

    Raises:
        UnparsableError: it is damaged, too deep, or declares entities.
    """
    from lxml import etree  # noqa: PLC0415 - late # pyright: ignore[reportAttributeAccessIssue] - C

    refuse_entities(data)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=is_lenient,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise _damaged(error) from error
    if root is None:
        raise UnparsableError("PARSE_FAILED", "the XML is damaged: it has no root element")
    return root


def parse_part(data: bytes) -> Element:
    """Returns the root of a part of an Office or OpenDocument file, damaged or not."""
    for strict, usual in _STRICT_OFFICE:
        if strict in data:
            data = data.replace(strict, usual)
    try:
        return parse_xml(data)
    except UnparsableError as error:
        # What is too deep to be read whole is not read by half.
        if error.reason != "PARSE_FAILED" or error.message == _TOO_DEEP:
            raise
        return parse_xml(data, is_lenient=True)


def iterate_xml(data: bytes, tags: tuple[str, ...]) -> Iterator[Any]:
    """Yields elements as they end, and forgets them: for parts too large for a tree.

    Raises:
        UnparsableError: the document is damaged, too deep, or declares entities.
    """
    from lxml import etree  # noqa: PLC0415 - late # pyright: ignore[reportAttributeAccessIssue] - C

    refuse_entities(data)
    for strict, usual in _STRICT_OFFICE:
        if strict in data[:4096]:
            data = data.replace(strict, usual)
    events = etree.iterparse(
        BytesIO(data),
        tag=tags,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        recover=True,
    )
    try:
        for _, element in events:
            yield element
            element.clear(keep_tail=False)
            parent = element.getparent()
            if parent is not None:
                while element.getprevious() is not None:
                    del parent[0]
    except etree.XMLSyntaxError as error:
        raise _damaged(error) from error


def refuse_entities(data: bytes) -> None:
    """Refuses documents that declare entities: bombs and doors to other files.

    Raises:
        UnparsableError: one is declared.
    """
    if not _DOCTYPE.search(data):
        return
    reader = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UnparsableError(
            "UNSAFE_CONTENT",
            "the XML declares entities, which are neither expanded nor fetched; "
            "submit it with its entities replaced by their text",
        )

    def stop(*_: object) -> None:
        raise _RootReached

    reader.EntityDeclHandler = refuse
    reader.StartElementHandler = stop
    try:
        reader.Parse(data, True)  # noqa: FBT003 - takes no keywords
    except (_RootReached, expat.ExpatError):
        # What is wrong with it, the real parser says.
        return


def local_name(element: Any) -> str:
    """Returns the name of an element without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _damaged(error: Exception) -> UnparsableError:
    message = str(error)
    if "depth" in message.lower():
        return UnparsableError("PARSE_FAILED", _TOO_DEEP)
    where = re.search(r"line \d+, column \d+", message)
    return UnparsableError(
        "PARSE_FAILED", f"the XML is damaged ({where[0] if where else 'it has no root element'})"
    )
