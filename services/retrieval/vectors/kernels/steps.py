"""What the compiled searches have in common. Imports numba: only `registry` imports this, late.

Rows are indexed as `array[row, column]`: computed offsets into a flat array are not vectorised.
Memory is the limit of all of these loops (11 ns for 384 bytes from anywhere), so what is needed a
few rows later is asked for in advance.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
"""Sums may be reordered; NaN and infinities keep their meaning."""
LINE_BYTES = 64
_LOW_HALF = 0xFFFFFFFF


def _prefetch(_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Makes the code that asks for the cache line of array[row, column]; it never fails."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
        offsets = [
            builder.mul(
                context.cast(builder, arguments[at], signature.args[at], types.intp),
                builder.extract_value(held.strides, at - 1),
            )
            for at in range(1, 1 + signature.args[0].ndim)
        ]
        start = builder.bitcast(held.data, ir.IntType(8).as_pointer())
        offset = offsets[0] if len(offsets) == 1 else builder.add(*offsets)
        place = builder.gep(start, [offset])
        word = ir.IntType(32)
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name)
        if function is None:
            shape = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
            function = ir.Function(builder.module, shape, name)
        builder.call(function, [place, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, row, column), generate


prefetch: Any = intrinsic(_prefetch)
"""prefetch(array, row, column) in compiled code."""


@numba.njit(nogil=True)
def is_set(bits: Any, row: Any) -> Any:
    """Returns whether a row's bit is set."""
    return (bits[row >> 3] >> (row & 7)) & 1 != 0


@numba.njit(nogil=True)
def replace_least(heap: Any, count: Any, value: Any) -> None:
    """Replaces the root of a min-heap and restores its order."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@numba.njit(nogil=True)
def take_best(scores: Any, ids: Any, size: Any, count: Any, margin: Any, near: Any) -> Any:
    """Writes the rows that may be among the best `count` to `near`; returns how many they are.

    Args:
        scores: (>= size + count,) int32; overwritten.
        ids: (size,) int32 rows.
        size: Rows scored.
        count: Rows wanted.
        margin: How much less than the count-th score may still turn out better.
        near: (>= size,) int32, written.
    """
    # The best so far are a heap behind the scores; what is too far below the least of them can
    # never be wanted, so few rows become candidates.
    heap = scores[size : size + count]
    heap[:] = np.int32(-(2**31))
    threshold = np.int64(-(2**62))
    close = 0
    for i in range(size):
        score = scores[i]
        if score >= threshold:
            scores[close] = score
            near[close] = ids[i]
            close += 1
            if score > heap[0]:
                replace_least(heap, count, score)
                threshold = np.int64(heap[0]) - margin
    kept = 0
    for i in range(close):
        if scores[i] >= threshold:
            near[kept] = near[i]
            kept += 1
    return kept


@numba.njit(nogil=True, fastmath=FAST_MATH)
def quantise_query(query: Any, steps: Any, quantised: Any) -> Any:
    """Writes a query's 16-bit form for codes of these steps.

    Returns:
        (scale, length of the query): a sum of code products is scale times the product, but for
        a constant. The scale is such that no sum passes 31 bits.
    """
    greatest, total, squares = 0.0, 0.0, 0.0
    for j in range(query.shape[0]):
        weight = abs(query[j] * steps[j])
        greatest = max(greatest, weight)
        total += weight
        squares += query[j] * query[j]
    if greatest == 0.0:
        quantised[:] = 0
        return 1.0, np.sqrt(squares)
    scale = min(32_767.0 / greatest, 2_100_000_000.0 / (255.0 * total + 1e-30))
    for j in range(query.shape[0]):
        quantised[j] = np.int16(np.rint(query[j] * steps[j] * scale))
    quantised[query.shape[0] :] = 0
    return scale, np.sqrt(squares)


@numba.njit(nogil=True, fastmath=FAST_MATH)
def keep_nearest(
    vectors: Any, near: Any, size: Any, query: Any, bits: Any, out_rows: Any, out_scores: Any
) -> None:
    """Scores rows by their float vectors, and writes the best that are allowed, best first.

    Args:
        vectors: (n, d) float32.
        near: (>= size,) rows to score.
        size: How many.
        query: (d,) float32.
        bits: Which rows may be returned; empty: all.
        out_rows: (k,) int64, all of it written; -1 where there is no more.
        out_scores: (k,) float32, likewise; -inf.
    """
    count = out_rows.shape[0]
    dimensions = query.shape[0]
    out_rows[:] = -1
    out_scores[:] = -np.inf
    found = 0
    for i in range(size):
        if i + 3 < size:
            ahead = np.int64(near[i + 3])
            for column in range(0, dimensions, 16):
                prefetch(vectors, ahead, column)
        row = np.int64(near[i])
        if bits.shape[0] > 0 and not is_set(bits, row):
            continue
        score = np.float32(0)
        for j in range(dimensions):
            score += vectors[row, j] * query[j]
        # Equal scores in row order, so that the same search gives the same list.
        if found == count and (
            score < out_scores[count - 1]
            or (score == out_scores[count - 1] and row > out_rows[count - 1])
        ):
            continue
        at = min(found, count - 1)
        while at > 0 and (
            out_scores[at - 1] < score or (out_scores[at - 1] == score and out_rows[at - 1] > row)
        ):
            out_scores[at] = out_scores[at - 1]
            out_rows[at] = out_rows[at - 1]
            at -= 1
        out_scores[at] = score
        out_rows[at] = row
        found = min(found + 1, count)


@numba.njit(nogil=True)
def insert(pool: Any, size: Any, limit: Any, score: Any, row: Any) -> Any:
    """Inserts a row into a pool sorted from best to worst; returns its place, or `limit`.

    Args:
        pool: (>= limit,) int64: score in the upper half, row * 2 + (1 if expanded) in the lower.
        size: Entries in it.
        limit: Entries it may have.
        score: int32.
        row: Row of the vector.
    """
    key = (np.int64(score) << 32) | (np.int64(row) << 1)
    if size == limit and key <= pool[limit - 1]:
        return limit
    low, high = 0, size
    while low < high:
        middle = (low + high) >> 1
        if pool[middle] >= key:
            low = middle + 1
        else:
            high = middle
    at = min(size, limit - 1)
    while at > low:
        pool[at] = pool[at - 1]
        at -= 1
    pool[low] = key
    return low


@numba.njit(nogil=True)
def row_of(key: Any) -> Any:
    """Returns the row of a pool's entry."""
    return (key & _LOW_HALF) >> 1


@numba.njit(nogil=True)
def gather(
    starts: Any,
    links: Any,
    node: Any,
    visited: Any,
    epoch: Any,
    gate: Any,
    enough: Any,
    fresh: Any,
    hops: Any,
) -> Any:
    """Collects the neighbours of a node that pass the gate and were not seen.

    Where too few neighbours pass, the neighbours of those that were stopped are looked at as well
    (ACORN-1, Patel et al., 2024), so that the rows that pass stay connected.

    Args:
        starts: (n + 1,) int64: where each node's neighbours begin in `links`.
        links: (l, 1) int32 neighbours.
        node: Whose.
        visited: (n,) uint8: holds `epoch` where a row was seen.
        epoch: Number of this search.
        gate: Which rows pass, as bits; empty: all.
        enough: Neighbours that passed from which second neighbours are left alone.
        fresh: (>= most neighbours,) int32, written.
        hops: (>= most neighbours,) int32, scratch.

    Returns:
        How many rows are in `fresh`.
    """
    count, stopped = 0, 0
    is_gated = gate.shape[0] > 0
    for j in range(starts[node], starts[node + 1]):
        neighbour = np.int64(links[j, 0])
        if visited[neighbour] == epoch:
            continue
        if not is_gated or is_set(gate, neighbour):
            visited[neighbour] = epoch
            fresh[count] = neighbour
            count += 1
        else:
            hops[stopped] = neighbour
            stopped += 1
    if count >= enough:
        return count
    for i in range(stopped):
        prefetch(links, starts[hops[i]], 0)
        prefetch(links, starts[hops[i]] + 16, 0)
    limit = fresh.shape[0]
    for i in range(stopped):
        visited[hops[i]] = epoch
        for j in range(starts[hops[i]], starts[hops[i] + 1]):
            neighbour = np.int64(links[j, 0])
            if visited[neighbour] != epoch and is_set(gate, neighbour):
                visited[neighbour] = epoch
                fresh[count] = neighbour
                count += 1
                if count == limit:
                    return count
    return count


@numba.njit(nogil=True)
def take_close(pool: Any, size: Any, bits: Any, count: Any, margin: Any) -> Any:
    """Turns the head of a pool into rows: those allowed that may be among the best `count`.

    Args:
        pool: Sorted from best to worst, as `insert` leaves it; rows are written to its head.
        size: Entries in it.
        bits: Which rows may be returned; empty: all.
        count: Rows wanted.
        margin: How much less than the count-th score may still turn out better.

    Returns:
        How many rows were written.
    """
    close = 0
    threshold = np.int64(-(2**62))
    for i in range(size):
        score = pool[i] >> 32
        if score < threshold:
            break
        row = row_of(pool[i])
        if bits.shape[0] > 0 and not is_set(bits, row):
            continue
        pool[close] = row
        close += 1
        if close == count:
            threshold = score - margin
    return close


@numba.njit(nogil=True)
def next_mark(visited: Any, epoch: Any) -> Any:
    """Returns the number of a new search; every 255 searches the marks are wiped.

    Args:
        visited: (n,) uint8 marks.
        epoch: (1,) int64: the last number used.
    """
    epoch[0] += 1
    if epoch[0] == 256:
        visited[:] = 0
        epoch[0] = 1
    return np.uint8(epoch[0])


@numba.njit(nogil=True)
def begin(
    starts: Any,
    links: Any,
    entry: Any,
    seeds: Any,
    visited: Any,
    mark: Any,
    gate: Any,
    enough: Any,
    fresh: Any,
) -> Any:
    """Collects the rows that a walk begins with in fresh[0]; returns how many.

    They are the seeds, and the entry or, where the gate stops it, its neighbours that pass.
    """
    count = 0
    for n in range(seeds.shape[0]):
        if visited[seeds[n]] != mark:
            visited[seeds[n]] = mark
            fresh[0, count] = seeds[n]
            count += 1
    if gate.shape[0] > 0:
        count += gather(
            starts, links, entry, visited, mark, gate, enough, fresh[0, count:], fresh[1]
        )
    if (gate.shape[0] == 0 or is_set(gate, entry)) and visited[entry] != mark:
        visited[entry] = mark
        fresh[0, count] = entry
        count += 1
    return count
