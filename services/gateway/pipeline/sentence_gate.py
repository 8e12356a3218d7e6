"""Sentences of an answer that nothing carries stay out of it, however its text comes in pieces.

An engine that cites what does not carry its sentence, or a place that does not exist, has invented
something; taking the marker away alone would leave the invention looking like the rest. The same
goes for a number that nobody gave, cited or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from services.gateway.pipeline.support import MIN_SUPPORT
from services.gateway.pipeline.words import (
    known_numbers,
    numbers,
    sentence_spans,
    without_list_marks,
)

MARKERS = re.compile(r"\s*\[\d{1,3}\]")
MAX_HELD_CHARACTERS = 600
"""Text without a sentence's end is held back no longer than this."""

Judge = Callable[[str, str], float]


class SentenceGate:
    """Lets through the sentences that something carries, each as soon as it is complete.

    Args:
        sources: Texts that may carry a sentence.
        given: Texts whose numbers may stand in the answer, the sources included.
    """

    def __init__(self, sources: Sequence[str], given: Iterable[str]) -> None:
        self._sources = sources
        self._given = tuple(given)
        self._numbers: set[str] | None = None
        self._settled = 0
        """Characters of the text that were decided on."""
        self._lost: list[int] = []
        """Where markers were removed that are not decided on yet."""
        self.removed = 0
        """Sentences that were left out."""

    def copy(self) -> SentenceGate:
        """Returns one in the same state, for trying out."""
        twin = SentenceGate(self._sources, self._given)
        twin._numbers, twin._settled, twin._lost = self._numbers, self._settled, [*self._lost]
        return twin

    def lose_marker(self, place: int) -> None:
        """Takes note that a marker was removed at that place of the text."""
        self._lost.append(place)

    def settle(self, text: str, judge: Judge, *, is_last: bool, is_first: bool) -> str:
        """Returns what may be shown of the text behind what was decided before.

        Args:
            text: All that was written, its markers resolved; only grows from call to call.
            judge: Says how well the second text carries the first, 0..1.
            is_last: Whether nothing follows; else the last sentence may still go on.
            is_first: Whether nothing was let through yet.
        """
        units = self._units(text)
        if not is_last and units and len(text) - self._settled <= MAX_HELD_CHARACTERS:
            units.pop()
        shown = ""

        def show(piece: str) -> str:
            """Returns a piece; the white space behind what was left out goes at the beginning."""
            return piece.lstrip() if is_first and self.removed and not shown else piece

        for start, end in units:
            if self._may_stay(text, start, end, judge):
                shown += show(text[start:end])
            else:
                self.removed += 1
            self._settled = end
        if is_last:
            shown += show(text[self._settled :])
            self._settled = len(text)
        return shown

    def _units(self, text: str) -> list[tuple[int, int]]:
        """Returns (start, end) of the sentences, each with the markers behind it."""
        rest = text[self._settled :]
        hidden = MARKERS.sub(lambda match: " " * len(match.group()), rest)
        spans = sentence_spans(hidden)
        units: list[tuple[int, int]] = []
        start = 0
        for place, (_, bare_end) in enumerate(spans):
            limit = spans[place + 1][0] if place + 1 < len(spans) else len(rest)
            behind = [match.end() for match in MARKERS.finditer(rest, bare_end, limit)]
            end = behind[-1] if behind else bare_end
            units.append((self._settled + start, self._settled + end))
            start = end
        return units

    def _may_stay(self, text: str, start: int, end: int, judge: Judge) -> bool:
        lost = [place for place in self._lost if place <= end]
        self._lost = [place for place in self._lost if place > end]
        bare = " ".join(without_list_marks(MARKERS.sub("", text[start:end])).split())
        if not any(map(str.isalnum, bare)) or MARKERS.search(text, start, end):
            return True
        if lost:
            return any(judge(bare, source) >= MIN_SUPPORT for source in self._sources)
        if self._numbers is None:
            self._numbers = {number for each in self._given for number in known_numbers(each)}
        return numbers(bare) <= self._numbers
