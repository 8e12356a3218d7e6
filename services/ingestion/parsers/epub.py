"""EPUB: the chapters in the order of the spine, each read as a page."""

from __future__ import annotations

from typing import Any

from services.ingestion.parsers import html
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter, one_line
from services.ingestion.parsers.xml_source import local_name
from services.ingestion.parsers.zip_source import ZipSource, resolve

_PAGE_TYPES = {"application/xhtml+xml", "text/html", "text/x-oeb1-document"}
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_MAX_CHAPTERS = 5000


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of all chapters; those without a heading get it from the contents.

    Raises:
        UnparsableError: it is copy-protected, damaged or has no text.
    """
    source = ZipSource(data)
    _refuse_protected(source)
    package_name = _package_name(source)
    package = source.xml(package_name)
    manifest = {item.get("id"): item for item in package.iter() if local_name(item) == "item"}
    titles = _contents(source, package_name, manifest)
    writer = DocumentWriter()
    spine = [each for each in package.iter() if local_name(each) == "itemref"]
    if len(spine) > _MAX_CHAPTERS:
        raise UnparsableError("TOO_LARGE", f"the book has over {_MAX_CHAPTERS} chapters; split it")
    missing = 0
    read: set[str] = set()
    for reference in spine:
        item = manifest.get(reference.get("idref"))
        if item is None or "nav" in (item.get("properties") or "").split():
            continue
        part = resolve(package_name, item.get("href") or "")
        if item.get("media-type") not in _PAGE_TYPES or part in read:
            continue
        read.add(part)
        if part not in source:
            missing += 1
            continue
        _chapter(writer, source.read(part), titles.get(part, ""))
    if missing:
        writer.warnings.append(f"chapters that are missing from the file: {missing}")
    return writer.finish(_named(package, "title"), _metadata(package))


def _chapter(writer: DocumentWriter, data: bytes, title: str) -> None:
    writer.leave_sections(0)
    try:
        page = html.parse(data)
    except UnparsableError as error:
        if error.reason != "EMPTY_TEXT":
            raise
        return  # a picture, such as the cover
    if title and not any(block.kind == "heading" for block in page.blocks):
        writer.heading(1, title)
    writer.append(page)


def _refuse_protected(source: ZipSource) -> None:
    if "META-INF/rights.xml" in source or "META-INF/encryption.xml" not in source:
        if "META-INF/rights.xml" in source:
            raise _protected()
        return
    for element in source.xml("META-INF/encryption.xml").iter():
        if local_name(element) == "EncryptionMethod":
            method = element.get("Algorithm") or ""
            if _is_data(element) and method not in _FONT_SCRAMBLING:
                raise _protected()


def _is_data(method: Any) -> bool:
    """Whether the method is that of a part, not of a key."""
    parent = method.getparent()
    return parent is not None and local_name(parent) == "EncryptedData"


def _protected() -> UnparsableError:
    return UnparsableError("ENCRYPTED", "the book is copy-protected; submit it without protection")


def _package_name(source: ZipSource) -> str:
    for element in source.xml("META-INF/container.xml").iter():
        if local_name(element) == "rootfile" and element.get("full-path") in source:
            return element.get("full-path") or ""
    raise UnparsableError("PARSE_FAILED", "the book is damaged: it names no package document")


def _contents(source: ZipSource, package: str, manifest: dict[Any, Any]) -> dict[str, str]:
    """Returns the title of each part that the table of contents points to."""
    titles: dict[str, str] = {}
    for item in manifest.values():
        name = resolve(package, item.get("href") or "")
        is_ncx = item.get("media-type") == "application/x-dtbncx+xml"
        if not is_ncx or name not in source:
            continue
        for point in source.xml(name).iter():
            if local_name(point) != "navPoint":
                continue
            label, target = "", ""
            for child in point:
                if local_name(child) == "navLabel":
                    label = one_line("".join(child.itertext()))
                elif local_name(child) == "content":
                    target = resolve(name, child.get("src") or "")
            titles.setdefault(target, label)
    return titles


def _named(package: Any, name: str) -> str:
    for element in package.iter():
        if local_name(element) == name and element.text:
            return one_line(element.text)
    return ""


def _metadata(package: Any) -> dict[str, str | tuple[str, ...]]:
    authors = tuple(
        one_line(element.text)
        for element in package.iter()
        if local_name(element) == "creator" and element.text
    )
    return {"author": authors} if authors else {}
