"""Makes the vectors that retrieval is measured on: clustered, as embeddings of texts are.

Unit vectors of 384 numbers in 1,500 clusters of 60 topics. Cluster sizes follow a power law; each
cluster spreads over a random subspace of 200 dimensions of its own, plus noise. The shares below
are set so that a random pair has a similarity of about .05 and, among 100,000 rows, a query's best
row .61 and its tenth .55; a graph (M 32, efConstruction 100) then finds .97 of the ten nearest at
ef 64, as it does on embeddings of texts. Needs numpy only: the peers' environment runs it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORM = 1
"""Rises when the same seed would give other numbers."""
DIMENSIONS = 384
CLUSTERS, TOPICS = 1_500, 60
_RANK = 200
_POWER = 0.9
"""Exponent of the cluster sizes: the n-th largest is proportional to n ** -0.9."""
_COMMON, _TOPIC, _CLUSTER, _LOCAL, _NOISE = 0.04, 0.11, 0.335, 0.44, 0.075
"""Shares of a vector's squared length."""
TENANTS, DOC_TYPES, TAGS = 1_000, 8, 50
_FIRST_TS, _LAST_TS = 1_600_000_000, 1_760_000_000


@dataclass(frozen=True, slots=True)
class Data:
    """Vectors with their metadata, and queries of the same distribution."""

    vectors: NDArray[np.float32]
    """(rows, 384) unit vectors, in random order."""
    queries: NDArray[np.float32]
    """(queries, 384) unit vectors."""
    clusters: NDArray[np.int32]
    """(rows,) cluster of each row, numbered from the largest; neighbours share topics."""
    columns: dict[str, NDArray[np.int64]]
    """By name: tenant (Zipf over 1,000), doc_type (8 values), ts (seconds), tag (50 values)."""


def make(rows: int, seed: int = 0, *, queries: int = 1_000) -> Data:
    """Returns the data of a size and seed; the same for the same arguments.

    Args:
        rows: Vectors wanted.
        seed: Seed of all random numbers.
        queries: Queries wanted.
    """
    rng = np.random.default_rng(seed)
    common = _directions(rng, 1)[0]
    topics = _directions(rng, TOPICS)
    centres = _directions(rng, CLUSTERS)
    topic_of = rng.permutation(np.arange(CLUSTERS) % TOPICS)
    weights = np.arange(1, CLUSTERS + 1) ** -_POWER
    total = rows + queries
    clusters = rng.choice(CLUSTERS, total, p=weights / weights.sum()).astype(np.int32)
    vectors = np.empty((total, DIMENSIONS), np.float32)
    order = np.argsort(clusters, kind="stable")
    bounds = np.searchsorted(clusters[order], np.arange(CLUSTERS + 1))
    for cluster in range(CLUSTERS):
        members = order[bounds[cluster] : bounds[cluster + 1]]
        middle = (
            np.sqrt(_COMMON) * common
            + np.sqrt(_TOPIC) * topics[topic_of[cluster]]
            + np.sqrt(_CLUSTER) * centres[cluster]
        )
        vectors[members] = middle + _spread(rng, len(members))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Data(vectors[:rows], vectors[rows:], clusters[:rows], _columns(rng, rows))


def _spread(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Returns what sets the members of one cluster apart: its own subspace, and noise."""
    basis = rng.standard_normal((_RANK, DIMENSIONS), np.float32) / np.float32(DIMENSIONS**0.5)
    inside = rng.standard_normal((count, _RANK), np.float32) / np.float32(_RANK**0.5)
    noise = rng.standard_normal((count, DIMENSIONS), np.float32) / np.float32(DIMENSIONS**0.5)
    return np.float32(_LOCAL**0.5) * (inside @ basis) + np.float32(_NOISE**0.5) * noise


def _directions(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    made = rng.standard_normal((count, DIMENSIONS), np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def _columns(rng: np.random.Generator, rows: int) -> dict[str, NDArray[np.int64]]:
    shares = 1.0 / np.arange(1, TENANTS + 1)
    return {
        "tenant": rng.choice(TENANTS, rows, p=shares / shares.sum()),
        "doc_type": rng.integers(DOC_TYPES, size=rows),
        "ts": rng.integers(_FIRST_TS, _LAST_TS, size=rows),
        "tag": rng.integers(TAGS, size=rows),
    }
