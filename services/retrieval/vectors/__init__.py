"""The vector engine: segments of vectors on disk, and searches in them under filters.

It knows arrays and folders only: no tables, no documents, no permissions. `build` writes a segment,
`open_segment` opens one, `VectorSegment.search` searches it under an `Allowed` set of rows, and
`search_memtable` searches rows that are in no segment yet.
"""

from services.retrieval.vectors.allowed import Allowed
from services.retrieval.vectors.building import build
from services.retrieval.vectors.encoding import ElementType, decode, unit
from services.retrieval.vectors.files import DamagedSegmentError
from services.retrieval.vectors.memtable import search_memtable
from services.retrieval.vectors.opening import open_segment
from services.retrieval.vectors.spec import (
    BuildSpec,
    IndexKind,
    RecallClass,
    SegmentFound,
    Tier,
    VectorSegment,
    kind_for,
)

__all__ = [
    "Allowed",
    "BuildSpec",
    "DamagedSegmentError",
    "ElementType",
    "IndexKind",
    "RecallClass",
    "SegmentFound",
    "Tier",
    "VectorSegment",
    "build",
    "decode",
    "kind_for",
    "open_segment",
    "search_memtable",
    "unit",
]
