"""txtai over given vectors, as its `Embeddings` come: hybrid search with its own BM25."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from txtai.embeddings import Embeddings


def main(folder: Path) -> None:
    """Reads the task from a folder and writes rankings of chunk numbers beside it."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    vectors = np.load(folder / "vectors.npy")
    known = dict(zip((*task["texts"], *task["queries"]), vectors, strict=True))

    def transform(texts: list[str]) -> np.ndarray:
        return np.stack([known[text] for text in texts])

    runs = {}
    for name, options in (("default (dense)", {}), ("hybrid", {"hybrid": True})):
        embeddings = Embeddings({"method": "external", "transform": transform, **options})
        embeddings.index(list(enumerate(task["texts"])))
        runs[name] = [
            [int(number) for number, _ in embeddings.search(query, task["depth"])]
            for query in task["queries"]
        ]
    (folder / "runs.json").write_text(json.dumps(runs), "utf-8")


main(Path(sys.argv[1]))
