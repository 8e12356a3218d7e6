"""Markers of an answer, resolved while it is written: each names a verbatim span, or it goes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from services.gateway.answer import Citation
from services.gateway.pipeline.links import LinkGuard
from services.gateway.pipeline.sentence_gate import SentenceGate
from services.gateway.pipeline.support import MIN_SUPPORT, best_span, support
from services.gateway.pipeline.words import sentence_spans, without_list_marks
from services.gateway.requests import Verification

if TYPE_CHECKING:
    from services.gateway.passages import ScoredPassage
    from services.gateway.pipeline.ports import Quote

_MARKER = re.compile(r"\[\s*(\d{1,3}(?:\s*,\s*\d{1,3})*)\s*\]")
_MARKER_BEGIN = re.compile(r"\[[\d\s,]{0,30}\Z")
_TRAILING_SPACE = re.compile(r"\s+\Z")
_MOVED_MARKERS = re.compile(r"([.!?…。！？।॥؟۔])\s*((?:\[\d+\]\s*)+)")
_LOOKBACK_CHARACTERS = 2_000

Judge = Callable[[str, str], float]
"""How well the second text carries the first, 0..1."""


class Claim(NamedTuple):
    """A sentence of an answer, and what it rests on."""

    sentence: str
    """Without markers."""
    source: str
    """The text it cites; empty: it cites nothing."""
    start: int
    """First character in the answer."""
    end: int
    """Character after the last one, behind the sentence's markers."""


class CitationWriter:
    """Copies an answer and resolves its markers.

    Markers count from 1 in order of first use; one marker stands for one span, so the same passage
    may have several.

    Args:
        passages: What the engine was given; its markers count them from 1.
        verification: Whether unsupported markers stay, and the sentences that they stood behind.
        query: What was asked, for markers that stand before any sentence.
        quotes: Spans of an engine that copies; then only its markers count.
        judge: Says how well a passage carries a sentence; by words where nothing else is given.
        allowed: Further texts whose addresses may stand in the answer.
    """

    def __init__(
        self,
        passages: Sequence[ScoredPassage],
        verification: Verification,
        query: str = "",
        quotes: Sequence[Quote] = (),
        judge: Judge = support,
        allowed: Sequence[str] = (),
    ) -> None:
        self._judge = judge
        uris = [each.passage.uri for each in passages]
        given = (query, *allowed, *(each.passage.text for each in passages), *uris)
        self._links = LinkGuard(given, uris)
        # What an engine copies is judged by its spans.
        self._gate = (
            SentenceGate(
                [each.passage.text for each in passages],
                (*given, *(each.passage.title for each in passages)),
            )
            if verification is Verification.DROP and not quotes
            else None
        )
        self._passages = passages
        self._verification = verification
        self._query = query
        self._quotes: dict[int, list[Quote]] = {}
        for quote in quotes:
            self._quotes.setdefault(quote.marker, []).append(quote)
        self._pending = ""
        self._space = ""
        """White space before markers that were removed, for one that follows them at once."""
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._written = ""
        """What was taken over so far, its markers resolved."""
        self.text = ""
        """The answer so far: what was written, less what is held back or left out."""
        self.citations: list[Citation] = []
        self.removed: dict[str, int] = {}
        """Markers that were removed, by reason."""

    def feed(self, text: str) -> str:
        """Takes more of the engine's text; returns what can be shown of it already."""
        self._pending += self._links.feed(text)
        self._drain(is_last=False)
        return self._settle(is_last=False)

    def finish(self) -> str:
        """Returns what was held back."""
        self._pending += self._links.finish()
        self._drain(is_last=True)
        return self._settle(is_last=True)

    @property
    def has_begun(self) -> bool:
        """Whether anything was written, be it held back or left out."""
        return bool(self._written or self._pending)

    @property
    def sentences_removed(self) -> int:
        """Sentences that were left out of the answer."""
        return self._gate.removed if self._gate else 0

    @property
    def links_removed(self) -> int:
        """Images, links, tags and addresses that were left out of the answer."""
        return self._links.removed

    def quote_whole(self, text: str) -> None:
        """Takes a passage as the answer: its own brackets are no markers, only the last one is."""
        self._written = self._links.feed(text) + self._links.finish()
        self.feed(" [1]")
        self.finish()

    def claims_in(self, text: str, *, is_last: bool = False) -> list[tuple[str, str]]:
        """Returns what `feed(text)` would have judged: sentences with the passages they cite.

        Args:
            text: What comes next.
            is_last: Whether `finish` follows.
        """
        if "]" not in text and not self._links.holds("]"):
            return []
        claims: list[tuple[str, str]] = []

        def note(sentence: str, source: str) -> float:
            claims.append((sentence, source))
            return 1.0

        probe = copy.copy(self)
        vars(probe).update(
            _judge=note,
            _links=copy.copy(self._links),
            _gate=self._gate.copy() if self._gate else None,
            _numbers=dict(self._numbers),
            citations=list(self.citations),
            removed=dict(self.removed),
        )
        probe.feed(text)
        if is_last:
            probe.finish()
        return claims

    def sentence_claims(self) -> list[Claim]:
        """Returns each sentence of the answer with the text it cites."""
        text, moves = _with_moved_markers(self.text)
        source = {citation.marker: citation.text for citation in self.citations}
        claims: list[Claim] = []
        cited: list[str] = []
        # Backwards: a sentence without a marker may rest on the next one's ("A. B. [1]").
        for start, end in reversed(sentence_spans(text)):
            sentence = text[start:end]
            own = [source[n] for n in map(int, re.findall(r"\[(\d+)\]", sentence)) if n in source]
            cited = own or cited
            bare = without_list_marks(re.sub(r"\s*\[\d+\]", "", sentence))
            bare = " ".join(bare.split())
            if any(character.isalnum() for character in bare):
                place = (_place_before(start, moves), _place_before(end, moves))
                claims.append(Claim(bare, " ".join(cited), *place))
        return claims[::-1]

    def _settle(self, *, is_last: bool) -> str:
        """Returns what can be shown of what was written."""
        if self._gate is None:
            shown = self._written[len(self.text) :]
        else:
            shown = self._gate.settle(
                self._written, self._judge, is_last=is_last, is_first=not self.text
            )
        self.text += shown
        return shown

    def _drain(self, *, is_last: bool) -> None:
        while self._pending:
            opening = self._pending.find("[")
            if opening < 0:
                self._copy(self._pending, keep_space=is_last)
                break
            match = _MARKER.match(self._pending, opening)
            if match is None:
                if not is_last and _MARKER_BEGIN.match(self._pending, opening):
                    self._copy(self._pending[:opening], rest=self._pending[opening:])
                    break
                self._copy(
                    self._pending[: opening + 1], rest=self._pending[opening + 1 :], keep_space=True
                )
                continue
            self._written += self._pending[:opening].rstrip()
            space = self._pending[len(self._pending[:opening].rstrip()) : opening]
            self._pending = self._pending[match.end() :]
            marks = "".join(self._resolve(int(number)) for number in match.group(1).split(","))
            if marks:
                self._written += (space or self._space) + marks
                self._space = ""
            elif self._pending.startswith("["):
                self._space = self._space or space
            elif _MARKER_BEGIN.search(self._written):
                # What stands around the removed marker must not close into another: "[12 [9]]".
                self._written += " "

    def _copy(self, text: str, *, rest: str = "", keep_space: bool = False) -> None:
        """Moves text over, holding white space at its end back: a removed marker takes it along."""
        space = "" if keep_space else "".join(_TRAILING_SPACE.findall(text))
        self._written += text[: len(text) - len(space)]
        if text:
            self._space = ""
        self._pending = space + rest

    def _resolve(self, number: int) -> str:
        """Returns the marker or markers that stand for the engine's marker; empty when it goes."""
        if self._quotes:
            return "".join(
                self._quote(quote) for quote in self._quotes.get(number, ())
            ) or self._drop("unknown" if number not in self._quotes else None)
        if not 1 <= number <= len(self._passages):
            return self._drop("unknown")
        sentence = self._sentence()
        source = self._passages[number - 1].passage.text
        carried = self._judge(sentence or self._query, source)
        if sentence and carried < MIN_SUPPORT and self._verification is Verification.DROP:
            return self._drop("unsupported")
        start, end = best_span(sentence or self._query, source)
        return self._cite(number - 1, start, end, carried)

    def _quote(self, quote: Quote) -> str:
        if not 0 <= quote.passage_index < len(self._passages):
            return self._drop("unknown")
        length = len(self._passages[quote.passage_index].passage.text)
        if not 0 <= quote.start < quote.end <= length:
            return self._drop("invalid_span")
        return self._cite(quote.passage_index, quote.start, quote.end, quote.support)

    def _cite(self, index: int, start: int, end: int, carried: float) -> str:
        passage = self._passages[index].passage
        if passage.end - passage.start != len(passage.text) or start >= end:
            return self._drop("invalid_span")
        key = (index, start, end)
        marker = self._numbers.get(key)
        if marker is None:
            marker = self._numbers[key] = len(self._numbers) + 1
            self.citations.append(
                Citation(
                    marker=marker,
                    document_id=passage.document_id,
                    document_version=passage.document_version,
                    chunk_id=passage.chunk_id,
                    start=passage.start + start,
                    end=passage.start + end,
                    text=passage.text[start:end],
                    uri=passage.uri,
                    title=passage.title,
                    support=round(min(1.0, max(0.0, carried)), 4),
                )
            )
        return f"[{marker}]"

    def _drop(self, reason: str | None) -> str:
        if reason:
            self.removed[reason] = self.removed.get(reason, 0) + 1
            if self._gate:
                self._gate.lose_marker(len(self._written))
        return ""

    def _sentence(self) -> str:
        """Returns the sentence that a marker at the end of the text belongs to, without markers."""
        tail = re.sub(r"\s*\[\d+\]", "", self._written[-_LOOKBACK_CHARACTERS:])
        spans = sentence_spans(tail)
        return without_list_marks(tail[spans[-1][0] : spans[-1][1]]) if spans else ""


class _Move(NamedTuple):
    """Where markers and the full stop before them changed places."""

    start: int
    end: int
    """In the text with moved markers."""
    former_end: int
    """In the text as it was, white space behind left out."""
    shift: int
    """From places behind it to those they had."""


def _with_moved_markers(text: str) -> tuple[str, list[_Move]]:
    """Returns the text with markers before full stops: there they belong to their sentence."""
    parts: list[str] = []
    moves: list[_Move] = []
    size = last = 0
    for match in _MOVED_MARKERS.finditer(text):
        piece = f"{match.group(2).strip()}{match.group(1)} "
        start = size + match.start() - last
        parts += text[last : match.start()], piece
        size, last = start + len(piece), match.end()
        moves.append(_Move(start, size, match.start() + len(match.group().rstrip()), last - size))
    return "".join((*parts, text[last:])), moves


def _place_before(place: int, moves: Sequence[_Move]) -> int:
    """Returns where a place of the text with moved markers was; inside of a move: at its end."""
    shift = 0
    for move in moves:
        if move.start < place < move.end:
            return move.former_end
        if move.end <= place:
            shift = move.shift
    return place + shift
