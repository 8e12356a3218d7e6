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
    gather,
    insert,
    keep_nearest,
    kth_greatest,
    prefetch,
    quantise_query,
    row_of,
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
            for i in range(size):
                if i + ahead < size:
                    for column in range(0, width, 64):
                        prefetch(codes, np.int64(ids[i + ahead]), column)
                row = np.int64(ids[i])
                total = np.int32(0)
                for j in range(width):
                    total += np.int32(codes[row, j]) * np.int32(quantised[j])
                scores[i] = total
            least = kth_greatest(scores, size, count, scores[size:])
            margin = 2.0 * (slack[0] * length * scale + slack[1]) + 1.0
            threshold = np.int64(least) - np.int64(min(margin, 4e9))
            close = 0
            for i in range(size):
                if scores[i] >= threshold:
                    near[close] = ids[i]
                    close += 1
            keep_nearest(vectors, near, close, query, bits, out_rows[at], out_scores[at])
            refined += close
        return refined

    return search_ids


def walk(width: int, *, cache: bool) -> Any:
    """Returns the walk of a graph over codes of one width."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_graph(
        codes: Any,
        vectors: Any,
        starts: Any,
        links: Any,
        upper: Any,
        upper_links: Any,
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
        """Walks from the top of a graph to the best rows near each query, and refines them.

        Args:
            codes: (n, width) uint8.
            vectors: (n, d) float32.
            starts: (n + 1,) int64: where the neighbours of each row begin in `links`.
            links: (l, 1) int32 neighbours on the lowest level.
            upper: (u, 2) int32: row, and place of the same row one level lower or -1. The first
                is the entry.
            upper_links: (u, m) int32 places of neighbours on the same level, -1 after the last.
            seeds: Rows to start from besides; all pass the gate.
            gate: Which rows are walked over; empty: all.
            bits: Which rows may be returned; empty: all.
            steps: (d,) float32 of the quantiser.
            queries: (q, d) float32.
            slack: As in `search_ids`.
            effort: Rows kept in sight (ef), at least k.
            enough: As in `gather`.
            visited: (n,) uint8, kept from call to call.
            epoch: (1,) int64: last number used in `visited`, kept with it.
            quantised: (width,) int16, scratch.
            pool: (>= effort,) int64, scratch.
            fresh: (2, >= 2 l) int32, scratch.
            out_rows: (q, k) int64, written.
            out_scores: (q, k) float32, written.

        Returns:
            How many rows were compared by their codes, over all queries.
        """
        compared = 0
        count = out_rows.shape[1]
        for at in range(queries.shape[0]):
            query = queries[at]
            scale, length = quantise_query(query, steps, quantised)
            epoch[0] += 1
            if epoch[0] == 256:
                visited[:] = 0
                epoch[0] = 1
            mark = np.uint8(epoch[0])
            # Down the upper levels, to the best neighbour each time.
            place = 0
            best = np.int32(-(2**31))
            is_first = True
            while upper.shape[0] > 0:
                following = -1
                for n in range(-1 if is_first else 0, upper_links.shape[1]):
                    other = place if n < 0 else np.int64(upper_links[place, n])
                    if other < 0:
                        break
                    total = np.int32(0)
                    row = np.int64(upper[other, 0])
                    for j in range(width):
                        total += np.int32(codes[row, j]) * np.int32(quantised[j])
                    compared += 1
                    if total > best:
                        best = total
                        following = other if n >= 0 else following
                is_first = False
                if following >= 0:
                    place = following
                elif upper[place, 1] < 0:
                    break
                else:
                    place = np.int64(upper[place, 1])
            # Along the lowest level; the first round takes the place reached, and the seeds.
            size, cursor = 0, 0
            node = np.int64(upper[place, 0]) if upper.shape[0] > 0 else np.int64(0)
            news = 0
            for n in range(seeds.shape[0]):
                if visited[seeds[n]] != mark:
                    visited[seeds[n]] = mark
                    fresh[0, news] = seeds[n]
                    news += 1
            if gate.shape[0] == 0 and visited[node] != mark:
                visited[node] = mark
                fresh[0, news] = node
                news += 1
            elif gate.shape[0] > 0:
                news += gather(
                    starts, links, node, visited, mark, gate, enough, fresh[0, news:], fresh[1]
                )
            while True:
                for i in range(min(news, 4)):
                    for column in range(0, width, 64):
                        prefetch(codes, np.int64(fresh[0, i]), column)
                for i in range(news):
                    if i + 4 < news:
                        for column in range(0, width, 64):
                            prefetch(codes, np.int64(fresh[0, i + 4]), column)
                    row = np.int64(fresh[0, i])
                    total = np.int32(0)
                    for j in range(width):
                        total += np.int32(codes[row, j]) * np.int32(quantised[j])
                    entered = insert(pool, size, effort, total, row)
                    if entered < effort:
                        size = min(size + 1, effort)
                        cursor = min(cursor, entered)
                compared += news
                while cursor < size and pool[cursor] & 1:
                    cursor += 1
                if cursor == size:
                    break
                node = row_of(pool[cursor])
                pool[cursor] |= 1
                news = gather(starts, links, node, visited, mark, gate, enough, fresh[0], fresh[1])
            margin = 2.0 * (slack[0] * length * scale + slack[1]) + 1.0
            close = take_close(pool, size, bits, count, np.int64(min(margin, 4e9)))
            keep_nearest(vectors, pool, close, query, bits, out_rows[at], out_scores[at])
        return compared

    return search_graph
