"""JSON and JSON lines: each record a block of `name: value` lines, named containers as sections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter

_MAX_SECTION_DEPTH = 3
_MAX_DEPTH = 200
_TITLES = ("title", "name", "headline", "subject")


def parse(data: bytes) -> ParsedDocument:
    """Returns the values with their names, in order.

    Raises:
        UnparsableError: it is not JSON, or nested too deeply.
    """
    text, warnings = decode(data)
    writer = DocumentWriter()
    writer.warnings.extend(warnings)
    text = clean(text).lstrip("\ufeff")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        _write_lines(writer, text, error)
        return writer.finish()
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise UnparsableError("PARSE_FAILED", "the JSON holds a number that is too long") from error
    _write(writer, value, 1)
    title = ""
    if isinstance(value, dict):
        title = next((str(value[key]) for key in _TITLES if isinstance(value.get(key), str)), "")
    return writer.finish(title)


def _write_lines(writer: DocumentWriter, text: str, error: json.JSONDecodeError) -> None:
    """Writes JSON lines; a line that is broken is left out and told."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise UnparsableError("EMPTY_TEXT", "the file holds no text")
    broken = []
    for number, line in enumerate(lines, 1):
        try:
            _write(writer, json.loads(line), 1)
        except RecursionError:
            raise _too_deep() from None
        except ValueError:
            broken.append(number)
    if len(broken) > len(lines) // 2:
        raise UnparsableError(
            "PARSE_FAILED",
            f"the JSON is damaged: {error.msg} (line {error.lineno}, column {error.colno})",
        )
    if broken:
        writer.warnings.append(f"{len(broken)} lines are no JSON and were left out")


def _write(writer: DocumentWriter, value: Any, depth: int) -> None:
    if isinstance(value, dict):
        _write_object(writer, value, depth)
    elif isinstance(value, list):
        _write_array(writer, value, depth)
    else:
        writer.items(list(_lines(value, "")))


def _write_object(writer: DocumentWriter, value: dict[str, Any], depth: int) -> None:
    """Writes plain members as one record, then large ones as sections of their own."""
    record: list[str] = []
    sections: list[tuple[str, Any]] = []
    for name, member in value.items():
        if depth <= _MAX_SECTION_DEPTH and _is_section(member):
            sections.append((name, member))
        else:
            record.extend(_lines(member, name))
    writer.items(record)
    for name, member in sections:
        writer.heading(depth, name)
        _write(writer, member, depth + 1)
        writer.leave_sections(depth)


def _write_array(writer: DocumentWriter, value: list[Any], depth: int) -> None:
    plain: list[str] = []
    for member in value:
        if isinstance(member, dict | list):
            writer.items(plain)
            plain = []
            if isinstance(member, dict) and _holds_sections(member) and depth < _MAX_SECTION_DEPTH:
                _write_object(writer, member, depth)
            else:
                writer.items(list(_lines(member, "")))
        else:
            plain.extend(f"- {line}" for line in _lines(member, ""))
    writer.items(plain)


def _is_section(member: Any) -> bool:
    """Whether a member is large enough for a heading: records, or an object that holds some."""
    if isinstance(member, list):
        return any(isinstance(each, dict | list) for each in member)
    return isinstance(member, dict) and bool(member)


def _holds_sections(member: dict[str, Any]) -> bool:
    return any(
        isinstance(each, list) and any(isinstance(item, dict) for item in each)
        for each in member.values()
    )


def _lines(value: Any, name: str, depth: int = 0) -> Iterator[str]:
    """Yields `name: value` lines; names of nested values are joined by dots."""
    if depth > _MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _lines(member, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list):
        if all(not isinstance(member, dict | list) for member in value):
            text = ", ".join(shown for member in value if (shown := _shown(member)))
            if text:
                yield f"{name}: {text}" if name else text
            return
        for member in value:
            yield from _lines(member, name, depth + 1)
    else:
        text = _shown(value)
        if text:
            yield f"{name}: {text}" if name else text


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _too_deep() -> UnparsableError:
    return UnparsableError("PARSE_FAILED", "the JSON is nested too deeply")
