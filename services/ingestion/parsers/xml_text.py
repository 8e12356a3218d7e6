"""XML of any kind: records as `name: value` lines, titled elements as sections, running text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter
from services.ingestion.parsers.xml_source import local_name, parse_xml

_TITLES = frozenset({"title", "head", "heading"})
_CODE = frozenset({"programlisting", "screen", "code", "codeblock", "literallayout", "pre"})
_PROSE = frozenset({"p", "para", "simpara", "paragraph"})
_MAX_SECTION_DEPTH = 6
_MARKUP = re.compile(
    r"</(?:p|a|b|i|em|strong|div|span|li|ul|ol|h[1-6]|table)>|<br\s*/?>", re.IGNORECASE
)


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of the elements, in order.

    Raises:
        UnparsableError: it is damaged, too deep, declares entities or has no text.
    """
    root = parse_xml(data)
    if local_name(root) == "html":
        from services.ingestion.parsers import html  # noqa: PLC0415 - for pages in disguise only

        return html.parse(data)
    writer = DocumentWriter()
    _write(writer, root, 1)
    return writer.finish()


def _write(writer: DocumentWriter, element: Any, depth: int) -> None:
    children = [child for child in element if isinstance(child.tag, str)]
    name = local_name(element)
    if name in _CODE:
        writer.code("".join(element.itertext()))
    elif _is_mixed(element, children):
        writer.paragraph(_flat(element))
    elif all(not len(child) and local_name(child) not in _PROSE for child in children):
        _write_record(writer, element, children, depth)
    else:
        _write_container(writer, element, children, depth)


def _write_record(writer: DocumentWriter, element: Any, children: list[Any], depth: int) -> None:
    lines = [*_attributes(element)]
    if not children:
        text = _said(element)
        lines.extend([f"{local_name(element)}: {text}"] if text else [])
    for child in children:
        lines.extend(_leaf(child))
    if len(children) > 1 and _all_alike(children):
        # A list of paragraphs or items rather than a record.
        writer.items(list(_attributes(element)))
        for child in children:
            writer.paragraph(_said(child) or "; ".join(_attributes(child)))
        return
    title = next((child for child in children if local_name(child) in _TITLES), None)
    if title is not None and (title.text or "").strip() and depth <= _MAX_SECTION_DEPTH:
        writer.heading(depth, title.text or "")
        lines = [line for line in lines if line not in set(_leaf(title))]
        writer.items(lines)
        writer.leave_sections(depth)
    else:
        writer.items(lines)


def _write_container(writer: DocumentWriter, element: Any, children: list[Any], depth: int) -> None:
    title = next((child for child in children if local_name(child) in _TITLES), None)
    own = [*_attributes(element)]
    title_text = _flat(title) if title is not None else ""
    is_section = bool(title_text) and depth <= _MAX_SECTION_DEPTH
    if is_section:
        writer.heading(depth, title_text)
    writer.items(own)
    plain: list[str] = []
    for child in children:
        if child is title and is_section:
            continue
        if not len(child) and local_name(child) not in _CODE:
            text = _said(child)
            if _is_prose(child, text):
                writer.items(plain)
                plain = []
                writer.paragraph(text)
            else:
                plain.extend(_leaf(child))
            continue
        writer.items(plain)
        plain = []
        _write(writer, child, depth + is_section)
    writer.items(plain)
    if is_section:
        writer.leave_sections(depth)


def _is_prose(element: Any, text: str) -> bool:
    return local_name(element) in _PROSE or len(text) > 200


def _is_mixed(element: Any, children: list[Any]) -> bool:
    """Whether text and elements stand side by side, as in running text."""
    if not children:
        return False
    texts = [element.text, *(child.tail for child in children)]
    return any(text and text.strip() for text in texts)


def _all_alike(children: list[Any]) -> bool:
    return len({child.tag for child in children}) == 1


def _flat(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _leaf(element: Any) -> Iterator[str]:
    name = local_name(element)
    text = _said(element)
    if text:
        yield f"{name}: {text}"
    for line in _attributes(element):
        yield f"{name} {line}"


def _said(element: Any) -> str:
    """Returns an element's own text on one line; of a page in it, as feeds have, the words."""
    text = element.text or ""
    if _MARKUP.search(text):
        from services.ingestion.parsers import html  # noqa: PLC0415 - for feeds only

        with contextlib.suppress(UnparsableError):
            text = html.parse_text(text).text
    return " ".join(text.split())


def _attributes(element: Any) -> Iterator[str]:
    for name, value in element.attrib.items():
        plain = name.rpartition("}")[2] if isinstance(name, str) else ""
        if value.strip() and not plain.startswith("schemaLocation"):
            yield f"{plain}: {' '.join(value.split())}"
