"""Opens segments from their folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import faiss_lists, files, quantiser
from services.retrieval.vectors.faiss_lists import FaissLists
from services.retrieval.vectors.files import DamagedSegmentError
from services.retrieval.vectors.gpu import SERVING
from services.retrieval.vectors.graph import Graph
from services.retrieval.vectors.graph_index import GraphIndex
from services.retrieval.vectors.lists import ListIndex, Lists
from services.retrieval.vectors.planner import CODED, COMPRESSED, GRAPHS, LISTS, Profile, Rung
from services.retrieval.vectors.quantiser import Quantiser
from services.retrieval.vectors.scan import CodedScan, FloatScan
from services.retrieval.vectors.segment import Index, Parts, Segment
from services.retrieval.vectors.spec import BuildSpec, Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.spec import VectorSegment


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
        return _Opening(folder, manifest, spec, is_mapped=tier is Tier.WARM).open()
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedSegmentError(f"{files.MANIFEST} describes no segment: {error}") from error


class _Opening:
    """Opens one segment, and counts the bytes that it reads into memory."""

    def __init__(
        self, folder: Path, manifest: dict[str, Any], spec: BuildSpec, *, is_mapped: bool
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._spec = spec
        self._is_mapped = is_mapped
        self._resident = 0

    def open(self) -> Segment:
        manifest, spec = self._manifest, self._spec
        # A graph and lists over floats read them all the time; elsewhere few rows are wanted.
        is_coded = spec.kind in CODED
        vectors = self._read("vectors", must_map=is_coded or spec.kind in COMPRESSED)
        scan: CodedScan | FloatScan = FloatScan(vectors)
        if is_coded:
            bounds, about = self._read("quantiser"), manifest["quantiser"]
            low, step = np.ascontiguousarray(bounds[0]), np.ascontiguousarray(bounds[1])
            made = Quantiser(low, step, about["max_residual"], about["mean_residual"])
            scan = CodedScan(self._read("codes"), made, vectors)
        index, lists = self._index(scan, vectors)
        sizes = sum(each["bytes"] for each in manifest["files"].values())
        profile = Profile(
            spec.kind,
            len(vectors),
            quantiser.width(spec.dimensions),
            lists,
            tuple(Rung(int(e), float(r), float(c)) for e, r, c in manifest["ladder"]),
        )
        gpu = None if self._is_mapped else SERVING.scan(vectors)
        parts = Parts(vectors, scan, index, manifest["measured"], sizes, self._resident, gpu)
        return Segment(spec, profile, parts)

    def _index(
        self, scan: CodedScan | FloatScan, vectors: NDArray[np.float32]
    ) -> tuple[Index | None, int]:
        kind = self._spec.kind
        if kind in GRAPHS:
            graph = Graph(
                self._read("starts"), self._read("links"), self._read("upper"),
                self._read("upper_links"), int(self._manifest["most_links"]),
            )  # fmt: skip
            return GraphIndex(graph, scan, float(self._manifest["longest"])), 0
        if kind in COMPRESSED and isinstance(scan, FloatScan) and len(vectors):
            if not self._is_mapped:
                self._resident += self._manifest["files"][faiss_lists.FILE]["bytes"]
            found = faiss_lists.read(self._folder, is_mapped=self._is_mapped)
            return FaissLists(kind, found, scan), int(found.nlist)
        if kind in LISTS and len(vectors):
            found = Lists(self._read("centroids"), self._read("starts"), self._read("members"))
            return ListIndex(found, scan), len(found.centroids)
        return None, 0

    def _read(self, name: str, *, must_map: bool = False) -> Any:
        is_mapped = self._is_mapped or must_map
        array = files.open_array(self._folder, name, self._manifest, is_mapped=is_mapped)
        self._resident += 0 if is_mapped else array.nbytes
        return array
