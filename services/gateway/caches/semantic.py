"""Questions that were answered, found by the likeness of their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.gateway.caches.likeness import Sense, is_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.pipeline.ports import Vector

_FORMATS = {0: "<f4", 1: "<f4", 2: "<f2", 3: "i1"}
"""Element types, as `cairn.types.v1.ElementType` numbers them, whose vectors compare by cosine."""
_FIRST_ROWS = 16
MAX_ROWS = 4_096
"""Questions of one partition; the oldest leave."""
_CANDIDATES = 4


@dataclass(slots=True)
class _Partition:
    """Questions that may have each other's answers."""

    rows: Any
    """(capacity, dimensions) float32 unit vectors; the first `len(keys)` rows are in use."""
    keys: list[str]
    senses: list[Sense]


class SimilarQuestions:
    """Finds questions like another one, within what may share answers.

    Args:
        threshold: Least cosine of a hit, 0..1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._partitions: dict[str, _Partition] = {}
        self._partition_of: dict[str, str] = {}

    def add(self, partition: str, key: str, vector: Vector, sense: Sense) -> int:
        """Notes an answered question; returns about the bytes it takes, 0 if it cannot be noted."""
        row = unit_row(vector)
        if row is None:
            return 0
        self.forget(key)
        found = self._partitions.get(partition)
        if found is None or found.rows.shape[1] != len(row):
            found = self._partitions[partition] = _new_partition(len(row))
        if len(found.keys) == MAX_ROWS:
            self.forget(found.keys[0])
            found = self._partitions.setdefault(partition, found)
        if len(found.keys) == len(found.rows):
            found.rows = _grown(found.rows)
        found.rows[len(found.keys)] = row
        found.keys.append(key)
        found.senses.append(sense)
        self._partition_of[key] = partition
        return 4 * len(row) + 200

    def find(self, partition: str, vector: Vector, sense: Sense) -> Sequence[tuple[str, float]]:
        """Returns keys of questions that may be the same, with their cosines, best first."""
        found = self._partitions.get(partition)
        row = unit_row(vector) if found is not None else None
        if found is None or row is None or found.rows.shape[1] != len(row):
            return ()
        cosines = found.rows[: len(found.keys)] @ row
        near = [int(place) for place in (cosines >= self._threshold).nonzero()[0]]
        near.sort(key=lambda place: -float(cosines[place]))
        return [
            (found.keys[place], min(1.0, float(cosines[place])))
            for place in near[:_CANDIDATES]
            if is_same(sense, found.senses[place])
        ]

    def forget(self, key: str) -> None:
        """Forgets a question."""
        partition = self._partition_of.pop(key, None)
        found = self._partitions.get(partition) if partition is not None else None
        if partition is None or found is None or key not in found.keys:
            return
        place, last = found.keys.index(key), len(found.keys) - 1
        found.rows[place] = found.rows[last]
        found.keys[place], found.senses[place] = found.keys[last], found.senses[last]
        found.keys.pop()
        found.senses.pop()
        if not found.keys:
            del self._partitions[partition]

    def __len__(self) -> int:
        return len(self._partition_of)


def unit_row(vector: Vector) -> Any:
    """Returns a vector at length 1 as float32; None when it does not compare by cosine."""
    import numpy as np  # noqa: PLC0415 - a gateway without semantic hits does without it

    form = _FORMATS.get(vector.element_type)
    if form is None:
        return None
    row = np.frombuffer(vector.data, form).astype(np.float32)
    length = float(np.linalg.norm(row))
    if len(row) != vector.dimensions or not length or not np.isfinite(length):
        return None
    return row / length


def _new_partition(dimensions: int) -> _Partition:
    import numpy as np  # noqa: PLC0415 - as above

    return _Partition(np.empty((_FIRST_ROWS, dimensions), np.float32), [], [])


def _grown(rows: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - as above

    grown = np.empty((2 * len(rows), rows.shape[1]), np.float32)
    grown[: len(rows)] = rows
    return grown
