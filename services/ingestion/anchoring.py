"""Finds the chunks of a document's former version again in its new text.

Content-defined cuts alone are stable but not perfectly so: one edit in twenty moves a cut beyond
the chunk it is in. Where the former version is known, its cuts are kept wherever the words between
two of them are the same, and only the rest is cut anew: an edit re-embeds what it touches.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.ingestion.atoms import weigh

if TYPE_CHECKING:
    from services.ingestion.atoms import Atom

_KEY_CHARACTERS = 24
_WHITE = re.compile(r"\s*")
_MAX_PIECE_ATOMS = 400
"""Longer changed stretches are new text: they are cut as such."""


class FormerChunk(Protocol):
    """A chunk of the former version."""

    @property
    def start(self) -> int:
        """Where it begins in the former text."""
        ...

    @property
    def end(self) -> int:
        """Where it ends."""
        ...

    @property
    def heading_path(self) -> tuple[str, ...]:
        """Headings above it."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    text: str
    order: int
    overlap: str
    """What the chunk repeats of the one before, up to its own text."""


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """Where a chunk of the former version stands in the new text."""

    start: int
    """With what it repeats of the one before; -1: that has changed."""
    body_start: int
    end: int


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """A run of atoms that was made of whole chunks before.

    Of several where a chunk had too many tokens: it was cut then wherever its middle was, be it
    inside an atom, and is to be cut there again.
    """

    first: int
    last: int
    """The atom behind it."""
    chunks: tuple[KeptChunk, ...]


class Former:
    """The chunks of the former version, to be looked up by their first characters.

    Args:
        text: Text of the former version.
        chunks: Its chunks, in order.
    """

    def __init__(self, text: str, chunks: Iterable[FormerChunk]) -> None:
        self._text = text
        self._bodies: dict[tuple[tuple[str, ...], str], list[_Known]] = defaultdict(list)
        last_end = 0
        for order, chunk in enumerate(chunks):
            body_start = chunk.start
            if chunk.start < last_end < chunk.end:
                # What it repeats of the one before is not its own.
                body_start = _WHITE.match(text, last_end).end()  # type: ignore[union-attr]
            known = _Known(text[body_start : chunk.end], order, text[chunk.start : body_start])
            if len(known.text) >= _KEY_CHARACTERS:
                self._bodies[chunk.heading_path, known.text[:_KEY_CHARACTERS]].append(known)
            last_end = max(last_end, chunk.end)

    def had(self, part: str) -> bool:
        """Whether the former text holds these words."""
        return part in self._text

    def body_at(self, text: str, start: int, path: tuple[str, ...], after: int) -> _Known | None:
        """Returns the chunk, less its overlap, whose words stand in a text at a place.

        Of several, the one that follows the chunk numbered `after`, else the longest.
        """
        found = [
            known
            for known in self._bodies.get((path, text[start : start + _KEY_CHARACTERS]), ())
            if text.startswith(known.text, start)
        ]
        return max(found, key=lambda each: (each.order == after + 1, len(each.text)), default=None)

    def covers(self, text: str, start: int, end: int, path: tuple[str, ...]) -> bool:
        """Whether a part of a text is made of such chunks, one behind the other."""
        order = -1
        while start < end:
            known = self.body_at(text, start, path, order)
            if known is None:
                return False
            start = _WHITE.match(text, start + len(known.text)).end()  # type: ignore[union-attr]
            order = known.order
        return True


def kept_spans(
    text: str, atoms: Sequence[Atom], path: tuple[str, ...], former: Former, most_words: float
) -> list[KeptSpan]:
    """Returns the runs of atoms that were chunks before."""
    places = {atom.end: number for number, atom in enumerate(atoms, start=1)}
    spans: list[KeptSpan] = []
    first, order = 0, -1
    while first < len(atoms):
        known = _chunks_at(text, atoms[first].start, path, former, order, places)
        last = places[known[-1][0].end] if known else 0
        chunks = tuple(chunk for chunk, _ in known)
        if last <= first or _is_too_long(text, atoms[first:last], chunks, most_words):
            first += 1
            continue
        spans.append(KeptSpan(first, last, chunks))
        first, order = last, known[-1][1]
    return spans


def _is_too_long(
    text: str, atoms: Sequence[Atom], chunks: Sequence[KeptChunk], most_words: float
) -> bool:
    """Whether one of the chunks is longer than they are made now; an atom alone may be."""
    if len(chunks) == 1:
        return len(atoms) > 1 and _words(atoms, 0, len(atoms)) > most_words
    return any(weigh(text[each.body_start : each.end]) > most_words for each in chunks)


def _chunks_at(
    text: str,
    start: int,
    path: tuple[str, ...],
    former: Former,
    after: int,
    places: Mapping[int, int],
) -> list[tuple[KeptChunk, int]]:
    """Returns chunks, with their numbers, from a place on up to the first end of an atom."""
    found: list[tuple[KeptChunk, int]] = []
    while (known := former.body_at(text, start, path, after)) is not None:
        begin, end = start - len(known.overlap), start + len(known.text)
        # Where other words stand before it now, those are what it repeats.
        is_same = begin >= 0 and text.startswith(known.overlap, begin)
        found.append((KeptChunk(begin if is_same else -1, start, end), known.order))
        if end in places:
            return found
        start, after = _WHITE.match(text, end).end(), known.order  # type: ignore[union-attr]
    return []


def _words(atoms: Sequence[Atom], first: int, last: int) -> float:
    return sum(atom.words for atom in atoms[first:last])


@dataclass(frozen=True, slots=True)
class PieceSizes:
    """Sizes of what is cut anew between chunks that stay, in words."""

    least: float
    """Less is joined with the chunk behind it, or before it."""
    most: float
    """Somewhat more than a chunk cut from new text has: one chunk rather than two."""


def pieces_between(
    text: str,
    atoms: Sequence[Atom],
    spans: Sequence[KeptSpan],
    former: Former,
    sizes: PieceSizes,
) -> list[tuple[int, int, bool]]:
    """Returns all atoms in runs: those that stay, and the changed ones, cut where they must be.

    Returns:
        First, last + 1, and whether the run is too long and is to be cut as new text is.
    """
    runs: list[tuple[int, int, bool]] = []
    place = 0
    kept = [(span.first, span.last) for span in spans]
    for first, last in (*kept, (len(atoms), len(atoms))):
        if place < first:
            runs += _changed(text, atoms, place, first, former, sizes)
        if first < last:
            runs.append((first, last, False))
        place = last
    return _joined(atoms, runs, set(kept), sizes)


def _changed(
    text: str, atoms: Sequence[Atom], first: int, last: int, former: Former, sizes: PieceSizes
) -> list[tuple[int, int, bool]]:
    words = _words(atoms, first, last)
    if words <= sizes.most:
        return [(first, last, False)]
    if words > 2 * sizes.most or last - first > _MAX_PIECE_ATOMS:
        return [(first, last, True)]
    # Cut where words are new: then both sides hold some of them, and nothing else is touched.
    is_new = [not former.had(text[atom.start : atom.end]) for atom in atoms[first:last]]
    before = 0.0
    places = []
    for place in range(first + 1, last):
        before += atoms[place - 1].words
        if before > sizes.most or words - before > sizes.most:
            continue
        here, there = is_new[place - 1 - first], is_new[place - first]
        if here or there:
            # Inside what is new is best, then where a reader would pause.
            places.append((not (here and there), atoms[place].key, place))
    if not places:
        return [(first, last, True)]
    _, _, cut = min(places)
    return [(first, cut, False), (cut, last, False)]


def _joined(
    atoms: Sequence[Atom],
    runs: list[tuple[int, int, bool]],
    kept: set[tuple[int, int]],
    sizes: PieceSizes,
) -> list[tuple[int, int, bool]]:
    """Joins changed runs that are too small to stand alone with a neighbour they fit to."""
    joined: list[tuple[int, int, bool]] = []
    number = 0
    while number < len(runs):
        first, last, is_long = runs[number]
        words = _words(atoms, first, last)
        if words < sizes.least and (first, last) not in kept:
            if number + 1 < len(runs) and _fits(atoms, first, runs[number + 1], sizes):
                joined.append((first, runs[number + 1][1], False))
                number += 2
                continue
            if joined and not joined[-1][2] and _fits(atoms, joined[-1][0], runs[number], sizes):
                joined[-1] = (joined[-1][0], last, False)
                number += 1
                continue
        joined.append((first, last, is_long))
        number += 1
    return joined


def _fits(atoms: Sequence[Atom], first: int, run: tuple[int, int, bool], sizes: PieceSizes) -> bool:
    return not run[2] and _words(atoms, first, run[1]) <= sizes.most
