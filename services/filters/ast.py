"""The filter tree.

A comparison with an absent or null field is false; `Not` of it is therefore true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from services.rpc.errors import FieldViolation, InvalidArgumentError, Reason

if TYPE_CHECKING:
    from services.filters.values import Value

MAX_DEPTH = 16
"""Operands inside operands at most."""
MAX_CONDITIONS = 512
"""Conditions in one filter at most."""
MAX_VALUES = 10_000
"""Values compared with, over the whole filter, at most."""


@dataclass(frozen=True, slots=True)
class And:
    """Every operand holds; none: true."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds; none: false."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The operand does not hold."""

    operand: Filter


@dataclass(frozen=True, slots=True)
class Equals:
    """The field equals the value; for TAGS: the set contains it."""

    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field equals one of the values; for TAGS: the set contains one of them."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field lies between bounds; at least one is set."""

    field: str
    gte: Value | None = None
    gt: Value | None = None
    lte: Value | None = None
    lt: Value | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is present and not null."""

    field: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The KEYWORD field starts with the text."""

    field: str
    prefix: str


@dataclass(frozen=True, slots=True)
class ContainsAll:
    """The TAGS field contains every value."""

    field: str
    values: tuple[Value, ...]


Filter: TypeAlias = And | Or | Not | Equals | OneOf | Range | Exists | Prefix | ContainsAll
"""Any condition."""


def invalid_filter(message: str, field: str = "filter", **metadata: str) -> InvalidArgumentError:
    """Returns the error for a filter that cannot be served.

    Args:
        message: What is wrong and how to mend it.
        field: Path of the filter in the request.
        **metadata: Facts for programs.
    """
    return InvalidArgumentError(
        Reason.INVALID_FILTER,
        f"{field}: {message}",
        metadata=metadata,
        violations=[FieldViolation(field, message)],
    )


def check_limits(root: Filter, field: str = "filter") -> None:
    """Refuses filters that are too deep or too large.

    Raises:
        InvalidArgumentError: a limit is passed.
    """
    values = 0
    for conditions, (node, depth) in enumerate(_walk(root), 1):
        if isinstance(node, OneOf | ContainsAll):
            values += len(node.values)
        if depth > MAX_DEPTH:
            raise too_deep(field)
        if conditions > MAX_CONDITIONS:
            raise invalid_filter(
                f"has more than {MAX_CONDITIONS} conditions", field, limit=str(MAX_CONDITIONS)
            )
        if values > MAX_VALUES:
            raise invalid_filter(
                f"compares with more than {MAX_VALUES} values", field, limit=str(MAX_VALUES)
            )


def too_deep(field: str) -> InvalidArgumentError:
    """Returns the error for a filter nested too deep."""
    return invalid_filter(f"is nested deeper than {MAX_DEPTH} levels", field, limit=str(MAX_DEPTH))


def _walk(root: Filter) -> Iterator[tuple[Filter, int]]:
    stack = [(root, 1)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        if isinstance(node, And | Or):
            stack.extend((operand, depth + 1) for operand in node.operands)
        elif isinstance(node, Not):
            stack.append((node.operand, depth + 1))
