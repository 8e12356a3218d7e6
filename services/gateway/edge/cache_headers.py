"""Response headers that tell where an answer came from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.gateway.answer import Answer
from services.gateway.caches.policy import HEADER, CachePolicy, current_policy

if TYPE_CHECKING:
    from services.gateway.answer import SearchResult

SIMILARITY_HEADER = "x-cairn-cache-similarity"


def cache_headers(found: Answer | SearchResult) -> dict[str, str]:
    """Returns the headers of a response: "hit", "semantic", "miss" or "off", and how old it is."""
    if not found.cached:
        is_off = current_policy() is CachePolicy.OFF
        return {HEADER: "off" if is_off else "miss"}
    headers = {
        HEADER: "semantic" if found.cached == "semantic" else "hit",
        "age": str(math.floor(found.cached_age_seconds)),
    }
    if isinstance(found, Answer) and found.cached == "semantic":
        headers[SIMILARITY_HEADER] = f"{found.cached_similarity:.4f}"
    return headers
