"""RTF: text with its headings, lists, tables, notes and pages; in any code page, or Unicode."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.rtf_words import CHARACTERS, CODE_PAGES, IGNORED, encoding_of
from services.ingestion.parsers.writer import DocumentWriter, one_line

_TOKEN = re.compile(
    rb"\\bin(?P<bin>\d{1,9}) ?|\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?"
    rb"|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<symbol>[^a-zA-Z])|(?P<brace>[{}])|[\r\n]+"
    rb"|(?P<text>[^\\{}\r\n]+)",
    re.DOTALL,
)
_HEADING = re.compile(r"heading\s*([1-9])", re.IGNORECASE)
_MAX_DEPTH = 2000
_MAX_CHARACTERS = 16_000_000
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\v\f\r\x1a\x1b")
_FEW_CONTROLS = 4
_MOST_CONTROLS = 0.02
"""Control characters beyond a few, of the text that is read: there are none but by mistake, and of
bytes by chance every tenth is one."""


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of the body, notes behind the paragraph that refers to them.

    Raises:
        UnparsableError: it is damaged or has no text.
    """
    if not data.lstrip().startswith(b"{\\rtf"):
        raise UnparsableError("PARSE_FAILED", "the RTF is damaged: its first group is missing")
    return _Reader(data).read()


@dataclass(frozen=True, slots=True)
class _State:
    """What a group inherits, changes, and gives back."""

    destination: str = "body"
    encoding: str = "cp1252"
    unicode_skip: int = 1
    is_hidden: bool = False


@dataclass(slots=True)
class _Paragraph:
    """Properties of the paragraph that is being read."""

    depth: int | None = None
    style: int = 0
    is_in_table: bool = False
    level: int = 0
    is_item: bool = False


@dataclass(slots=True)
class _Buffers:
    """Texts that are gathered beside the body."""

    title: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)
    note: list[str] = field(default_factory=list)
    margin: list[str] = field(default_factory=list)
    style: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._writer = DocumentWriter()
        self._state = _State()
        self._stack: list[_State] = []
        self._default_encoding = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._styles: dict[int, int] = {}
        self._style = 0
        self._buffers = _Buffers()
        self._bytes = bytearray()
        self._bytes_encoding = "cp1252"
        self._text: list[str] = []
        self._paragraph = _Paragraph()
        self._cells: list[str] = []
        self._cell: list[str] = []
        self._rows: list[list[str]] = []
        self._items: list[str] = []
        self._notes: list[str] = []
        self._skip = 0
        self._high = 0
        self._star = False
        self._size = 0
        self._raw_bytes = 0
        self._controls = 0
        self._has_pages = b"\\page" in data

    def read(self) -> ParsedDocument:
        self._writer.page = 1 if self._has_pages else 0
        position, end = 0, len(self._data)
        while position < end:
            found = _TOKEN.match(self._data, position)
            if found is None:
                position += 1
                continue
            position = found.end()
            if found["bin"]:
                position += int(found["bin"])
            elif found["text"] is not None:
                self._raw(found["text"])
            elif found["hex"] is not None:
                self._raw_byte(int(found["hex"], 16))
            elif found["word"] is not None:
                number = found["number"]
                self._word(found["word"].decode("ascii"), int(number) if number else None)
            elif found["symbol"] is not None:
                self._symbol(found["symbol"])
            elif found["brace"] is not None:
                self._brace(found["brace"])
        if self._controls > _FEW_CONTROLS + _MOST_CONTROLS * self._raw_bytes:
            raise UnparsableError("PARSE_FAILED", "the RTF is damaged: it holds bytes, not text")
        self._end_paragraph()
        self._end_table()
        self._end_list()
        self._write_margins()
        return self._writer.finish(one_line("".join(self._buffers.title)))

    def _brace(self, brace: bytes) -> None:
        self._flush_bytes()
        self._skip = 0
        if brace == b"{":
            if len(self._stack) >= _MAX_DEPTH:
                raise UnparsableError("PARSE_FAILED", "the RTF is nested too deeply")
            self._stack.append(self._state)
            self._star = False
        elif self._stack:
            self._leave(self._state.destination)
            self._state = self._stack.pop()

    def _leave(self, destination: str) -> None:
        """Ends a group."""
        outer = self._stack[-1].destination
        if destination == outer:
            return
        if destination == "note":
            text = one_line("".join(self._buffers.note))
            self._buffers.note.clear()
            if text:
                number = len(self._notes) + 1
                self._notes.append(f"[*] {text}" if number == 1 else f"[{'*' * number}] {text}")
                self._text.append(f"[{'*' * number}]")
        elif destination == "style":
            found = _HEADING.search("".join(self._buffers.style))
            if found:
                self._styles.setdefault(self._style, int(found[1]))
            self._buffers.style.clear()
        elif destination == "margin":
            self._buffers.margin.append("\n")

    def _symbol(self, symbol: bytes) -> None:
        if self._skip:
            self._skip -= 1
            return
        if symbol == b"*":
            self._star = True
        elif symbol == b"~":
            self._add("\u00a0")
        elif symbol == b"_":
            self._add("-")
        elif symbol in b"\r\n":
            self._end_paragraph()
        elif symbol in b"\\{}":
            self._add(symbol.decode("ascii"))

    def _raw(self, text: bytes) -> None:
        if self._state.destination != "ignored":
            self._raw_bytes += len(text)
            self._controls += len(text) - len(text.translate(None, _CONTROLS))
        if self._skip:
            dropped = min(self._skip, len(text))
            self._skip -= dropped
            text = text[dropped:]
        if text:
            self._take_bytes(text)

    def _raw_byte(self, byte: int) -> None:
        if self._skip:
            self._skip -= 1
            return
        self._take_bytes(bytes([byte]))

    def _take_bytes(self, text: bytes) -> None:
        if self._state.destination == "ignored":
            return
        if self._bytes_encoding != self._state.encoding:
            self._flush_bytes()
            self._bytes_encoding = self._state.encoding
        self._bytes += text

    def _flush_bytes(self) -> None:
        if self._bytes:
            text = bytes(self._bytes).decode(self._bytes_encoding, "replace")
            self._bytes.clear()
            self._put(text)

    def _add(self, text: str) -> None:
        self._flush_bytes()
        self._put(text)

    def _put(self, text: str) -> None:
        state = self._state
        if state.is_hidden:
            return
        self._size += len(text)
        if self._size > _MAX_CHARACTERS:
            raise UnparsableError("TOO_LARGE", "the RTF has too much text; split it")
        target = {
            "body": self._text,
            "title": self._buffers.title,
            "label": self._buffers.label,
            "note": self._buffers.note,
            "margin": self._buffers.margin,
            "style": self._buffers.style,
        }.get(state.destination)
        if target is not None:
            target.append(text)

    def _word(self, word: str, number: int | None) -> None:
        if word == "u" and number is not None:
            self._unicode(number)
            return
        self._flush_bytes()
        if self._skip and word != "uc":
            # A control word counts as one character of the replacement.
            self._skip -= 1
            return
        star, self._star = self._star, False
        if self._destination(word, is_optional=star):
            return
        if word in CHARACTERS:
            self._add(CHARACTERS[word])
        elif self._state.destination == "fonts":
            self._font_word(word, number)
        elif self._state.destination == "style":
            self._style_word(word, number)
        else:
            self._text_word(word, number)

    def _unicode(self, number: int) -> None:
        self._flush_bytes()
        code = number & 0xFFFF if number < 0 else number
        if 0xD800 <= code < 0xDC00:
            self._high = code
        elif 0xDC00 <= code < 0xE000 and self._high:
            self._put(chr(0x10000 + ((self._high - 0xD800) << 10) + code - 0xDC00))
            self._high = 0
        elif code < 0x110000 and not 0xD800 <= code < 0xE000:
            self._put(chr(code))
        self._skip = self._state.unicode_skip

    def _destination(self, word: str, *, is_optional: bool) -> bool:
        """Enters a destination, if the word names one."""
        if self._state.destination == "ignored":
            return True
        name = {
            "fonttbl": "fonts",
            "stylesheet": "style",
            "title": "title" if self._state.destination == "info" else "",
            "info": "info",
            "listtext": "label",
            "pntext": "label",
            "footnote": "note",
            "fldrslt": self._state.destination,
            "shptxt": self._state.destination,
        }.get(word, "")
        if word.startswith(("header", "footer")) and word not in {"headery", "footery"}:
            name = "margin"
        if name:
            if word in {"listtext", "pntext"}:
                self._buffers.label.clear()
            self._state = replace(self._state, destination=name)
            return True
        if word in IGNORED or (is_optional and word not in {"shpinst", "shptxt"}):
            self._state = replace(self._state, destination="ignored")
            return True
        return False

    def _font_word(self, word: str, number: int | None) -> None:
        if word == "f" and number is not None:
            self._font = number
        elif word == "fcharset" and number is not None:
            encoding = CODE_PAGES.get(number)
            if encoding is not None:
                self._fonts[self._font] = encoding
        elif word == "cpg" and number is not None:
            self._fonts[self._font] = encoding_of(number)

    def _style_word(self, word: str, number: int | None) -> None:
        if word == "s" and number is not None:
            self._style = number
        elif word == "outlinelevel" and number is not None and number < 9:
            self._styles[self._style] = number + 1

    def _text_word(self, word: str, number: int | None) -> None:  # noqa: C901, PLR0912 - one line per control word
        paragraph = self._paragraph
        if word in {"par", "sect"}:
            self._end_paragraph()
        elif word == "pard":
            self._paragraph = _Paragraph()
        elif word == "plain":
            self._state = replace(self._state, is_hidden=False, encoding=self._default_encoding)
        elif word == "ansicpg" and number is not None:
            self._default_encoding = encoding_of(number)
            self._state = replace(self._state, encoding=self._default_encoding)
        elif word in {"mac", "pc", "pca"}:
            self._default_encoding = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
            self._state = replace(self._state, encoding=self._default_encoding)
        elif word == "f" and number is not None:
            encoding = self._fonts.get(number, self._default_encoding)
            self._state = replace(self._state, encoding=encoding)
        elif word == "uc":
            self._state = replace(self._state, unicode_skip=min(number or 0, 16))
        elif word in {"v", "deleted"}:
            self._state = replace(self._state, is_hidden=number != 0)
        elif word == "outlinelevel" and number is not None:
            paragraph.depth = number + 1 if 0 <= number < 9 else None
        elif word == "s" and number is not None:
            paragraph.style = number
        elif word == "ilvl" and number is not None:
            paragraph.level = min(max(number, 0), 8)
        elif word == "ls":
            paragraph.is_item = bool(number)
        elif word == "intbl":
            paragraph.is_in_table = True
        elif word in {"cell", "nestcell"}:
            self._end_cell(is_nested=word == "nestcell")
        elif word == "row":
            self._end_row()
        elif word == "page":
            self._end_paragraph()
            self._end_table()
            self._end_list()
            self._writer.page += 1

    def _take_text(self) -> str:
        self._flush_bytes()
        text, self._text = "".join(self._text), []
        return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()

    def _end_paragraph(self) -> None:
        if self._state.destination != "body":
            self._add("\n")
            return
        text = self._take_text()
        label = one_line("".join(self._buffers.label))
        self._buffers.label.clear()
        paragraph = self._paragraph
        if paragraph.is_in_table:
            self._cell.append(f"{label} {text}".strip())
            return
        if not text:
            return
        self._end_table()
        depth = paragraph.depth or self._styles.get(paragraph.style)
        if depth is not None:
            self._end_list()
            self._writer.heading(depth, f"{label} {text}".strip())
        elif label or paragraph.is_item:
            bullet = "-" if not any(char.isalnum() for char in label) else label
            indent = "  " * paragraph.level
            self._items.append(f"{indent}{bullet} {text}")
        else:
            self._end_list()
            self._writer.paragraph(text)
        self._write_notes()

    def _write_notes(self) -> None:
        if self._notes:
            self._end_list()
            notes, self._notes = self._notes, []
            for note in notes:
                self._writer.paragraph(note)

    def _end_cell(self, *, is_nested: bool) -> None:
        self._cell.append(self._take_text())
        text = " ".join(filter(None, self._cell))
        if is_nested:
            self._cell = [f"{text}," if text else ""]
            return
        self._cell = []
        self._cells.append(text.rstrip(","))

    def _end_row(self) -> None:
        if self._cells:
            self._end_list()
            self._rows.append(self._cells)
            self._cells = []

    def _end_table(self) -> None:
        self._end_row()
        if self._rows:
            rows, self._rows = self._rows, []
            self._writer.table(rows, has_header=True)
            self._write_notes()

    def _end_list(self) -> None:
        if self._items:
            items, self._items = self._items, []
            self._writer.items(items)

    def _write_margins(self) -> None:
        self._writer.leave_sections(0)
        self._writer.page = 0
        text = "".join(self._buffers.margin)
        for part in dict.fromkeys(one_line(line) for line in text.split("\n")):
            if any(char.isalpha() for char in part):
                self._writer.paragraph(part)
