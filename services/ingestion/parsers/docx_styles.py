"""Styles and numbering of a DOCX: which paragraphs are headings, lists, quotations or code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|rubrik|kop|overskrift|заголовок|标题|見出し)\s*([1-9])\Z",
    re.IGNORECASE,
)
_QUOTES = {"quote", "intense quote", "block text"}
_CODE = re.compile(
    r"\b(?:code|source code|html preformatted|preformatted|listing)\b", re.IGNORECASE
)
_LIST = re.compile(r"list (?:bullet|number|continue )?\s*([2-5])\Z")
_MAX_CHAIN = 20
_PLACE = re.compile(r"%([1-9])")
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """What a paragraph is."""

    heading_depth: int | None = None
    """0 for the title of the document, 1–9 for headings, None for other paragraphs."""
    number_id: str = ""
    """List it belongs to; empty: none."""
    list_level: int = 0
    is_quote: bool = False
    is_code: bool = False
    indent: int = 0
    """How deep a list it is in stands, by the name of its style: "List Bullet 3" is a list of its
    own, at its first level."""


@dataclass(slots=True)
class _Style:
    name: str
    parent: str
    properties: Any | None


class Styles:
    """The styles of a document.

    Args:
        root: Its `styles.xml`, or None.
    """

    def __init__(self, root: Any | None) -> None:
        self._styles: dict[str, _Style] = {}
        self._default = ""
        self._resolved: dict[str, ParagraphStyle] = {}
        for style in root.iter(f"{W}style") if root is not None else ():
            if style.get(W + "type") != "paragraph":
                continue
            identifier = style.get(W + "styleId") or ""
            name = _value(style.find(f"{W}name")).lower()
            based_on = _value(style.find(f"{W}basedOn"))
            self._styles[identifier] = _Style(name, based_on, style.find(f"{W}pPr"))
            if style.get(W + "default") in {"1", "true"}:
                self._default = identifier

    def of(self, properties: Any | None) -> ParagraphStyle:
        """Returns what a paragraph with these properties is."""
        if properties is None:
            return self._resolve(self._default)
        style = self._resolve(_value(properties.find(f"{W}pStyle")) or self._default)
        depth = _outline_depth(properties)
        number_id, level = _numbering_of(properties)
        if depth is None and number_id is None and level is None:
            return style
        return ParagraphStyle(
            style.heading_depth if depth is None else (depth if depth <= 9 else None),
            style.number_id if number_id is None else number_id,
            style.list_level if level is None else level,
            style.is_quote,
            style.is_code,
            style.indent if level is None else 0,
        )

    def _resolve(self, identifier: str) -> ParagraphStyle:
        known = self._resolved.get(identifier)
        if known is None:
            known = self._resolved[identifier] = self._look_up(identifier)
        return known

    def _look_up(self, identifier: str) -> ParagraphStyle:
        depth: int | None = None
        number_id: str | None = None
        level: int | None = None
        is_quote = is_code = False
        indent = 0
        for _ in range(_MAX_CHAIN):
            style = self._styles.get(identifier)
            if style is None:
                # Documents without a style sheet still name the built-in styles.
                depth = _named_depth(_spaced(identifier)) if depth is None else depth
                break
            if depth is None:
                depth = _named_depth(style.name)
            if style.properties is not None:
                if depth is None:
                    depth = _outline_depth(style.properties)
                own_number, own_level = _numbering_of(style.properties)
                number_id = own_number if number_id is None else number_id
                level = own_level if level is None else level
            if not indent and (nested := _LIST.match(style.name)):
                indent = int(nested[1]) - 1
            is_quote = is_quote or style.name in _QUOTES
            is_code = is_code or bool(_CODE.search(style.name))
            identifier = style.parent
        return ParagraphStyle(
            depth if depth is not None and depth <= 9 else None,
            number_id or "",
            level or 0,
            is_quote,
            is_code,
            indent,
        )


@dataclass(slots=True)
class _Level:
    format: str = "decimal"
    text: str = "%1."
    start: int = 1


@dataclass(slots=True)
class _Abstract:
    levels: dict[int, _Level] = field(default_factory=dict)


class Numbering:
    """Counts the items of lists as Word does.

    Args:
        root: `numbering.xml` of the document, or None.
    """

    def __init__(self, root: Any | None) -> None:
        self._abstracts: dict[str, _Abstract] = {}
        self._abstract_of: dict[str, str] = {}
        self._counters: dict[str, dict[int, int]] = {}
        for element in root if root is not None else ():
            if element.tag == W + "abstractNum":
                identifier = element.get(W + "abstractNumId") or ""
                self._abstracts[identifier] = _Abstract(
                    {
                        _whole(level.get(W + "ilvl")): _Level(
                            _value(level.find(f"{W}numFmt")) or "decimal",
                            _value(level.find(f"{W}lvlText")),
                            _whole(_value(level.find(f"{W}start")) or "1"),
                        )
                        for level in element.iter(f"{W}lvl")
                    }
                )
            elif element.tag == W + "num":
                self._abstract_of[element.get(W + "numId") or ""] = _value(
                    element.find(f"{W}abstractNumId")
                )

    def label(self, properties: Any | None, style: ParagraphStyle) -> str | None:
        """Returns the number or bullet before a paragraph; None: it belongs to no list."""
        if not style.number_id or style.number_id == "0":
            return None
        abstract_id = self._abstract_of.get(style.number_id)
        if abstract_id is None:
            return None if style.heading_depth is not None else "-"
        abstract = self._abstracts.get(abstract_id, _Abstract())
        level = abstract.levels.get(style.list_level, _Level("bullet", ""))
        if level.format == "bullet":
            return None if style.heading_depth is not None else "-"
        counters = self._counters.setdefault(abstract_id, {})
        counters[style.list_level] = counters.get(style.list_level, level.start - 1) + 1
        for deeper in [each for each in counters if each > style.list_level]:
            del counters[deeper]
        if level.format == "none" or not level.text:
            return None if style.heading_depth is not None or not level.text else ""

        def number(found: re.Match[str]) -> str:
            place = int(found[1]) - 1
            other = abstract.levels.get(place, level)
            return _written(counters.get(place, other.start), other.format)

        return " ".join(_PLACE.sub(number, level.text).split())


def _written(number: int, style: str) -> str:
    if style in {"lowerLetter", "upperLetter"} and 0 < number <= 26 * 20:
        letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters.upper() if style == "upperLetter" else letters
    if style in {"lowerRoman", "upperRoman"} and 0 < number < 4000:
        rest, letters = number, ""
        for value, digits in _ROMAN:
            letters += digits * (rest // value)
            rest %= value
        return letters.upper() if style == "upperRoman" else letters
    return f"{number:02}" if style == "decimalZero" else str(number)


def _named_depth(name: str) -> int | None:
    if name == "title":
        return 0
    found = _HEADING.match(name)
    return int(found[1]) if found else None


def _spaced(identifier: str) -> str:
    return re.sub(r"(?<=\D)(?=\d)", " ", identifier).lower()


def _outline_depth(properties: Any) -> int | None:
    value = _value(properties.find(f"{W}outlineLvl"))
    return int(value) + 1 if value.isdigit() else None


def _numbering_of(properties: Any) -> tuple[str | None, int | None]:
    found = properties.find(f"{W}numPr")
    if found is None:
        return None, None
    number = found.find(f"{W}numId")
    level = found.find(f"{W}ilvl")
    return (
        _value(number) if number is not None else None,
        _whole(_value(level)) if level is not None else None,
    )


def _value(element: Any | None) -> str:
    return (element.get(W + "val") or "") if element is not None else ""


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 9 else 0
