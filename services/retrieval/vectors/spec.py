"""What a segment of vectors is made of, and what a search in it returns."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed


class IndexKind(enum.StrEnum):
    """How the vectors of a segment are searched; the values are what callers write."""

    FLAT = "flat"
    """8-bit codes, compared one by one."""
    HNSW = "hnsw"
    """A graph over float vectors."""
    HNSW_SQ8 = "hnsw_sq8"
    """A graph over 8-bit codes."""
    IVF_FLAT = "ivf_flat"
    """Lists around centroids, float vectors."""
    IVF_SQ8 = "ivf_sq8"
    """Lists around centroids, 8-bit codes."""
    IVF_PQ = "ivf_pq"
    """Lists around centroids, product-quantised codes, refined by the float vectors on disk."""
    RABITQ = "rabitq"
    """Lists around centroids, one bit a dimension, refined by the float vectors on disk."""


class RecallClass(enum.IntEnum):
    """How much of the truth must be found, numbered as in the contract."""

    EXACT = 1
    HIGH = 2
    FAST = 3


class Tier(enum.StrEnum):
    """Where an open segment lives."""

    HOT = "hot"
    """Codes and links in memory, float vectors mapped from the file."""
    WARM = "warm"
    """Everything mapped from files."""


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """How a segment is to be built."""

    kind: IndexKind
    dimensions: int
    links: int = 32
    """Links a node of a graph has on its upper levels (M); twice as many on the lowest."""
    build_effort: int = 200
    """Nodes kept in sight while a graph is built (efConstruction)."""
    lists: int = 0
    """Lists of an IVF kind; 0: four times the root of the row count."""
    code_bytes: int = 0
    """Bytes of a product-quantised vector; 0: a quarter of the dimensions."""
    sample: int = 200
    """Rows used as queries to measure the recall of what was built; 0: none."""

    def to_json(self) -> str:
        """Returns the specification as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BuildSpec:
        """Reads a specification; unknown keys are ignored, so that older code opens newer files.

        Raises:
            ValueError: not such JSON, or an unknown kind.
        """
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("a build specification is a JSON object")  # noqa: TRY004 - of a text
        known = {each.name for each in fields(cls)}
        values: dict[str, Any] = {key: value for key, value in found.items() if key in known}
        try:
            values["kind"] = IndexKind(values["kind"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a build specification: {error}") from error


def kind_for(rows: int) -> IndexKind:
    """Returns the kind that suits a number of rows when none was asked for.

    Up to 20,000 rows comparing all of them takes as long as walking a graph.
    """
    return IndexKind.FLAT if rows <= 20_000 else IndexKind.HNSW_SQ8


@dataclass(slots=True)
class SegmentFound:
    """What a search in one segment found, best first. Not frozen: made once for every search."""

    rows: NDArray[np.int64]
    """(queries, k) rows of the segment; -1 where there are no more."""
    scores: NDArray[np.float32]
    """(queries, k) exact products; -inf where there is no row."""
    plan: str
    """How it was searched: exact, graph, filtered_graph, ivf, …"""
    why: str
    compared: int
    """Vectors compared, over all queries."""


class VectorSegment(Protocol):
    """A closed set of vectors on disk, open for searching. Safe from many threads."""

    @property
    def rows(self) -> int:
        """Vectors in it."""
        ...

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def spec(self) -> BuildSpec:
        """How it was built."""
        ...

    @property
    def measured(self) -> dict[str, float]:
        """Figures taken when it was built: recall, recall_loss, bytes_per_vector, seconds."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, without pages of mapped files."""
        ...

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of its files."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        k: int,
        recall: RecallClass = RecallClass.HIGH,
    ) -> SegmentFound:
        """Returns for each query the k allowed rows nearest to it by inner product.

        Args:
            queries: (q, dimensions) float32.
            allowed: Which rows may be returned; None: all.
            k: Rows wanted, at least 1.
            recall: How much of the truth must be found.
        """
        ...

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Returns the vectors of rows, (m, dimensions) float32."""
        ...

    def trim(self) -> None:
        """Gives pages of mapped files back to the system's cache; cheap, call it now and then."""
        ...

    def close(self) -> None:
        """Lets go of memory and files; searches that run finish first."""
        ...
