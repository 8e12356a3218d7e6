"""Compiled searches over 8-bit codes: one call does a whole search. Imports numba, like `steps`.

The loops are compiled for one width of codes: with it as a constant they take two thirds of the
time. A factory must not close over compiled functions, or numba's cache on disk never hits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from services.retrieval.vectors.kernels.steps import (
    FAST_MATH,
    begin,
    gather,
    insert,
    keep_nearest,
    next_mark,
    prefetch,
    quantise_query,
    row_of,
    take_best,
    take_close,
)

_DIRECT = 24
"""Rows up to which the float vectors are compared at once: reading codes first would cost more."""


def scan(width: int, *, cache: bool) -> Any:
    """Returns the exact search over given rows, for one width of codes."""
    ahead = 16 if width <= 512 else 4

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_ids(
        codes: Any,
        vectors: Any,
        ids: Any,
        bits: Any,
        steps: Any,
        queries: Any,
        slack: Any,
        quantised: Any,
        scores: Any,
        near: Any,
        out_rows: Any,
        out_scores: Any,
    ) -> Any:
        """Compares queries with rows by their codes, then with the best by their float vectors.

        Args:
            codes: (n, width) uint8.
            vectors: (n, d) float32.
            ids: (m,) int32 rows to compare.
            bits: Which rows may be returned; empty: all.
            steps: (d,) float32 of the quantiser.
            queries: (q, d) float32.
            slack: (2,) float64: how far a product may be off, for a query of length 1, and for
                the rounding of the query in units of sums.
            quantised: (width,) int16, scratch.
            scores: (>= m + k,) int32, scratch.
            near: (>= m,) int32, scratch.
            out_rows: (q, k) int64, written.
            out_scores: (q, k) float32, written.

        Returns:
            How many rows were compared by their float vectors, over all queries.
        """
        count = out_rows.shape[1]
        size = ids.shape[0]
        refined = 0
        for at in range(queries.shape[0]):
            query = queries[at]
            if size <= max(count, _DIRECT):
                keep_nearest(vectors, ids, size, query, bits, out_rows[at], out_scores[at])
                refined += size
                continue
            scale, length = quantise_query(query, steps, quantised)
            margin = np.int64(min(2.0 * (slack[0] * length * scale + slack[1]) + 1.0, 4e9))
            # Nothing else in this loop: with a branch and stores it takes twice the time.
            for i in range(size):
                if i + ahead < size:
                    for column in range(0, width, 64):
                        prefetch(codes, np.int64(ids[i + ahead]), column)
                row = np.int64(ids[i])
                total = np.int32(0)
                for j in range(width):
                    total += np.int32(codes[row, j]) * np.int32(quantised[j])
                scores[i] = total
            close = take_best(scores, ids, size, count, margin, near)
            keep_nearest(vectors, near, close, query, bits, out_rows[at], out_scores[at])
            refined += close
        return refined

    return search_ids


def scan_four(width: int, *, cache: bool) -> Any:
    """Returns the exact search of four queries at once, for one width of codes."""
    ahead = 16 if width <= 512 else 4

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_ids_four(
        codes: Any,
        vectors: Any,
        ids: Any,
        bits: Any,
        steps: Any,
        queries: Any,
        slack: Any,
        quantised: Any,
        scores: Any,
        near: Any,
        out_rows: Any,
        out_scores: Any,
    ) -> Any:
        """Does what `search_ids` does for four queries, and reads each row once for all of them.

        `quantised` is (4, width), `scores` (4, >= m + k); m is more than k.
        """
        count = out_rows.shape[1]
        size = ids.shape[0]
        refined = 0
        margins = np.empty(4, np.int64)
        for at in range(4):
            scale, length = quantise_query(queries[at], steps, quantised[at])
            margin = 2.0 * (slack[0] * length * scale + slack[1]) + 1.0
            margins[at] = np.int64(min(margin, 4e9))
        for i in range(size):
            if i + ahead < size:
                for column in range(0, width, 64):
                    prefetch(codes, np.int64(ids[i + ahead]), column)
            row = np.int64(ids[i])
            # The row stays in the nearest cache; four sums in one loop would not be vectorised.
            for at in range(4):
                total = np.int32(0)
                for j in range(width):
                    total += np.int32(codes[row, j]) * np.int32(quantised[at, j])
                scores[at, i] = total
        for at in range(4):
            left = take_best(scores[at], ids, size, count, margins[at], near)
            keep_nearest(vectors, near, left, queries[at], bits, out_rows[at], out_scores[at])
            refined += left
        return refined

    return search_ids_four


def descent(width: int, *, cache: bool) -> Any:
    """Returns the way down a graph over codes of one width."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def descend(
        codes: Any,
        upper: Any,
        upper_links: Any,
        steps: Any,
        queries: Any,
        quantised: Any,
        entries: Any,
    ) -> Any:
        """Goes down the upper levels of a graph, to the best neighbour each time.

        Args:
            codes: (n, width) uint8.
            upper: (u, 2) int32: row, and place of the same row one level lower or -1. The first
                is the entry.
            upper_links: (u, m) int32 places of neighbours on the same level, -1 after the last.
            steps: (d,) float32 of the quantiser.
            queries: (q, d) float32.
            quantised: (width,) int16, scratch.
            entries: (q,) int64, written: the row to begin with on the lowest level.
        """
        for at in range(queries.shape[0]):
            quantise_query(queries[at], steps, quantised)
            place = 0
            best = np.int64(-(2**40))
            while True:
                following = -1
                for n in range(upper_links.shape[1] + 1):
                    # The place itself stands first: on the way in, nothing else has scored it.
                    other = place if n == 0 else np.int64(upper_links[place, n - 1])
                    if other < 0:
                        break
                    total = np.int32(0)
                    row = np.int64(upper[other, 0])
                    for j in range(width):
                        total += np.int32(codes[row, j]) * np.int32(quantised[j])
                    if total > best:
                        best = np.int64(total)
                        following = other
                if following >= 0 and following != place:
                    place = following
                elif upper[place, 1] < 0:
                    break
                else:
                    place = np.int64(upper[place, 1])
            entries[at] = upper[place, 0]

    return descend


def walk(width: int, *, cache: bool) -> Any:  # noqa: C901 - one compiled loop
    """Returns the walk of a graph's lowest level over codes of one width."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_graph(  # noqa: C901 - calls inside would have to be cached apart
        codes: Any,
        vectors: Any,
        starts: Any,
        links: Any,
        entries: Any,
        seeds: Any,
        gate: Any,
        bits: Any,
        steps: Any,
        queries: Any,
        slack: Any,
        effort: Any,
        enough: Any,
        visited: Any,
        epoch: Any,
        quantised: Any,
        pool: Any,
        fresh: Any,
        out_rows: Any,
        out_scores: Any,
    ) -> Any:
        """Walks from an entry to the best rows near each query, and refines them.

        Args, beyond those of `search_ids` and `gather`:
            entries: (q,) int64 rows to start from.
            seeds: Rows to start from besides; all pass the gate.
            effort: Rows kept in sight (ef), at least k.
            visited, epoch: (n,) uint8 and (1,) int64, kept from call to call; see `next_mark`.
            pool, fresh: (>= effort,) int64 and (2, >= 128 + seeds) int32, scratch.

        Returns:
            How many rows were compared by their codes, over all queries.
        """
        compared = 0
        for at in range(queries.shape[0]):
            scale, length = quantise_query(queries[at], steps, quantised)
            mark = next_mark(visited, epoch)
            news = begin(starts, links, entries[at], seeds, visited, mark, gate, enough, fresh)
            size, cursor = 0, 0
            while True:
                for i in range(min(news, 12)):
                    for column in range(0, width, 64):
                        prefetch(codes, np.int64(fresh[0, i]), column)
                for i in range(news):
                    if i + 12 < news:
                        for column in range(0, width, 64):
                            prefetch(codes, np.int64(fresh[0, i + 12]), column)
                    row = np.int64(fresh[0, i])
                    total = np.int32(0)
                    for j in range(width):
                        total += np.int32(codes[row, j]) * np.int32(quantised[j])
                    entered = insert(pool, size, effort, total, row)
                    if entered < effort:
                        prefetch(starts, row, 0)
                        size = min(size + 1, effort)
                        cursor = min(cursor, entered)
                compared += news
                while cursor < size and pool[cursor] & 1:
                    cursor += 1
                if cursor == size:
                    break
                node = row_of(pool[cursor])
                pool[cursor] |= 1
                if cursor + 1 < size:
                    first = starts[row_of(pool[cursor + 1])]
                    prefetch(links, first, 0)
                    prefetch(links, first + 16, 0)
                news = gather(starts, links, node, visited, mark, gate, enough, fresh[0], fresh[1])
            margin = 2.0 * (slack[0] * length * scale + slack[1]) + 1.0
            limit = np.int64(min(margin, 4e9))
            close = take_close(pool, size, bits, out_rows.shape[1], limit)
            keep_nearest(vectors, pool, close, queries[at], bits, out_rows[at], out_scores[at])
        return compared

    return search_graph
