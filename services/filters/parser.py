r"""Reads the text form of filters, as people type it on a command line or in a URL.

    doc_type = "policy" AND ts >= 2026-01-01
    (lang IN ("en", "de") OR NOT EXISTS lang) AND tags CONTAINS ANY ("a", "b")
    title_key STARTS WITH "Q3" AND pages BETWEEN 2 AND 10 AND draft != true

Words are case-insensitive. Fields are names or `names in backquotes`. Values are "text", numbers,
true, false, and dates (2026-01-01, 2026-01-01T08:00:00Z; UTC without a zone). NOT binds tighter
than AND, AND tighter than OR. `!=` is the opposite of `=`: it holds for documents without the
field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.filters.ast import (
    MAX_DEPTH,
    And,
    ContainsAll,
    Equals,
    Exists,
    Filter,
    Not,
    OneOf,
    Or,
    Prefix,
    Range,
    check_limits,
    too_deep,
)
from services.filters.lexer import Kind, Token, error_at, tokenize

if TYPE_CHECKING:
    from services.filters.values import Value

RESERVED = {
    *("AND", "OR", "NOT", "IN", "EXISTS", "IS", "NULL", "BETWEEN"),
    *("CONTAINS", "ANY", "ALL", "STARTS", "WITH", "PREFIX"),
}
"""Words that name no field unless they stand in backquotes."""


def parse(text: str, field: str = "filter") -> Filter:
    """Reads a filter.

    Args:
        text: The text; must not be empty.
        field: Path of the text in the request, for errors.

    Raises:
        InvalidArgumentError: the text cannot be read; reason INVALID_FILTER, with the position of
            the first wrong character in the message and (counted from 0) in the metadata.
    """
    parser = _Parser(list(tokenize(text, field)), field)
    tree = parser.whole()
    check_limits(tree, field)
    return tree


class _Parser:
    """A recursive-descent parser over the tokens of one text."""

    def __init__(self, tokens: list[Token], field: str) -> None:
        self._tokens = tokens
        self._field = field
        self._at = 0

    def whole(self) -> Filter:
        tree = self._either(1)
        if self._next.kind is not Kind.END:
            raise self._expected("AND, OR or the end")
        return tree

    def _either(self, depth: int) -> Filter:
        operands = [self._both(depth)]
        while self._accept_word("OR"):
            operands.append(self._both(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _both(self, depth: int) -> Filter:
        operands = [self._unary(depth)]
        while self._accept_word("AND"):
            operands.append(self._unary(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _unary(self, depth: int) -> Filter:
        # Parentheses cost nothing in the tree, yet each costs a level of recursion here.
        if depth > 4 * MAX_DEPTH:
            raise too_deep(self._field)
        if self._accept_word("NOT"):
            return Not(self._unary(depth + 1))
        if self._accept_symbol("("):
            tree = self._either(depth + 1)
            self._need_symbol(")")
            return tree
        if self._accept_word("EXISTS"):
            if self._accept_symbol("("):
                name = self._name()
                self._need_symbol(")")
                return Exists(name)
            return Exists(self._name())
        return self._comparison(self._name())

    def _comparison(self, name: str) -> Filter:
        token = self._next
        if token.kind is Kind.SYMBOL and token.text in _COMPARISONS:
            self._at += 1
            return _COMPARISONS[token.text](name, self._value())
        if self._accept_word("NOT"):
            self._need_word("IN")
            return Not(OneOf(name, self._values()))
        if self._accept_word("IN"):
            return OneOf(name, self._values())
        if self._accept_word("BETWEEN"):
            low = self._value()
            self._need_word("AND")
            return Range(name, gte=low, lte=self._value())
        return self._textual(name)

    def _textual(self, name: str) -> Filter:  # noqa: PLR0911 - one per operator
        if self._accept_word("CONTAINS"):
            if self._accept_word("ANY"):
                return OneOf(name, self._values())
            if self._accept_word("ALL"):
                return ContainsAll(name, self._values())
            return Equals(name, self._value())
        if self._accept_word("PREFIX"):
            return Prefix(name, self._text())
        if self._accept_word("STARTS"):
            self._need_word("WITH")
            return Prefix(name, self._text())
        if self._accept_word("EXISTS"):
            return Exists(name)
        if self._accept_word("IS"):
            is_negated = self._accept_word("NOT")
            self._need_word("NULL")
            return Exists(name) if is_negated else Not(Exists(name))
        raise self._expected("a comparison: =, !=, <, <=, >, >=, IN, CONTAINS, STARTS WITH, EXISTS")

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _name(self) -> str:
        token = self._next
        is_word = token.kind is Kind.WORD and token.text.upper() not in RESERVED
        if not is_word and token.kind is not Kind.FIELD:
            raise self._expected("the name of a field")
        self._at += 1
        return token.text

    def _value(self) -> Value:
        token = self._next
        if token.kind is not Kind.VALUE or token.value is None:
            raise self._expected('a value: "text" in quotes, a number, a date, true or false')
        self._at += 1
        return token.value

    def _text(self) -> str:
        token = self._next
        value = self._value()
        if not isinstance(value, str):
            raise error_at(self._field, token.position, "expected a text in quotes")
        return value

    def _values(self) -> tuple[Value, ...]:
        closing = "]" if self._accept_symbol("[") else ")"
        if closing == ")":
            self._need_symbol("(")
        values = [self._value()]
        while self._accept_symbol(","):
            values.append(self._value())
        self._need_symbol(closing)
        return tuple(values)

    def _accept_word(self, word: str) -> bool:
        token = self._next
        is_it = token.kind is Kind.WORD and token.text.upper() == word
        self._at += is_it
        return is_it

    def _accept_symbol(self, symbol: str) -> bool:
        token = self._next
        is_it = token.kind is Kind.SYMBOL and token.text == symbol
        self._at += is_it
        return is_it

    def _need_word(self, word: str) -> None:
        if not self._accept_word(word):
            raise self._expected(word)

    def _need_symbol(self, symbol: str) -> None:
        if not self._accept_symbol(symbol):
            raise self._expected(f"{symbol!r}")

    def _expected(self, what: str) -> Exception:
        token = self._next
        found = "the text ends" if token.kind is Kind.END else f"found {token.text[:40]!r}"
        return error_at(self._field, token.position, f"expected {what}, {found}")


_COMPARISONS = {
    "=": Equals,
    "==": Equals,
    "!=": lambda name, value: Not(Equals(name, value)),
    "<>": lambda name, value: Not(Equals(name, value)),
    "<": lambda name, value: Range(name, lt=value),
    "<=": lambda name, value: Range(name, lte=value),
    ">": lambda name, value: Range(name, gt=value),
    ">=": lambda name, value: Range(name, gte=value),
}
