"""What text may come in: valid Unicode, no control characters, within a length."""

from __future__ import annotations

import re

from services.rpc.errors import InvalidArgumentError, Reason

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters but tab and line ends, and halves of surrogate pairs."""

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

DEFAULT_COLLECTION = "default"


def check_text(field: str, text: str, *, limit: int, required: bool = False) -> str:
    """Returns `text` when it may pass.

    Args:
        field: Its path in the request, for the error.
        text: What came.
        limit: Characters at most.
        required: Whether white space alone is refused.

    Raises:
        InvalidArgumentError: EMPTY_TEXT, TOO_LARGE or INVALID_TEXT.
    """
    if len(text) > limit:
        raise InvalidArgumentError.for_field(
            field, f"has {len(text)} characters; send at most {limit}", Reason.TOO_LARGE
        )
    if found := _CONTROL.search(text):
        raise InvalidArgumentError.for_field(
            field,
            f"holds the character U+{ord(found.group()):04X} at position {found.start()}; "
            "remove control characters and lone surrogates",
            Reason.INVALID_TEXT,
        )
    if required and not text.strip():
        raise InvalidArgumentError.for_field(field, "must not be empty", Reason.EMPTY_TEXT)
    return text


def check_collection(text: str, field: str = "collection") -> str:
    """Returns the collection or alias that is meant; empty means the default one.

    Raises:
        InvalidArgumentError: not a name.
    """
    if not text:
        return DEFAULT_COLLECTION
    if not _COLLECTION.fullmatch(text):
        raise InvalidArgumentError.for_field(
            field,
            "must be 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit",
        )
    return text


def check_share(field: str, value: float) -> float:
    """Returns `value` when it lies between 0 and 1.

    Raises:
        InvalidArgumentError: it does not, or is no number.
    """
    if not 0 <= value <= 1:  # NaN is not either
        raise InvalidArgumentError.for_field(field, "must be between 0 and 1")
    return value


def check_range(field: str, value: int, low: int, high: int) -> int:
    """Returns `value` when it lies within the bounds, both allowed.

    Raises:
        InvalidArgumentError: it does not.
    """
    if not low <= value <= high:
        raise InvalidArgumentError.for_field(field, f"must be between {low} and {high}")
    return value
