"""Builds files of a view in a process: `python -m services.retrieval.snapshots.builder JOB`.

JOB is a file that says what to do. The process runs at low priority and may be killed at any time:
what it makes is there whole, or not at all. It ends with the process that started it, whose end of
the standard input closes then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.snapshots.compaction import compact, live_chunks
from services.retrieval.snapshots.view_folder import Identity, Placed, Stacked, ViewFolder
from services.retrieval.vectors import BuildSpec, Tier, build, files

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Job:
    """What to build."""

    folder: str
    """Folder of the view."""
    spec: str
    """Specification of the segment, as JSON."""
    segment: str
    """Name of the segment to build."""
    merged: tuple[str, ...] = ()
    """Segments whose rows it gets, one after the other."""
    state: str = ""
    """State to be made anew without its dead rows; its rows go into the segment."""
    identity: dict[str, Any] | None = None
    """Whose state it is."""
    least_rows: int = 0
    """Fewer rows get no segment: they are the newest rows of the state."""
    threads: int = 1
    niceness: int = 15
    """How far the process stands back behind others."""


def write(job: Job, path: Path) -> None:
    """Writes a job for the process to read."""
    path.write_text(json.dumps(asdict(job)), "utf-8")


def run(job: Job) -> None:
    """Does a job."""
    folder = ViewFolder(Path(job.folder))
    if job.state:
        _compact(folder, job)
    else:
        rows = Stacked([_vectors(folder.segment(each)) for each in job.merged], None)
        _build(rows, folder, job)


def _compact(folder: ViewFolder, job: Job) -> None:
    identity = Identity(**(job.identity or {}))
    # Its bytes were checked by who wrote it, moments ago.
    rows, state = folder.read(job.state, identity, Tier.WARM, is_checked=False)
    arrays, about = compact(rows, state["about"])
    chosen = live_chunks(rows)
    sources = [_vectors(folder.segment(each["name"])) for each in state["segments"]]
    sources.append(rows.memtable.vectors(rows.chunk_count))
    vectors = Stacked(sources, chosen)
    segments: Sequence[Placed] = ()
    if len(vectors) >= job.least_rows:
        _build(vectors, folder, job)
        segments = (Placed(job.segment, 0, len(vectors)),)
        arrays["memtable"] = np.empty((0, identity.dimensions), np.float32)
    else:
        arrays["memtable"] = vectors[0 : len(vectors)]
    about["memtable_first"] = segments[0].last if segments else 0
    folder.save(arrays, about, segments, identity)


def _build(vectors: Stacked, folder: ViewFolder, job: Job) -> None:
    spec = BuildSpec.from_json(job.spec)
    build(vectors.as_array(), spec, folder.segment(job.segment), threads=job.threads)


def _vectors(segment: Path) -> NDArray[np.float32]:
    manifest = files.read_manifest(segment)
    return files.open_array(segment, "vectors", manifest, is_mapped=True)


def _end_with_parent() -> None:
    """Ends the process when the other end of the standard input is gone."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(3)


def main() -> None:
    """Entry of the process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    body = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    body["merged"] = tuple(body["merged"])
    job = Job(**body)
    with contextlib.suppress(OSError):
        os.nice(job.niceness)
    run(job)


if __name__ == "__main__":
    main()
