"""Cross-encoders: models that read a query and a passage together and return one score.

Ids carry in one bit to which of the two a token belongs, so that pairs travel through the queue as
texts do.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder as LibraryCrossEncoder

from services.embedding.encoder import (
    Checkpoint,
    LocatedTokens,
    ModelInfo,
    Output,
    TokenArray,
    Tokens,
    VectorArray,
)
from services.embedding.engines.opening import EngineSettings
from services.embedding.engines.transformers_library import (
    LibraryTokenizer,
    dtype_of,
    load,
    pad,
    revision_of,
    vocabulary_of,
)
from services.embedding.hardware import return_free_memory
from services.embedding.options import InputKind
from services.rpc.errors import FailedPreconditionError, Reason

_OF_PASSAGE = 1 << 30
_MAX_TOKENS = 512
_PASSAGE_CHARACTERS = 16
"""Characters per token of the limit that are split: what is beyond would be cut anyway."""


class CrossEncoder:
    """See the module's text.

    Args:
        folder: Folder of the model.
        settings: Device, precision, threads.

    Raises:
        InvalidArgumentError: The library cannot load the folder.
        FailedPreconditionError: The model does not return one score.
    """

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        model = load(LibraryCrossEncoder, folder, settings)
        if model.num_labels != 1:
            raise FailedPreconditionError(
                Reason.NOT_SUPPORTED,
                f"the model returns {model.num_labels} numbers for a pair; a reranker returns one",
            )
        self._model: Any = model.eval()
        self._device = settings.device
        stated = model.max_seq_length or _MAX_TOKENS
        max_tokens = int(stated) if stated <= 1 << 20 else _MAX_TOKENS
        self._tokenizer = LibraryTokenizer(model.tokenizer, max_tokens)
        self._library_tokenizer: Any = model.tokenizer
        # The library's tokenizers keep their limit as state.
        self._lock = threading.Lock()
        precision = str(dtype_of(settings)).removeprefix("torch.")
        self.info = ModelInfo(
            revision=revision_of(folder, precision),
            dimensions=1,
            max_tokens=max_tokens,
            vocabulary_size=vocabulary_of(model),
            engine="cross-encoder",
            device=settings.device,
            precision=precision,
            outputs=frozenset({Output.SCORE}),
        )
        return_free_memory()

    def tokenize_pairs(self, query: str, passages: Sequence[str]) -> list[Tokens]:
        """See `PairModel`."""
        if not passages:
            return []
        characters = _PASSAGE_CHARACTERS * self.info.max_tokens
        with self._lock:
            found = self._library_tokenizer(
                [query[:characters]] * len(passages),
                [passage[:characters] for passage in passages],
                truncation="longest_first",
                max_length=self.info.max_tokens,
                return_token_type_ids=True,
            )
        pairs: list[Tokens] = []
        for ids, kinds in zip(found["input_ids"], found["token_type_ids"], strict=True):
            marked = np.array(ids, dtype=np.int32) | (np.array(kinds, dtype=np.int32) * _OF_PASSAGE)
            is_full = len(ids) >= self.info.max_tokens
            pairs.append(Tokens(marked, is_truncated=is_full, content_count=len(ids)))
        return pairs

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """See `TextModel`."""
        del kind
        return self._tokenizer.tokenize(texts, "")

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """See `TextModel`."""
        del kind
        return self._tokenizer.locate(texts, "")

    def adopt(self, ids: TokenArray) -> Tokens:
        """See `TextModel`."""
        return self._tokenizer.adopt(ids)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `TextModel`."""
        return self._tokenizer.count(texts)

    @torch.inference_mode()
    def encode(
        self, batch: Sequence[TokenArray], output: Output, checkpoint: Checkpoint | None = None
    ) -> list[VectorArray]:
        """See `Encoder`: one number for each pair, as the model's own activation leaves it."""
        del output  # there is only one
        if self._model is None:
            raise RuntimeError("the encoder is closed")
        if checkpoint is not None:
            checkpoint()
        marked, mask = pad(batch, self._tokenizer.pad_id, self._device)
        features = {
            "input_ids": marked & (_OF_PASSAGE - 1),
            "attention_mask": mask,
            "token_type_ids": (marked & _OF_PASSAGE) >> 30,
        }
        wanted = set(self._library_tokenizer.model_input_names)
        found = self._model.forward(
            {name: each for name, each in features.items() if name in wanted}
        )
        scores = self._model.activation_fn(found["scores"].float()).reshape(-1, 1)
        return list(scores.cpu().numpy())

    def close(self) -> None:
        """See `TextModel`."""
        self._model = None
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        return_free_memory()
