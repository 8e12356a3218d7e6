"""Compiled searches over float vectors. Imports numba, like `steps`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from services.retrieval.vectors.kernels.steps import (
    FAST_MATH,
    gather,
    insert,
    keep_nearest,
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


def walk(*, cache: bool) -> Any:
    """Returns the walk of a graph."""

    @numba.njit(nogil=True, fastmath=FAST_MATH, cache=cache)
    def search_float_graph(
        vectors: Any,
        starts: Any,
        links: Any,
        upper: Any,
        upper_links: Any,
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
        count = out_rows.shape[1]
        for at in range(queries.shape[0]):
            query = queries[at]
            squares = np.float32(0)
            for j in range(query.shape[0]):
                squares += query[j] * query[j]
            scale = np.float64(2**30) / (np.sqrt(squares) * longest + 1e-30)
            epoch[0] += 1
            if epoch[0] == 256:
                visited[:] = 0
                epoch[0] = 1
            mark = np.uint8(epoch[0])
            place = 0
            best = np.int32(-(2**31))
            is_first = True
            while upper.shape[0] > 0:
                following = -1
                for n in range(-1 if is_first else 0, upper_links.shape[1]):
                    other = place if n < 0 else np.int64(upper_links[place, n])
                    if other < 0:
                        break
                    product = np.float32(0)
                    row = np.int64(upper[other, 0])
                    for j in range(query.shape[0]):
                        product += vectors[row, j] * query[j]
                    total = np.int32(product * scale)
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
            close = take_close(pool, size, bits, count, np.int64(64))
            keep_nearest(vectors, pool, close, query, bits, out_rows[at], out_scores[at])
        return compared

    return search_float_graph
