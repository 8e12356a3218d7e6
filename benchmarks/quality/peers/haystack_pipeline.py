"""Haystack over given vectors: embedding and BM25 retrievers, joined as its joiner does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from haystack import Document
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import (
    InMemoryBM25Retriever,
    InMemoryEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore


def main(folder: Path) -> None:
    """Reads the task from a folder and writes rankings of chunk numbers beside it."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    vectors = np.load(folder / "vectors.npy").tolist()
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(id=str(number), content=text, embedding=vectors[number])
            for number, text in enumerate(task["texts"])
        ]
    )
    dense = InMemoryEmbeddingRetriever(store, top_k=task["depth"])
    words = InMemoryBM25Retriever(store, top_k=task["depth"])
    joiners = {
        "joiner default (concatenate)": DocumentJoiner(),
        "joiner, reciprocal_rank_fusion": DocumentJoiner(join_mode="reciprocal_rank_fusion"),
    }
    runs: dict[str, list[list[int]]] = {name: [] for name in ("dense", *joiners)}
    for number, query in enumerate(task["queries"]):
        near = dense.run(query_embedding=vectors[len(task["texts"]) + number])["documents"]
        by_words = words.run(query=query)["documents"]
        runs["dense"].append([int(each.id) for each in near])
        for name, joiner in joiners.items():
            joined = joiner.run(documents=[near, by_words])["documents"]
            runs[name].append([int(each.id) for each in joined])
    (folder / "runs.json").write_text(json.dumps(runs), "utf-8")


main(Path(sys.argv[1]))
