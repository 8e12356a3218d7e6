"""PPTX: slides as pages, with titles, lists, tables, groups, charts, diagrams and notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.ingestion.parsers.parsed import ParsedDocument
from services.ingestion.parsers.writer import DocumentWriter, one_line
from services.ingestion.parsers.zip_source import ZipSource, main_part, relations

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_NO_TEXT = {"dt", "ftr", "sldNum", "hdr", "sldImg"}
"""Placeholders for dates, footers and numbers, the same on every slide."""
_PLACED = {_P + "sp", _P + "grpSp", _P + "graphicFrame", _MC + "AlternateContent"}
_ROW_EMU = 457_200
"""Shapes that begin within half an inch of height are read from left to right."""
_BULLETS = {_A + "buChar", _A + "buAutoNum", _A + "buBlip"}
_MAX_DEPTH = 100
_MAX_CHART_POINTS = 2000


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of the slides, in their order.

    Raises:
        UnparsableError: it is damaged or has no text.
    """
    return _Reader(ZipSource(data)).read()


class _Reader:
    def __init__(self, source: ZipSource) -> None:
        self._source = source
        self._writer = DocumentWriter()
        self._relations: dict[str, tuple[str, str]] = {}

    def read(self) -> ParsedDocument:
        main = main_part(self._source, "ppt/presentation.xml")
        links = relations(self._source, main)
        hidden = 0
        for number, entry in enumerate(self._source.xml(main).iter(f"{_P}sldId"), 1):
            _, part = links.get(entry.get(_R + "id") or "", ("", ""))
            if part not in self._source:
                self._writer.warnings.append(f"slide {number} is missing from the file")
                continue
            slide = self._source.xml(part)
            if slide.get("show") in {"0", "false"}:
                hidden += 1
                continue
            self._writer.page = number
            self._slide(slide, part)
        if hidden:
            self._writer.warnings.append(f"hidden slides were left out: {hidden}")
        return self._writer.finish(self._title())

    def _title(self) -> str:
        if "docProps/core.xml" not in self._source:
            return ""
        found = self._source.xml("docProps/core.xml").find(f".//{_DC_TITLE}")
        title = one_line(found.text or "") if found is not None else ""
        return "" if title.lower() == "powerpoint presentation" else title

    def _slide(self, slide: Any, part: str) -> None:
        self._writer.leave_sections(0)
        self._relations = relations(self._source, part)
        tree = slide.find(f"{_P}cSld/{_P}spTree")
        if tree is None:
            return
        shapes = list(_shapes(_as_read(tree)))
        title = next(
            (shape for shape in shapes if _placeholder(shape) in {"title", "ctrTitle"}), None
        )
        if title is not None:
            self._writer.heading(1, _text(title))
        for shape in shapes:
            if shape is not title:
                self._shape(shape)
        for kind, target in self._relations.values():
            if kind == "notesSlide" and target in self._source:
                self._notes(self._source.xml(target))

    def _shape(self, shape: Any) -> None:
        placeholder = _placeholder(shape)
        if placeholder in _NO_TEXT:
            return
        if shape.tag == _P + "graphicFrame":
            self._graphic(shape)
            return
        body = shape.find(f"{_P}txBody")
        if body is None:
            return
        if placeholder == "subTitle":
            self._writer.paragraph(_text(shape))
        else:
            self._text_body(body, is_list=placeholder in {"body", "obj", ""})

    def _text_body(self, body: Any, *, is_list: bool) -> None:
        lines: list[tuple[bool, int, str]] = []
        for paragraph in body.iter(f"{_A}p"):
            text = _paragraph_text(paragraph)
            if not text:
                continue
            properties = paragraph.find(f"{_A}pPr")
            level = int(properties.get("lvl") or 0) if properties is not None else 0
            is_item = is_list
            if properties is not None:
                if properties.find(f"{_A}buNone") is not None:
                    is_item = False
                elif any(child.tag in _BULLETS for child in properties):
                    is_item = True
            lines.append((is_item, min(level, 8), text))
        self._write_lines(lines)

    def _write_lines(self, lines: list[tuple[bool, int, str]]) -> None:
        items: list[str] = []
        for is_item, level, text in lines:
            if is_item and len(lines) > 1:
                indent = "  " * level
                items.append(f"{indent}- {text}".replace("\n", f"\n{indent}  "))
                continue
            self._writer.items(items)
            items = []
            self._writer.paragraph(text)
        self._writer.items(items)

    def _graphic(self, frame: Any) -> None:
        for table in frame.iter(f"{_A}tbl"):
            rows: list[list[str]] = []
            for row in table.iter(f"{_A}tr"):
                cells = []
                for column, cell in enumerate(row.iter(f"{_A}tc")):
                    is_below = cell.get("vMerge") in {"1", "true"}
                    above = rows[-1][column] if rows and column < len(rows[-1]) else ""
                    cells.append(above if is_below else _text(cell))
                rows.append(cells)
            self._writer.table(rows, has_header=True)
        for chart in frame.iter(f"{_C}chart"):
            self._chart(self._part(chart.get(_R + "id")))
        for diagram in frame.iter(f"{_DGM}relIds"):
            part = self._part(diagram.get(_R + "dm"))
            if part is not None:
                texts = [text for body in part.iter(f"{_DGM}t") if (text := _text(body))]
                self._writer.items([f"- {text}" for text in texts])

    def _part(self, identifier: str | None) -> Any | None:
        _, target = self._relations.get(identifier or "", ("", ""))
        return self._source.xml(target) if target in self._source else None

    def _chart(self, chart: Any | None) -> None:
        """Writes a chart as the table it was drawn from."""
        if chart is None:
            return
        title = chart.find(f".//{_C}title")
        if title is not None:
            self._writer.paragraph(_text(title))
        names: list[str] = []
        columns: list[list[str]] = []
        categories: list[str] = []
        for series in chart.iter(f"{_C}ser"):
            name = series.find(f"{_C}tx")
            names.append(" ".join(_points(name)) if name is not None else "")
            category = series.find(f"{_C}cat")
            categories = categories or (_points(category) if category is not None else [])
            values = series.find(f"{_C}val")
            columns.append(_points(values) if values is not None else [])
        if not columns:
            return
        height = max(len(categories), *map(len, columns))
        rows = [["", *names]]
        for place in range(height):
            cells = [column[place] if place < len(column) else "" for column in columns]
            rows.append([categories[place] if place < len(categories) else "", *cells])
        self._writer.table(rows, has_header=True)

    def _notes(self, notes: Any) -> None:
        tree = notes.find(f"{_P}cSld/{_P}spTree")
        if tree is None:
            return
        texts = [_text(shape) for shape in _shapes(tree) if _placeholder(shape) == "body"]
        if text := "\n".join(filter(None, texts)):
            self._writer.paragraph(f"Notes: {text}")


def _as_read(tree: Any) -> list[Any]:
    """Returns the shapes of a slide from top to bottom, where all say where they are.

    Their order in the file is the order they were drawn in. Placeholders stand where the layout
    puts them, and a layout's order is kept.
    """
    shapes = [shape for shape in tree if shape.tag in _PLACED]
    places = [_place(shape) for shape in shapes]
    if any(place is None for place in places):
        return list(tree)
    placed = sorted(
        zip(places, range(len(shapes)), shapes, strict=True),
        key=lambda each: (each[0][1] // _ROW_EMU, each[0][0], each[1]) if each[0] else (0, 0, 0),
    )
    return [shape for _, _, shape in placed]


def _place(shape: Any) -> tuple[int, int] | None:
    """Returns how far left and down a shape begins, in English metric units."""
    found = next(shape.iter(f"{_A}off"), None)
    if found is None:
        return None
    try:
        return (int(found.get("x")), int(found.get("y")))
    except (TypeError, ValueError):
        return None


def _shapes(tree: Any, depth: int = 0) -> Iterator[Any]:
    """Yields shapes in reading order, those of groups in their place."""
    for shape in tree:
        if shape.tag == _P + "grpSp":
            if depth < _MAX_DEPTH:
                yield from _shapes(shape, depth + 1)
        elif shape.tag == _MC + "AlternateContent":
            chosen = shape.find(f"{_MC}Choice")
            if chosen is not None and depth < _MAX_DEPTH:
                yield from _shapes(chosen, depth + 1)
        elif shape.tag in {_P + "sp", _P + "graphicFrame"}:
            yield shape


def _placeholder(shape: Any) -> str | None:
    """Returns the kind of placeholder a shape is; None: it is none."""
    found = next(shape.iter(f"{_P}ph"), None)
    return found.get("type", "") if found is not None else None


def _text(element: Any) -> str:
    lines = (_paragraph_text(paragraph) for paragraph in element.iter(f"{_A}p"))
    return "\n".join(filter(None, lines))


def _paragraph_text(paragraph: Any) -> str:
    parts = [
        "\n" if element.tag == _A + "br" else element.text or ""
        for element in paragraph.iter(f"{_A}t", f"{_A}br")
    ]
    lines = "".join(parts).replace("\x0b", "\n").split("\n")
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))


def _points(element: Any) -> list[str]:
    values = (point.text or "" for point in element.iter(f"{_C}v"))
    return [one_line(value) for value, _ in zip(values, range(_MAX_CHART_POINTS), strict=False)]
