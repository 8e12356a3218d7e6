"""Goes through long texts with regular expressions a window at a time.

One search over ten million characters would hold the interpreter's lock for its whole length, and
with it the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WINDOW = 65_536
_OVERLAP = 512
"""Longer than any match."""


def find_all(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yields the matches of a pattern that matches at most 512 characters."""
    start = end_of_last = 0
    while start < len(text):
        window_end = start + _WINDOW
        for match in pattern.finditer(text, max(start, end_of_last), window_end + _OVERLAP):
            if match.start() >= window_end:
                break
            end_of_last = match.end()
            yield match
        start = window_end
