"""Fewer token vectors a text: neighbours are merged, those first that lose least.

Ward's criterion over neighbouring groups only, so that every row still stands for one stretch of
the text.
"""

from __future__ import annotations

import heapq
import itertools
import math

import numpy as np
import numpy.typing as npt

from services.embedding.encoder import VectorArray

MAX_FACTOR = 32.0


def pooled_groups(vectors: VectorArray, factor: float) -> npt.NDArray[np.intp]:
    """Returns the first token of each group, ascending.

    Args:
        vectors: (tokens, dimensions), rows of length 1.
        factor: Tokens per group, on average.
    """
    count = len(vectors)
    wanted = max(1, math.ceil(count / factor)) if count else 0
    means = [row.astype(np.float64) for row in vectors]
    sizes = [1] * count
    following = [*range(1, count), -1] if count else []
    before = [*range(-1, count - 1)]
    versions = [0] * count
    order = itertools.count()
    heap: list[tuple[float, int, int, int, int, int]] = []

    def offer(left: int, right: int) -> None:
        gap = means[left] - means[right]
        cost = sizes[left] * sizes[right] / (sizes[left] + sizes[right]) * float(gap @ gap)
        heapq.heappush(heap, (cost, next(order), left, right, versions[left], versions[right]))

    for left in range(count - 1):
        offer(left, left + 1)
    alive = count
    while alive > wanted and heap:
        _, _, left, right, left_version, right_version = heapq.heappop(heap)
        if versions[left] != left_version or versions[right] != right_version:
            continue
        total = sizes[left] + sizes[right]
        means[left] = (sizes[left] * means[left] + sizes[right] * means[right]) / total
        sizes[left] = total
        versions[left] += 1
        versions[right] = -1
        following[left] = following[right]
        if following[right] >= 0:
            before[following[right]] = left
            offer(left, following[right])
        if before[left] >= 0:
            offer(before[left], left)
        alive -= 1
    return np.array([place for place in range(count) if versions[place] >= 0], dtype=np.intp)


def pool_rows(vectors: VectorArray, firsts: npt.NDArray[np.intp]) -> VectorArray:
    """Returns the mean of each group, at length 1: (groups, dimensions).

    Args:
        vectors: (tokens, dimensions).
        firsts: First token of each group, as `pooled_groups` returns them.
    """
    if not len(vectors):
        return vectors
    sums = np.add.reduceat(vectors, firsts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
