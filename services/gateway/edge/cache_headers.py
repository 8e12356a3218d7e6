"""Response headers that tell where an answer came from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.gateway.answer import PassagesFound, SearchResult
from services.gateway.caches.policy import HEADER, CachePolicy, current_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.answer import Answer, AnswerEvent

SIMILARITY_HEADER = "x-cairn-cache-similarity"


def cache_headers(found: Answer | PassagesFound | SearchResult) -> dict[str, str]:
    """Returns the headers of a response: "hit", "semantic", "miss" or "off", and how old it is."""
    if not found.cached:
        is_off = current_policy() is CachePolicy.OFF
        return {HEADER: "off" if is_off else "miss"}
    headers = {
        HEADER: "semantic" if found.cached == "semantic" else "hit",
        "age": str(math.floor(found.cached_age_seconds)),
    }
    if not isinstance(found, SearchResult) and found.cached == "semantic":
        headers[SIMILARITY_HEADER] = f"{found.cached_similarity:.4f}"
    return headers


def least_cached(found: Sequence[SearchResult]) -> SearchResult:
    """Returns the result that tells of all: one that was found anew, else the oldest."""
    return min(found, key=lambda each: (bool(each.cached), -each.cached_age_seconds))


def tell_cache(headers: dict[str, str], found: AnswerEvent) -> None:
    """Adds to the headers of a stream what its first event says of caches."""
    if isinstance(found, PassagesFound):
        headers.update(cache_headers(found))
