"""From rows found to answers: passages come from memory, or from the store, which proves them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.found_passages import FoundPassages
from services.retrieval.queries import Answer, Group, Passage, SearchOptions
from services.retrieval.store.passages import (
    Wanted,
    fetch,
    fetch_few,
    few_token_codes,
    token_codes,
)
from services.retrieval.store.store import now_micros
from services.retrieval.view import masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.ranking import Ranking
    from services.retrieval.store.store import Store
    from services.retrieval.vectors import Allowed
    from services.retrieval.view.rows import Rows, Snapshot
    from services.retrieval.view.view import Published


_FEW_HERE = 32
"""Passages that are read where the search runs: a thread for them costs more than reading does."""
_QUICK_SECONDS = 0.02
"""What reading so few takes at most where the store's pages are in memory."""
_PATIENCE_SECONDS = 1.0
"""How long threads read after it took longer, while everybody else waited."""


@dataclass(slots=True)
class Ranked:
    """What was found, before its text was read."""

    published: Published
    is_current: bool
    """Whether the view had all that was acknowledged when the search began: that is the truth."""
    rankings: list[Ranking]
    allowed: Allowed


class Completion:
    """Completes what was ranked.

    Args:
        store: The truth.
        passage_bytes: About the bytes of passages kept because they were found lately.
    """

    def __init__(self, store: Store, passage_bytes: int) -> None:
        self._reader = store.reader
        self._direct = store.direct if store.is_sqlite else None
        self._passages = FoundPassages(passage_bytes)
        self._quick_from = 0.0
        """Monotonic seconds from when on the store is taken for quick."""

    def carry_over(self, old: Rows, new: Rows) -> None:
        """Keeps what was found in a view's rows for those that are about to take their place."""
        self._passages.carry_over(old, new)

    def at_once(self, ranked: Ranked, options: SearchOptions) -> list[Answer] | None:
        """Answers from memory and, where few are missing, from a store that is quick.

        None when `complete` is to be asked, in a thread.

        Args:
            ranked: What was found.
            options: What of it is wanted.
        """
        if not ranked.is_current or options.token_codes_top_k:
            return None
        snapshot, with_metadata = ranked.published.snapshot, options.include_metadata
        known = self._passages.of(snapshot.rows, with_metadata=with_metadata)
        wanted = [ranking.hits.rows.tolist() for ranking in ranked.rankings]
        missing = list({row: None for rows in wanted for row in rows if row not in known})
        if missing and not self._bring(ranked.published, missing, with_metadata=with_metadata):
            return None
        known = self._passages.of(snapshot.rows, with_metadata=with_metadata)
        try:
            found = [[known[row] for row in rows] for rows in wanted]
        except KeyError:
            return None  # one has just left
        return [
            _assemble(ranked, ranking, passages, options)
            for ranking, passages in zip(ranked.rankings, found, strict=True)
        ]

    def _bring(self, published: Published, rows: list[int], *, with_metadata: bool) -> bool:
        """Brings passages into memory; returns whether all of them could be brought at once."""
        snapshot = published.snapshot
        if snapshot.rows.recent.nbytes:
            recent = self._recent(snapshot, rows, with_metadata=with_metadata)
            rows = [row for row in rows if row not in recent]
        if not rows:
            return True
        began = time.monotonic()
        if self._direct is None or len(rows) > _FEW_HERE or began < self._quick_from:
            return False
        wanted = _wanted(snapshot, np.array(rows, np.int64))
        read = fetch_few(self._direct, published.collection.id, wanted, with_metadata=with_metadata)
        ended = time.monotonic()
        if ended - began > _QUICK_SECONDS:
            self._quick_from = ended + _PATIENCE_SECONDS
        if read is None:
            return False
        found = [(row, each) for row, each in zip(rows, read, strict=True) if each is not None]
        self._passages.keep(snapshot.rows, found, with_metadata=with_metadata)
        return len(found) == len(rows)

    def _recent(
        self, snapshot: Snapshot, rows: Iterable[int], *, with_metadata: bool
    ) -> dict[int, Passage]:
        """Returns the passages of those of the rows that were written lately, and keeps them."""
        wanted = list(rows)
        identities = snapshot.identities(np.array(wanted, np.int64))
        found: dict[int, Passage] = {}
        for row, document_id, version, ordinal in zip(wanted, *identities, strict=True):
            passage = snapshot.rows.recent.passage(
                document_id, version, ordinal, with_metadata=with_metadata
            )
            if passage is not None:
                found[row] = passage
        if found:
            self._passages.keep(snapshot.rows, found.items(), with_metadata=with_metadata)
        return found

    def complete(self, ranked: Ranked, options: SearchOptions) -> list[Answer]:
        """Reads what is missing, leaving out what is not the truth any more; blocks.

        Args:
            ranked: What was found.
            options: What of it is wanted.
        """
        found = self._found(ranked, options)
        answers = []
        for ranking in ranked.rankings:
            passages = [found[row] for row in ranking.hits.rows.tolist()]
            whole = [passage for passage in passages if passage is not None]
            gone = len(passages) - len(whole)
            if gone:
                is_here = np.array([passage is not None for passage in passages], np.bool_)
                ranking.hits = ranking.hits.take(is_here)
                ranking.dropped = {**ranking.dropped, "superseded": gone}
            answers.append(_assemble(ranked, ranking, whole, options))
        if options.token_codes_top_k:
            self._add_token_codes(ranked.published, answers, options.token_codes_top_k)
        return answers

    def _found(self, ranked: Ranked, options: SearchOptions) -> dict[int, Passage | None]:
        """Returns the passages of the rows found; None for what is not the truth any more."""
        published, snapshot = ranked.published, ranked.published.snapshot
        with_metadata = options.include_metadata
        known = self._passages.of(snapshot.rows, with_metadata=with_metadata)
        rows = {row for ranking in ranked.rankings for row in ranking.hits.rows.tolist()}
        # A view that is behind proves nothing: every chunk is looked up in the store.
        found: dict[int, Passage | None] = {
            row: known.get(row) if ranked.is_current else None for row in rows
        }
        missing = [row for row, passage in found.items() if passage is None]
        if missing and ranked.is_current:
            found |= self._recent(snapshot, missing, with_metadata=with_metadata)
            missing = [row for row in missing if found[row] is None]
        if missing:
            wanted = _wanted(snapshot, np.array(missing, np.int64))
            read = self._read(published.collection.id, wanted, with_metadata=with_metadata)
            fresh = dict(zip(missing, read, strict=True))
            found.update(fresh)
            self._passages.keep(
                snapshot.rows,
                [(row, each) for row, each in fresh.items() if each is not None],
                with_metadata=with_metadata,
            )
        return found

    def _read(
        self, collection_id: int, wanted: list[Wanted], *, with_metadata: bool
    ) -> list[Passage | None]:
        """Reads passages from the store; None for what is not the truth any more."""
        if self._direct is not None:
            found = fetch_few(self._direct, collection_id, wanted, with_metadata=with_metadata)
            if found is not None:
                return found
        return self._reader.run_here(
            lambda connection: fetch(connection, collection_id, wanted, with_metadata=with_metadata)
        )

    def _add_token_codes(self, published: Published, answers: Sequence[Answer], count: int) -> None:
        """Reads the token codes of the best passages of each answer, all at once."""
        wanted = [
            Wanted(each.document_id, each.document_version, each.ordinal)
            for answer in answers
            for each in answer.passages[:count]
        ]
        if not wanted:
            return

        codes = iter(self._read_token_codes(published.collection.id, wanted))
        for answer in answers:
            answer.token_codes = [next(codes) for _ in answer.passages[:count]]

    def _read_token_codes(self, collection_id: int, wanted: list[Wanted]) -> list[bytes]:
        """Reads token codes from the store, empty where there are none."""
        if self._direct is not None:
            found = few_token_codes(self._direct, collection_id, wanted)
            if found is not None:
                return found
        return self._reader.run_here(
            lambda connection: token_codes(connection, collection_id, wanted)
        )


def _wanted(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[Wanted]:
    """Returns what the chunk rows are in the store."""
    documents = snapshot.document_of[rows]
    versions = snapshot.rows.versions.rows(snapshot.document_count)[documents].tolist()
    ids = snapshot.rows.ids
    return [
        Wanted(ids[document], version, ordinal)
        for document, version, ordinal in zip(
            documents.tolist(), versions, snapshot.ordinals[rows].tolist(), strict=True
        )
    ]


def _assemble(
    ranked: Ranked, ranking: Ranking, passages: list[Passage], options: SearchOptions
) -> Answer:
    snapshot, allowed = ranked.published.snapshot, ranked.allowed
    hits = ranking.hits
    return Answer(
        passages=passages,
        hits=hits,
        steps=ranking.steps,
        allowed_count=allowed.count,
        dropped=ranking.dropped,
        vectors_scanned=ranking.scanned,
        collection=ranked.published.collection.name,
        generation=snapshot.seq,
        visible_seq=snapshot.tenant_seq,
        is_current=ranked.is_current,
        valid_until_micros=masks.next_end(snapshot, now_micros()),
        vectors=snapshot.vectors_of(hits.rows) if options.include_vectors else None,
        groups=_groups(passages) if options.group_size else [],
    )


def _groups(passages: Sequence[Passage]) -> list[Group]:
    """Returns the groups of passages that come group by group."""
    starts = [
        place
        for place, each in enumerate(passages)
        if place == 0 or each.document_id != passages[place - 1].document_id
    ]
    ends = [*starts[1:], len(passages)]
    return [
        Group(passages[start].document_id, start, end - start)
        for start, end in zip(starts, ends, strict=False)
    ]
