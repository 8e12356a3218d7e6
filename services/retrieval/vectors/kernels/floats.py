"""Compiled searches over float vectors. Imports numba, like `steps`."""

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
    row_of,
    take_close,
)


def scan(*, cache: bool) -> Any:
    """Returns the exact search over given rows."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_floats(
        vectors: Any, ids: Any, bits: Any, queries: Any, out_rows: Any, out_scores: Any
    ) -> Any:
        """Compares queries with rows; arguments as in `coded`. Returns how many it compared."""
        for at in range(queries.shape[0]):
            keep_nearest(
                vectors, ids, ids.shape[0], queries[at], bits, out_rows[at], out_scores[at]
            )
        return queries.shape[0] * ids.shape[0]

    return search_floats


def descent(*, cache: bool) -> Any:
    """Returns the way down a graph."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def descend_floats(
        vectors: Any, upper: Any, upper_links: Any, queries: Any, entries: Any
    ) -> Any:
        """Goes down the upper levels of a graph; arguments as in `coded`."""
        for at in range(queries.shape[0]):
            place = 0
            best = np.float32(-np.inf)
            while True:
                following = -1
                for n in range(upper_links.shape[1] + 1):
                    other = place if n == 0 else np.int64(upper_links[place, n - 1])
                    if other < 0:
                        break
                    product = np.float32(0)
                    row = np.int64(upper[other, 0])
                    for j in range(queries.shape[1]):
                        product += vectors[row, j] * queries[at, j]
                    if product > best:
                        best = product
                        following = other
                if following >= 0 and following != place:
                    place = following
                elif upper[place, 1] < 0:
                    break
                else:
                    place = np.int64(upper[place, 1])
            entries[at] = upper[place, 0]

    return descend_floats


def walk(*, cache: bool) -> Any:  # noqa: C901 - one compiled loop
    """Returns the walk of a graph's lowest level."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_float_graph(  # noqa: C901 - as in `coded`
        vectors: Any,
        starts: Any,
        links: Any,
        entries: Any,
        seeds: Any,
        gate: Any,
        bits: Any,
        queries: Any,
        longest: Any,
        effort: Any,
        enough: Any,
        visited: Any,
        epoch: Any,
        pool: Any,
        fresh: Any,
        out_rows: Any,
        out_scores: Any,
    ) -> Any:
        """Walks like `coded.walk`; `longest` is the length of the longest vector."""
        compared = 0
        for at in range(queries.shape[0]):
            query = queries[at]
            # Scores go into the pool as whole numbers of 31 bits.
            squares = np.float32(0)
            for j in range(query.shape[0]):
                squares += query[j] * query[j]
            scale = np.float64(2**30) / (np.sqrt(squares) * longest + 1e-30)
            mark = next_mark(visited, epoch)
            news = begin(starts, links, entries[at], seeds, visited, mark, gate, enough, fresh)
            size, cursor = 0, 0
            while True:
                for i in range(news):
                    if i + 2 < news:
                        for column in range(0, query.shape[0], 16):
                            prefetch(vectors, np.int64(fresh[0, i + 2]), column)
                    row = np.int64(fresh[0, i])
                    product = np.float32(0)
                    for j in range(query.shape[0]):
                        product += vectors[row, j] * query[j]
                    entered = insert(pool, size, effort, np.int32(product * scale), row)
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
            close = take_close(pool, size, bits, out_rows.shape[1], np.int64(64))
            keep_nearest(vectors, pool, close, query, bits, out_rows[at], out_scores[at])
        return compared

    return search_float_graph
