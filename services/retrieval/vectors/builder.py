"""Builds a segment in a process of its own: `python -m services.retrieval.vectors.builder FOLDER`.

Reads `FOLDER.request.json` {"vectors": path, "rows": n, "first": 0, "spec": {…}, "threads": 1}: raw
little-endian float32 rows. Prints the share done, a line each time it grew by a percent. It runs at
the lowest priority and may be killed at any time: the folder is there whole, or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from services.retrieval.vectors.building import build
from services.retrieval.vectors.spec import BuildSpec

_NICENESS = 15


def request_path(folder: Path) -> Path:
    """Returns the file that says what to build in a folder."""
    return folder.with_name(f"{folder.name}.request.json")


def write_request(
    folder: Path, vectors: Path, rows: int, spec: BuildSpec, *, first: int = 0, threads: int = 1
) -> None:
    """Writes what is to be built.

    Args:
        folder: Where the segment shall be.
        vectors: File of raw little-endian float32 rows.
        rows: Rows to build over.
        spec: What to build.
        first: Row of the file to begin with.
        threads: Threads for building graphs.
    """
    body = {
        "vectors": str(vectors),
        "rows": rows,
        "first": first,
        "spec": json.loads(spec.to_json()),
        "threads": threads,
    }
    request_path(folder).write_text(json.dumps(body), "utf-8")


def run(folder: Path) -> None:
    """Builds what the folder's request says, and removes the request."""
    body = json.loads(request_path(folder).read_text("utf-8"))
    spec = BuildSpec.from_json(json.dumps(body["spec"]))
    shape = (int(body["rows"]), spec.dimensions)
    first = int(body["first"]) * spec.dimensions * 4
    vectors = (
        np.memmap(body["vectors"], "<f4", "r", offset=first, shape=shape)
        if shape[0]
        else np.empty(shape, np.float32)
    )
    said = 0

    def tell(share: float) -> None:
        nonlocal said
        if int(share * 100) > said:
            said = int(share * 100)
            print(f"{share:.2f}", flush=True)  # noqa: T201 - the parent reads it

    build(vectors, spec, folder, tell, threads=int(body["threads"]))
    request_path(folder).unlink(missing_ok=True)


def main() -> None:
    """Entry of the process."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    run(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
