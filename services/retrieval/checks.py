"""Checks of single values, each with an error that names the field and says what would be right."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Sequence
from typing import TypeVar

from services.rpc.errors import FieldViolation, InvalidArgumentError, Reason

E = TypeVar("E", bound=enum.IntEnum)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def collection_name(name: str, path: str) -> str:
    """Returns the name of a collection or alias.

    Raises:
        InvalidArgumentError: it is no such name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError.for_field(
            path,
            'must be 1 to 64 of a-z, 0-9, "-" and "_", beginning with a letter or digit',
        )
    return name


def text(value: str, path: str, limit: int, *, is_required: bool = False) -> str:
    """Returns a text that can be stored.

    Raises:
        InvalidArgumentError: it is too long, empty though required, or holds NUL characters.
    """
    if is_required and not value:
        raise InvalidArgumentError.for_field(path, "must not be empty")
    size(len(value), limit, path, "characters")
    if "\0" in value:
        raise InvalidArgumentError.for_field(
            path, "holds NUL characters, which cannot be stored", Reason.INVALID_TEXT
        )
    return value


def size(count: int, limit: int, path: str, unit: str) -> None:
    """Refuses what is too large.

    Raises:
        InvalidArgumentError: `count` is over the limit.
    """
    if count > limit:
        description = f"has {count} {unit}, at most {limit} are allowed"
        raise InvalidArgumentError(
            Reason.TOO_LARGE,
            f"{path}: {description}",
            metadata={"limit": str(limit), "size": str(count)},
            violations=[FieldViolation(path, description)],
        )


def number(value: int, path: str, low: int, high: int, default: int) -> int:
    """Returns a number within bounds; 0 stands for the default.

    Raises:
        InvalidArgumentError: it lies outside.
    """
    if value == 0:
        return default
    if not low <= value <= high:
        raise InvalidArgumentError.for_field(path, f"must be {low} to {high}, not {value}")
    return value


def share(value: float, path: str) -> float:
    """Returns a number from 0 to 1.

    Raises:
        InvalidArgumentError: it lies outside, or is NaN.
    """
    if not 0 <= value <= 1:
        raise InvalidArgumentError.for_field(path, f"must be 0 to 1, not {value:g}")
    return value


def finite(value: float, path: str) -> float:
    """Returns a finite number.

    Raises:
        InvalidArgumentError: NaN or an infinity.
    """
    if not math.isfinite(value):
        raise InvalidArgumentError.for_field(path, "must be a finite number")
    return value


def choice(kind: type[E], value: int, path: str, default: E) -> E:
    """Returns the member with a number; 0 stands for the default.

    Raises:
        InvalidArgumentError: there is no such member.
    """
    if value == 0:
        return default
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{each.name} ({each.value})" for each in kind if each.value)
        raise InvalidArgumentError.for_field(
            path, f"{value} is not known: use one of {known}"
        ) from None


def unique(values: Sequence[str], path: str, what: str) -> None:
    """Refuses repetitions.

    Raises:
        InvalidArgumentError: a value occurs twice.
    """
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            raise InvalidArgumentError.for_field(
                path.format(index=index), f"the {what} occurs twice"
            )
        seen.add(value)
