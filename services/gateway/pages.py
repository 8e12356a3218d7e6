"""Pages of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from services.gateway.texts import check_range

T = TypeVar("T")

MAX_PAGE_SIZE = 1_000
_DEFAULT_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Entries of a list and the token of the next page."""

    entries: tuple[T, ...]
    next_page_token: str


def page_size_of(wanted: int) -> int:
    """Returns how many entries a page has; 0 means the default.

    Raises:
        InvalidArgumentError: more are wanted than a page may have.
    """
    return check_range("page_size", wanted, 0, MAX_PAGE_SIZE) or _DEFAULT_PAGE_SIZE
