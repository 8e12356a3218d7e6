"""Cuts a parsed document into chunks that are found, embedded and cited.

A chunk never crosses a heading unless the sections around it are tiny, keeps lists, tables and code
together where they fit, and ends where a reader would pause. Where to cut is decided by the words
around a place and by the former version's cuts: editing one paragraph leaves the chunks of the
others as they were. (The idea is content-defined chunking as file stores use it: of all places
within reach, the one whose following words hash lowest wins.)
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.ingestion.anchoring import (
    Former,
    KeptSpan,
    PieceSizes,
    kept_spans,
    pieces_between,
)
from services.ingestion.atoms import Atom, atoms_of, weigh
from services.ingestion.parsers.parsed import Block, ParsedDocument

_ANCHORED_SLACK_WORDS = 12
"""A chunk that grows by an edit may be so much longer, rather than change its neighbour too."""


@dataclass(frozen=True, slots=True)
class ChunkerSettings:
    """Sizes in words; characters of scripts without spaces count as parts of a word.

    The defaults give chunks of 110–180 words with their overlap, which stay below 256 word pieces
    with most models and found more than shorter and longer ones (see the benchmarks).
    """

    min_words: int = 80
    """Distance of two cuts at least, except at the ends of a section."""
    max_words: int = 148
    """New words of a chunk at most."""
    overlap_words: int = 32
    """Words repeated from the chunk before."""
    tiny_words: int = 40
    """Sections below this are joined with their neighbours."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the text: `text[start:end]` of its document."""

    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int = 0
    body_start: int = 0
    """Where its new words begin, behind the overlap."""


@dataclass(frozen=True, slots=True)
class _Section:
    """Blocks under the same headings."""

    heading_path: tuple[str, ...]
    blocks: tuple[Block, ...]
    start: int
    """Where it begins, with its heading."""
    words: float


def chunk_document(
    parsed: ParsedDocument,
    settings: ChunkerSettings = ChunkerSettings(),
    former: Former | None = None,
) -> list[Chunk]:
    """Returns the chunks of a document, in order.

    Args:
        parsed: The document.
        settings: Sizes.
        former: Chunks of its former version, which are kept where the text is the same.
    """
    chunks: list[Chunk] = []
    for section in _join_tiny(parsed.text, list(_sections(parsed)), settings, former):
        chunks.extend(_cut_section(parsed.text, section, settings, former))
    return chunks


def chunk_ids(text: str, chunks: Sequence[Chunk]) -> list[str]:
    """Returns stable ids: equal text under equal headings keeps its id wherever it moves."""
    seen: Counter[str] = Counter()
    ids = []
    for chunk in chunks:
        parts = (*chunk.heading_path, text[chunk.start : chunk.end])
        digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()
        seen[digest] += 1
        ids.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return ids


def embedding_text(title: str, chunk: Chunk, text: str, *, max_prefix_characters: int) -> str:
    """Returns what is embedded for a chunk: title and headings, then its text.

    Args:
        title: Title of the document.
        chunk: The chunk.
        text: Text of the document.
        max_prefix_characters: Longest title-and-headings line; outer headings go first.
    """
    names = [name for name in (title, *chunk.heading_path) if name]
    names = [name for index, name in enumerate(names) if name not in names[:index]]
    while len(names) > 1 and len(" > ".join(names)) > max_prefix_characters:
        names.pop(1 if len(names) > 2 else 0)
    prefix = " > ".join(names)[:max_prefix_characters]
    body = text[chunk.start : chunk.end]
    return f"{prefix}\n{body}" if prefix else body


def split_chunk(text: str, chunk: Chunk) -> list[Chunk]:
    """Returns a chunk as two: first it loses its overlap, then it is cut at its middle."""
    body_start = max(chunk.start, chunk.body_start)
    if chunk.start < body_start < chunk.end:
        return [Chunk(body_start, chunk.end, chunk.heading_path, chunk.page, body_start)]
    if chunk.end - chunk.start < 2:
        return [chunk]
    middle = (chunk.start + chunk.end) // 2
    reach = (chunk.end - chunk.start) // 4
    cut = _pause_near(text, middle, reach)
    parts = ((chunk.start, cut), (cut, chunk.end))
    trimmed = [_trim(text, start, end) for start, end in parts]
    return [
        Chunk(start, end, chunk.heading_path, chunk.page, start)
        for start, end in trimmed
        if start < end
    ]


def _pause_near(text: str, middle: int, reach: int) -> int:
    """Returns the place nearest to the middle where a line or word begins, if one is in reach."""
    for mark in ("\n", " "):
        after = text.find(mark, middle, middle + reach)
        before = text.rfind(mark, middle - reach, middle)
        found = [place for place in (after, before) if place >= 0]
        if found:
            return min(found, key=lambda place: abs(place - middle)) + 1
    return middle


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    return end - len(inside.lstrip()), start + len(inside.rstrip())


def _sections(parsed: ParsedDocument) -> Iterator[_Section]:
    """Yields the sections that have a body; in a document of headings only, those are the body."""
    blocks = parsed.blocks
    if all(block.kind == "heading" for block in blocks):
        yield _Section((), blocks, blocks[0].start if blocks else 0, _words(parsed.text, blocks))
        return
    start = -1
    run: list[Block] = []
    for block in blocks:
        if run and (block.kind == "heading" or block.heading_path != run[0].heading_path):
            yield _Section(run[0].heading_path, tuple(run), start, _words(parsed.text, run))
            run, start = [], -1
        if start < 0:
            start = block.start
        if block.kind != "heading":
            run.append(block)
    if run:
        yield _Section(run[0].heading_path, tuple(run), start, _words(parsed.text, run))


def _words(text: str, blocks: Sequence[Block]) -> float:
    return sum(weigh(text[block.start : block.end]) for block in blocks)


def _join_tiny(
    text: str,
    sections: Sequence[_Section],
    settings: ChunkerSettings,
    former: Former | None,
) -> Iterator[_Section]:
    """Joins runs of tiny neighbouring sections into one, under the headings they share.

    Runs that were joined in the former version and are the same stay joined.
    """
    run: list[_Section] = []
    skip = 0
    for number, section in enumerate(sections):
        if skip:
            skip -= 1
            continue
        if former is not None and section.words < settings.tiny_words:
            before = _joined_before(text, sections, number, settings, former)
            if before is not None:
                if run:
                    yield _joined(run)
                    run = []
                yield _joined(before)
                skip = len(before) - 1
                continue
        if run and (
            section.words >= settings.tiny_words
            or not _are_related(run[0], section)
            or sum(part.words for part in run) + section.words > settings.max_words
        ):
            yield _joined(run)
            run = []
        if section.words >= settings.tiny_words:
            yield section
        else:
            run.append(section)
    if run:
        yield _joined(run)


def _joined_before(
    text: str,
    sections: Sequence[_Section],
    first: int,
    settings: ChunkerSettings,
    former: Former,
) -> Sequence[_Section] | None:
    """Returns the run of tiny sections from `first` on that was one chunk before."""
    words = 0.0
    longest = None
    for last in range(first, len(sections)):
        words += sections[last].words
        if sections[last].words >= settings.tiny_words or words > settings.max_words:
            break
        if last > first and not _are_related(sections[first], sections[last]):
            break
        run = sections[first : last + 1]
        whole = _joined(run)
        start = whole.blocks[0].start
        if former.covers(text, start, whole.blocks[-1].end, whole.heading_path):
            longest = run
    return longest


def _are_related(one: _Section, other: _Section) -> bool:
    """Whether two sections share a parent, or one is the other's parent."""
    shared = len(_common(one.heading_path, other.heading_path))
    return shared >= min(len(one.heading_path), len(other.heading_path)) - 1


def _joined(run: Sequence[_Section]) -> _Section:
    if len(run) == 1:
        return run[0]
    path = run[0].heading_path
    for section in run[1:]:
        path = _common(path, section.heading_path)
    # From its own heading on, where that is not said by the path any more.
    start = run[0].start if path != run[0].heading_path else run[0].blocks[0].start
    first = run[0].blocks[0]
    whole = Block("paragraph", start, run[-1].blocks[-1].end, path, first.page)
    return _Section(path, (whole,), start, sum(section.words for section in run))


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return one[:shared]


def _cut_section(
    text: str, section: _Section, settings: ChunkerSettings, former: Former | None
) -> Iterator[Chunk]:
    atoms = [atom for block in section.blocks for atom in atoms_of(text, block)]
    if not atoms:
        return
    most = settings.max_words + _ANCHORED_SLACK_WORDS
    path = section.heading_path
    spans = kept_spans(text, atoms, path, former, most) if former is not None else []
    kept = {(span.first, span.last): span.chunks for span in spans}
    cuts = [0, *_cuts_around(text, atoms, spans, settings, former), len(atoms)]
    for first, last in itertools.pairwise(cuts):
        start = _overlap_start(text, atoms, first, settings) if first else atoms[first].start
        page = atoms[first].page
        if (first, last) not in kept:
            yield Chunk(start, atoms[last - 1].end, path, page, atoms[first].start)
        for each in kept.get((first, last), ()):
            before = each.start
            if before < 0:
                # Of a span's other chunks what they repeat is in the span.
                before = start if each.body_start == atoms[first].start else each.body_start
            yield Chunk(before, each.end, path, page, each.body_start)


def _cuts_around(
    text: str,
    atoms: Sequence[Atom],
    spans: Sequence[KeptSpan],
    settings: ChunkerSettings,
    former: Former | None,
) -> list[int]:
    """Returns the atoms before which to cut: as before where the text is, anew elsewhere."""
    if former is None or not spans:
        return _cuts(atoms, settings)
    most = settings.max_words + _ANCHORED_SLACK_WORDS
    sizes = PieceSizes(settings.min_words / 2, most)
    cuts: list[int] = []
    for first, last, is_long in pieces_between(text, atoms, spans, former, sizes):
        if first:
            cuts.append(first)
        if is_long:
            cuts.extend(first + place for place in _cuts(atoms[first:last], settings))
    return cuts


def _cuts(atoms: Sequence[Atom], settings: ChunkerSettings) -> list[int]:
    """Returns the atoms before which to cut."""
    before = [0.0]
    for atom in atoms:
        before.append(before[-1] + atom.words)
    if before[-1] <= settings.max_words:
        return []
    anchors = _lowest_in_reach(atoms, before, settings.min_words)
    anchors = [
        place
        for place in anchors
        if before[place] >= settings.min_words / 2
        and before[-1] - before[place] >= settings.min_words / 2
    ]
    cuts: list[int] = []
    for first, last in zip([0, *anchors], [*anchors, len(atoms)], strict=True):
        cuts.extend(_cut_long(atoms, before, first, last, settings))
        if last < len(atoms):
            cuts.append(last)
    return cuts


def _lowest_in_reach(atoms: Sequence[Atom], before: Sequence[float], reach: float) -> list[int]:
    """Returns the places that no other place within `reach` words beats."""
    winners = []
    left = right = 1
    window: list[int] = []  # places in reach whose keys rise
    head = 0
    for place in range(1, len(atoms)):
        while right < len(atoms) and before[right] - before[place] <= reach:
            while len(window) > head and atoms[window[-1]].key > atoms[right].key:
                window.pop()
            window.append(right)
            right += 1
        while before[place] - before[left] > reach:
            left += 1
        while window[head] < left:
            head += 1
        if window[head] == place:
            winners.append(place)
    return winners


def _cut_long(
    atoms: Sequence[Atom],
    before: Sequence[float],
    first: int,
    last: int,
    settings: ChunkerSettings,
) -> Iterator[int]:
    """Yields cuts that leave no more than `max_words` between two."""
    while before[last] - before[first] > settings.max_words:
        rest = before[last] - before[first]
        # Two halves rather than a full piece and a crumb.
        low = min(settings.min_words, rest / 3)
        high = min(settings.max_words, rest - low)
        begin = max(first + 1, bisect.bisect_left(before, before[first] + low))
        end = min(last, bisect.bisect_right(before, before[first] + high))
        if begin < end:
            first = min(range(begin, end), key=lambda place: atoms[place].key)
        else:
            # One atom is longer than a chunk may be: it stands alone.
            first = max(first + 1, end - 1)
        if first >= last:
            return
        yield first


def _overlap_start(text: str, atoms: Sequence[Atom], first: int, settings: ChunkerSettings) -> int:
    """Returns where a chunk begins so that it repeats the last words of the one before."""
    wanted = settings.overlap_words
    words = 0.0
    place = first
    while place > 0 and words + atoms[place - 1].words <= wanted * 1.5:
        place -= 1
        words += atoms[place].words
        if words >= wanted:
            break
    if words >= wanted / 2 or place == 0:
        return atoms[place].start
    # The sentence before is long: begin within it, at a word.
    atom = atoms[place - 1]
    share = (wanted - words) / atom.words
    target = atom.end - int((atom.end - atom.start) * min(1.0, share))
    space = text.find(" ", target, atom.end)
    return space + 1 if space >= 0 else target
