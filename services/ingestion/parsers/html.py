"""HTML: the main content as text, with headings, lists, tables and code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.html_table import cell_of
from services.ingestion.parsers.html_text import TextBuilder
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import storable

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_NO_TEXT = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "canvas",
        "audio",
        "video",
        "map",
        "select",
        "button",
        "input",
        "textarea",
        "dialog",
        "head",
        "meta",
        "link",
    ]
)
_BOILERPLATE = frozenset(["nav", "footer", "aside"])
_BOILERPLATE_ROLES = frozenset(
    ["navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar", "dialog"]
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_DECLARATIONS = re.compile(r"(?i)\A([^<]*(?:<\?[^>]*>\s*)?<!doctype[^>\[]{0,500})\[[^\]]*\]\s*>")
"""What XHTML declares within its document type, which pages have no use for."""
_LOOKED_AT_ROWS = 200
_MAIN_SHARE = 0.3
"""A <main> or <article> with less of the page's text than this is not the main content."""
_NUMBER_DIGITS = 6


def parse(data: bytes) -> ParsedDocument:
    """Returns the main content of a page.

    Raises:
        UnparsableError: it has no text.
    """
    source, warnings = decode(data, is_html=True)
    return parse_text(source, warnings)


def parse_text(source: str, warnings: Sequence[str] = ()) -> ParsedDocument:
    """Returns the main content of a page that is decoded already.

    Raises:
        UnparsableError: it has no text.
    """
    from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415 - loaded for HTML files only

    tree = LexborHTMLParser(storable(clean(_DECLARATIONS.sub(r"\1>", source, count=1))))
    body = tree.body
    if body is None:
        raise UnparsableError("EMPTY_TEXT", "the page has no body")
    whole = _read(body, keep_boilerplate=False)
    builder = whole
    main = _main_node(tree)
    if main is not None:
        inner = _read(main, keep_boilerplate=False)
        if inner.length >= whole.length * _MAIN_SHARE:
            builder = inner
    if not builder.length:
        # A page that is all navigation still has something to say.
        builder = _read(body, keep_boilerplate=True)
    return replace(builder.finish(_title(tree)), warnings=tuple(warnings))


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head > title") or tree.css_first("title")
    return " ".join(node.text().split())[:500] if node is not None else ""


def _main_node(tree: LexborHTMLParser) -> LexborNode | None:
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1:
            return found[0]
    return None


def _read(root: LexborNode, *, keep_boilerplate: bool) -> TextBuilder:
    builder = TextBuilder()
    for node, is_entering in _walk(root, keep_boilerplate=keep_boilerplate):
        if node.is_text_node:
            if is_entering:
                builder.add_text(node.text_content or "")
        elif is_entering:
            tag = node.tag or ""
            if tag in {"td", "th"}:
                attributes = node.attributes
                builder.enter(
                    tag, cell=cell_of(tag, attributes.get("colspan"), attributes.get("rowspan"))
                )
            elif tag in {"ol", "li"}:
                builder.enter(tag, number=_number_of(node, tag))
            else:
                builder.enter(tag, is_layout=tag == "table" and _is_layout(node))
        else:
            builder.leave(node.tag or "")
    return builder


def _number_of(node: LexborNode, tag: str) -> int | None:
    """Returns what a numbered list begins with, or the number of an item that has its own."""
    given = (node.attributes.get("start" if tag == "ol" else "value") or "").strip()
    if given.isascii() and given.isdigit() and len(given) <= _NUMBER_DIGITS:
        return int(given)
    return 1 if tag == "ol" else None


def _walk(root: LexborNode, *, keep_boilerplate: bool) -> Iterator[tuple[LexborNode, bool]]:
    """Yields each node when it begins and when it ends, without recursion: pages nest at will."""
    node = root
    depth = 0
    while True:
        yield node, True
        child = node.child if _is_shown(node, depth, keep_boilerplate=keep_boilerplate) else None
        if child is not None:
            node, depth = child, depth + 1
            continue
        while True:
            yield node, False
            if depth == 0:
                return
            following = node.next
            if following is not None:
                node = following
                break
            parent = node.parent
            assert parent is not None
            node, depth = parent, depth - 1


def _is_shown(node: LexborNode, depth: int, *, keep_boilerplate: bool) -> bool:
    if not node.is_element_node:
        return False
    tag = node.tag
    if tag in _NO_TEXT:
        return False
    if keep_boilerplate or depth == 0:
        return True
    if tag in _BOILERPLATE:
        return False
    attributes = node.attributes
    if not attributes:
        return True
    return not (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or attributes.get("role") in _BOILERPLATE_ROLES
        or _HIDDEN_STYLE.search(attributes.get("style") or "")
    )


def _is_layout(table: LexborNode) -> bool:
    """Whether a table arranges a page instead of showing figures."""
    if table.attributes.get("role") in {"presentation", "none"}:
        return True
    inside = table.css("table, h1, h2, h3, h4")
    if any(node.mem_id != table.mem_id for node in inside):
        return True
    rows = table.css("tr")
    return all(_count_filled(row) < 2 for row in rows[:_LOOKED_AT_ROWS])


def _count_filled(row: LexborNode) -> int:
    """Returns how many cells of a row have text; two are enough to know."""
    count = 0
    cell = row.child
    while cell is not None and count < 2:
        if cell.tag in {"td", "th"} and (cell.text() or "").strip():
            count += 1
        cell = cell.next
    return count
