"""Opens segments from their folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.retrieval.vectors import files
from services.retrieval.vectors.files import DamagedSegmentError
from services.retrieval.vectors.graph import Graph
from services.retrieval.vectors.planner import Costs
from services.retrieval.vectors.scan import CodedScan, FloatScan
from services.retrieval.vectors.segment import Segment, quantiser_of
from services.retrieval.vectors.spec import BuildSpec, IndexKind, Tier

if TYPE_CHECKING:
    from services.retrieval.vectors.spec import VectorSegment

CODED = {IndexKind.FLAT, IndexKind.HNSW_SQ8, IndexKind.IVF_SQ8}
"""Kinds that hold 8-bit codes."""
GRAPHS = {IndexKind.HNSW, IndexKind.HNSW_SQ8}


def open_segment(folder: Path, *, tier: Tier = Tier.HOT, is_checked: bool = True) -> VectorSegment:
    """Opens a segment that `build` wrote.

    Args:
        folder: Where it is.
        tier: HOT reads codes and links into memory; WARM maps them from their files.
        is_checked: Whether all bytes are read and held against their checksums (0.3 s a GB); if
            not, only the manifest and the lengths are checked.

    Raises:
        DamagedSegmentError: a file is missing, cut or changed; build the segment again.
    """
    manifest = files.read_manifest(folder)
    for name in manifest["files"]:
        files.check_file(folder, name, manifest, is_deep=is_checked)
    try:
        spec = BuildSpec.from_json(manifest["spec"])
        return _open(folder, manifest, spec, tier)
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedSegmentError(
            f"{files.MANIFEST} does not describe a segment: {error}"
        ) from error


def _open(folder: Path, manifest: dict[str, Any], spec: BuildSpec, tier: Tier) -> Segment:
    is_mapped = tier is Tier.WARM
    resident = 0

    def read(name: str, *, must_map: bool = False) -> Any:
        nonlocal resident
        mapped = is_mapped or must_map
        array = files.open_array(folder, name, manifest, is_mapped=mapped)
        resident += 0 if mapped else array.nbytes
        return array

    is_coded = spec.kind in CODED
    vectors = read("vectors", must_map=is_coded)
    if is_coded:
        found = quantiser_of(manifest, read("quantiser"))
        scan: CodedScan | FloatScan = CodedScan(read("codes"), found, vectors)
    else:
        scan = FloatScan(vectors)
    graph = None
    if spec.kind in GRAPHS:
        graph = Graph(
            read("starts"), read("links"), read("upper"), read("upper_links"),
            int(manifest["most_links"]),
        )  # fmt: skip
    size = sum(each["bytes"] for each in manifest["files"].values())
    return Segment(spec, vectors, scan, graph, manifest["measured"], size, resident, Costs())
