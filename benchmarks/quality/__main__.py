"""`python -m benchmarks.quality [--quick] [--json] [--data DIR …] [--PEER-python …]`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.report import report
from benchmarks.suites import ROOT, cairn, suite
from cli.collection_files import read_export
from cli.connection import find_gateway
from cli.evaluation.dataset import Dataset, EvalQuery, read_dataset, sample
from cli.evaluation.metrics import ndcg
from services.gateway.passages import Passage
from services.gateway.pipeline.rerank import read_as

OWN = ROOT / "tests" / "data" / "quality"
PEERS = ("txtai", "llamaindex", "haystack")
DEPTH = 100
QUICK_QUERIES = 30
_EMBED_TEXTS = 64


@dataclass
class Passages:
    """What a collection holds, as it was embedded."""

    texts: list[str] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    """Value of the metadata field that queries filter by; empty: none."""


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, action="append", help="folder as of cairn eval")
    parser.add_argument("--limit", type=int, default=0, help="queries of each set; 0: all")
    parser.add_argument("--data-dir", type=Path, help="a suite that runs; none: one is started")
    parser.add_argument(
        "--prefix", default="bench-", help="of collections; one that is there is taken as it is"
    )
    for peer in PEERS:
        parser.add_argument(f"--{peer}-python", type=Path, help=f"Python with {peer}")
    options = parser.parse_args()
    limit = QUICK_QUERIES if options.quick else options.limit
    pythons = {peer: getattr(options, f"{peer}_python") for peer in PEERS}
    for peer, python in pythons.items():
        if python is None:
            print(f"{peer} is skipped: --{peer}-python names no environment", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cairn-bench-")))
        data_dir = options.data_dir or stack.enter_context(suite(folder / "suite")).data_dir
        for data in options.data or [OWN]:
            rows += _measure(data, data_dir, folder, limit, pythons, options.prefix)
    rows += _means(rows)
    if options.json:
        print(json.dumps(report("quality", rows, seed=0, packages=("cairn-rag",))))
        return
    for row in rows:
        print(f"{row['case']:16} {row['system']:48} {row['metric']:8} {row['value']:.4f}")


def _measure(
    data: Path,
    data_dir: Path,
    folder: Path,
    limit: int,
    pythons: dict[str, Path | None],
    prefix: str,
) -> list[dict[str, Any]]:
    """Returns the rows of one data set."""
    dataset = read_dataset(data)
    queries = sample([query for query in dataset.queries if query.has_relevant], limit)
    collection = f"{prefix}{dataset.name}"
    figures: dict[str, float] = {}
    for mode in ("hybrid", "rerank"):
        text = cairn(
            data_dir,
            *("eval", str(data), "--collection", collection, "--mode", mode, "--keep", "--json"),
            *(("--limit", str(limit)) if limit else ()),
        )
        report = json.loads(text)
        figures[f"cairn, {mode}"] = report["metrics"]["ndcg@10"]
        if report["degraded"]:
            print(f"{dataset.name}, {mode}: degraded {report['degraded']}", file=sys.stderr)
    export = folder / f"{dataset.name}.export"
    cairn(data_dir, "collections", "export", collection, str(export))
    passages = _passages(export, dataset)
    vectors = _embedded(data_dir, collection, [query.text for query in queries])
    for peer, python in pythons.items():
        if python is not None:
            for name, value in _peer(peer, python, folder, queries, passages, vectors).items():
                figures[f"{peer}, {name}"] = value
    own = figures["cairn, rerank"]
    return [
        {
            "case": dataset.name,
            "system": system,
            "metric": "ndcg@10",
            "value": round(value, 4),
            "ratio": round(value / own, 4) if own else 0.0,
            "against": "cairn, rerank",
        }
        for system, value in figures.items()
    ]


def _passages(export: Path, dataset: Dataset) -> Passages:
    """Returns the passages of an exported collection."""
    group_of = {
        each.document_id: str(each.metadata.get("collection", "")) for each in dataset.documents
    }
    found = Passages()
    for message in read_export(export):
        for document in message.documents:
            for chunk in document.chunks:
                text = document.text[chunk.start : chunk.end]
                passage = Passage(
                    chunk_id=chunk.chunk_id,
                    document_id=document.document_id,
                    document_version=0,
                    collection="",
                    ordinal=0,
                    start=chunk.start,
                    end=chunk.end,
                    text=text,
                    title=document.title,
                    heading_path=tuple(chunk.heading_path),
                )
                found.texts.append(read_as(passage))
                found.vectors.append(np.frombuffer(chunk.vector.data, "<f4"))
                found.documents.append(document.document_id)
                found.groups.append(group_of.get(document.document_id, ""))
    return found


def _embedded(data_dir: Path, collection: str, texts: Sequence[str]) -> list[np.ndarray]:
    connection = find_gateway(data_dir)
    rows: list[np.ndarray] = []
    with httpx.Client(
        base_url=connection.url,
        headers={"Authorization": f"Bearer {connection.api_key}"},
        timeout=120,
        trust_env=False,
    ) as client:
        model = client.get("/v1/collections/" + collection).json()["collection"]["embedding_model"]
        for first in range(0, len(texts), _EMBED_TEXTS):
            body = {"model": model, "input": list(texts[first : first + _EMBED_TEXTS])}
            reply = client.post("/openai/v1/embeddings", json=body)
            reply.raise_for_status()
            rows += [np.array(each["embedding"], np.float32) for each in reply.json()["data"]]
    return rows


def _peer(
    peer: str,
    python: Path,
    folder: Path,
    queries: Sequence[EvalQuery],
    passages: Passages,
    vectors: Sequence[np.ndarray],
) -> dict[str, float]:
    """Returns nDCG@10 of each of a peer's ways."""
    scores: dict[str, list[float]] = {}
    for group in dict.fromkeys(query.filter for query in queries):
        chosen = [n for n, query in enumerate(queries) if query.filter == group]
        rows = [n for n, name in enumerate(passages.groups) if not group or f'"{name}"' in group]
        task = folder / f"{peer}-task"
        shutil.rmtree(task, ignore_errors=True)
        task.mkdir()
        texts = {
            "texts": [passages.texts[n] for n in rows],
            "queries": [queries[n].text for n in chosen],
            "depth": DEPTH,
        }
        (task / "task.json").write_text(json.dumps(texts), "utf-8")
        stacked = [passages.vectors[n] for n in rows] + [vectors[n] for n in chosen]
        np.save(task / "vectors.npy", np.stack(stacked))
        script = Path(__file__).parent / "peers" / f"{peer}_pipeline.py"
        done = subprocess.run(
            [str(python), str(script), str(task)],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            print(f"{peer} failed with exit code {done.returncode}", file=sys.stderr)
            return {}
        runs: dict[str, list[list[int]]] = json.loads((task / "runs.json").read_text("utf-8"))
        for name, rankings in runs.items():
            for number, ranking in zip(chosen, rankings, strict=True):
                ids = list(dict.fromkeys(passages.documents[rows[place]] for place in ranking))
                scores.setdefault(name, []).append(ndcg(ids, queries[number].grades, 10))
    return {name: sum(values) / len(values) for name, values in scores.items()}


def _means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the mean of each system over the sets that it was measured on, if all."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["system"], []).append(row["value"])
    own = found.get("cairn, rerank", [])
    return [
        {
            "case": "mean",
            "system": system,
            "metric": "ndcg@10",
            "value": round(sum(values) / len(values), 4),
            "ratio": round(sum(values) / sum(own), 4),
            "against": "cairn, rerank",
        }
        for system, values in found.items()
        if len(cases) > 1 and len(values) == len(cases)
    ]


if __name__ == "__main__":
    main()
