"""Splits the text form of a filter into tokens that know their place."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.filters.ast import invalid_filter
from services.filters.values import INT64_MAX, INT64_MIN, Value, parse_timestamp

if TYPE_CHECKING:
    from services.rpc.errors import InvalidArgumentError

MAX_CHARACTERS = 65_536
"""Characters of a filter text at most."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<date>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?)
        (?![\w.])
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`[^`]+`)
      | (?P<word>[^\W\d][\w.\-]*)
      | (?P<symbol><=|>=|!=|<>|==|[=<>(),\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


class Kind(enum.Enum):
    """What a token is."""

    WORD = "a name"
    FIELD = "a name in backquotes"
    VALUE = "a value"
    SYMBOL = "a symbol"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text."""

    kind: Kind
    text: str
    """As written; of a name in backquotes: the name."""
    position: int
    """Index of its first character in the text."""
    value: Value | None = None
    """The value of a VALUE token."""


def error_at(text_field: str, position: int, message: str) -> InvalidArgumentError:
    """Returns the error for a text that cannot be read at `position` (counted from 0)."""
    return invalid_filter(
        f"at character {position + 1}: {message}", text_field, position=str(position)
    )


def tokenize(text: str, field: str) -> Iterator[Token]:
    """Yields the tokens of the text, an END token last.

    Raises:
        InvalidArgumentError: the text holds something that is no token.
    """
    if len(text) > MAX_CHARACTERS:
        raise invalid_filter(f"is longer than {MAX_CHARACTERS} characters", field)
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise error_at(field, position, _complaint(text[position]))
        if match.lastgroup != "space":
            yield _token(match, field)
        position = match.end()
    yield Token(Kind.END, "", len(text))


def _complaint(character: str) -> str:
    if character in "\"'":
        return "the quoted text has no end"
    if character == "`":
        return "the name in backquotes has no end"
    return f"unexpected {character!r}"


def _token(match: re.Match[str], field: str) -> Token:  # noqa: PLR0911 - one per group
    text, position = match.group(), match.start()
    match match.lastgroup:
        case "date":
            value = parse_timestamp(text)
            if value is None:
                raise error_at(field, position, f"{text} is no date")
            return Token(Kind.VALUE, text, position, value)
        case "number":
            return Token(Kind.VALUE, text, position, _number(text, position, field))
        case "string":
            return Token(Kind.VALUE, text, position, _unescape(text[1:-1], position, field))
        case "quoted":
            return Token(Kind.FIELD, text[1:-1], position)
        case "word" if text.lower() in {"true", "false"}:
            return Token(Kind.VALUE, text, position, text.lower() == "true")
        case "word":
            return Token(Kind.WORD, text, position)
    return Token(Kind.SYMBOL, text, position)


def _number(text: str, position: int, field: str) -> int | float:
    if re.fullmatch(r"[+-]?\d+", text):
        # int() refuses thousands of digits with an error of its own.
        number = int(text) if len(text) <= 20 else INT64_MAX + 1
        if not INT64_MIN <= number <= INT64_MAX:
            raise error_at(field, position, "the integer does not fit in 64 bits")
        return number
    value = float(text)
    if not math.isfinite(value):
        raise error_at(field, position, "the number is too large")
    return value


def _unescape(body: str, position: int, field: str) -> str:
    def replace(match: re.Match[str]) -> str:
        escape = match.group(1)
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPES:
            raise error_at(field, position + 1 + match.start(), f"unknown escape \\{escape}")
        return _ESCAPES[escape]

    value = _ESCAPE.sub(replace, body)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise error_at(field, position, "the text holds a character that cannot be stored")
    return value
