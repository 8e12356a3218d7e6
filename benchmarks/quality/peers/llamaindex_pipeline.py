"""LlamaIndex over given vectors: its default retriever, and its fusion with BM25."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.retrievers.bm25 import BM25Retriever

KNOWN: dict[str, list[float]] = {}


class Given(BaseEmbedding):
    """Vectors that were made before."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return KNOWN[query]

    def _get_text_embedding(self, text: str) -> list[float]:
        return KNOWN[text]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return KNOWN[query]


def main(folder: Path) -> None:
    """Reads the task from a folder and writes rankings of chunk numbers beside it."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    vectors = np.load(folder / "vectors.npy").tolist()
    KNOWN.update(zip((*task["texts"], *task["queries"]), vectors, strict=True))
    nodes = [
        TextNode(id_=str(number), text=text, embedding=KNOWN[text])
        for number, text in enumerate(task["texts"])
    ]
    depth = min(task["depth"], len(nodes))
    index = VectorStoreIndex(nodes, embed_model=Given())
    dense = index.as_retriever(similarity_top_k=depth)
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=depth)
    fused: dict[str, Any] = {"default (dense)": dense}
    for mode in ("reciprocal_rerank", "relative_score"):
        fused[f"fusion, {mode}"] = QueryFusionRetriever(
            [dense, words],
            llm=MockLLM(),
            similarity_top_k=depth,
            num_queries=1,
            mode=mode,
            use_async=False,
        )
    runs = {
        name: [
            [int(found.node.node_id) for found in retriever.retrieve(query)]
            for query in task["queries"]
        ]
        for name, retriever in fused.items()
    }
    (folder / "runs.json").write_text(json.dumps(runs), "utf-8")


main(Path(sys.argv[1]))
