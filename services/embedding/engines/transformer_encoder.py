"""Any embedder that sentence-transformers loads: slower than our own loop, knows every model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from sentence_transformers import SentenceTransformer

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
from services.embedding.model_folder import is_matryoshka, prompts_of
from services.embedding.options import InputKind
from services.rpc.errors import FailedPreconditionError, Reason

_UNLIMITED = 1 << 20
"""Tokenizers without a limit state one of about 10^30."""
_USUAL_MAX_TOKENS = 512


class TransformerEncoder:
    """See the module's text.

    Args:
        folder: Folder of the model.
        settings: Device, precision, threads.

    Raises:
        InvalidArgumentError: The library cannot load the folder.
        FailedPreconditionError: The model does what this engine does not.
    """

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        model = load(SentenceTransformer, folder, settings)
        self._model: SentenceTransformer | None = model.eval()
        self._device = settings.device
        prompts = prompts_of(model.prompts, model.default_prompt_name or "")
        _check_prompts(model, prompts)
        limit = model.max_seq_length or _USUAL_MAX_TOKENS
        max_tokens = int(limit) if limit < _UNLIMITED else _USUAL_MAX_TOKENS
        self._tokenizer = LibraryTokenizer(model.tokenizer, max_tokens)
        precision = str(dtype_of(settings)).removeprefix("torch.")
        self.info = ModelInfo(
            revision=revision_of(folder, precision),
            dimensions=int(model.get_embedding_dimension() or 0),
            max_tokens=max_tokens,
            vocabulary_size=vocabulary_of(model),
            engine="sentence-transformers",
            device=settings.device,
            precision=precision,
            supports_dimensions=is_matryoshka(folder),
            prompts=prompts,
        )
        return_free_memory()

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """See `TextModel`."""
        return self._tokenizer.tokenize(texts, self.info.prompts.get(kind, ""))

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """See `TextModel`."""
        return self._tokenizer.locate(texts, self.info.prompts.get(kind, ""))

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
        """See `Encoder`. There is one checkpoint, before the pass."""
        if self._model is None:
            raise RuntimeError("the encoder is closed")
        if checkpoint is not None:
            checkpoint()
        ids, mask = pad(batch, self._tokenizer.pad_id, self._device)
        features: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": torch.zeros_like(ids),
        }
        wanted = set(self._model.tokenizer.model_input_names)
        found = self._model.forward(
            {name: each for name, each in features.items() if name in wanted}
        )
        pooled = list(found["sentence_embedding"].float().cpu().numpy())
        if output is Output.POOLED:
            return pooled
        rows = F.normalize(found["token_embeddings"].float(), dim=2).cpu().numpy()
        parts = [rows[place, : len(each)] for place, each in enumerate(batch)]
        if output is Output.POOLED_AND_TOKENS:
            return [np.vstack(pair) for pair in zip(pooled, parts, strict=True)]
        return parts

    def close(self) -> None:
        """See `TextModel`."""
        self._model = None
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        return_free_memory()


def _check_prompts(model: SentenceTransformer, prompts: dict[InputKind, str]) -> None:
    """Refuses models whose prompt is left out of the pooling: ids do not tell where it ends."""
    leaves_out = any(not getattr(module, "include_prompt", True) for module in model)
    if prompts and leaves_out:
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            "the sentence-transformers engine does not run this model: it leaves its prompt out of "
            "the pooling",
        )
