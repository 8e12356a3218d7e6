"""What the engines over sentence-transformers share: loading, precision, tokens, revision."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import transformers

from services.embedding.encoder import LocatedTokens, TokenArray, Tokens
from services.embedding.engines.opening import EngineSettings
from services.embedding.hardware import has_fast_bfloat16
from services.embedding.text_tokenizer import TextTokenizer
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

M = TypeVar("M")

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MODEL_FILES = (".json", ".safetensors", ".bin", ".txt", ".model")


def load(make: Callable[..., M], folder: Path, settings: EngineSettings) -> M:
    """Loads a model of the library, without the network and without code of the model's own.

    Raises:
        InvalidArgumentError: The library cannot load the folder.
        FailedPreconditionError: The device is not there.
    """
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(settings.threads)
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED, "device: no CUDA device, or a build of torch without CUDA"
        )
    try:
        return make(
            str(folder),
            device=settings.device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": dtype_of(settings)},
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError) as error:
        raise InvalidArgumentError.for_field(
            "source",
            f"is no model that sentence-transformers loads ({type(error).__name__}); models with "
            "code of their own are refused",
        ) from error


def dtype_of(settings: EngineSettings) -> torch.dtype:
    """Returns the arithmetic to use: as the own engine for BERT does."""
    if settings.precision != "auto":
        return _PRECISIONS[settings.precision]
    if settings.device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if has_fast_bfloat16() else torch.float32


def revision_of(folder: Path, *more: str) -> str:
    """Hashes every file that decides about vectors, and what else does."""
    digest = hashlib.sha256("\n".join(more).encode())
    for path in sorted(folder.rglob("*")):
        if path.suffix in _MODEL_FILES and path.is_file():
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


class LibraryTokenizer:
    """The tokenizer of a model of the library, without its padding and truncation.

    Args:
        tokenizer: As transformers loads it.
        max_tokens: Limit of the model, special tokens included.

    Raises:
        FailedPreconditionError: It is none of the `tokenizers` library's.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise FailedPreconditionError(
                Reason.NOT_SUPPORTED, "the model's tokenizer has no fast form"
            )
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._texts = TextTokenizer.of_json(backend.to_str(), max_tokens)

    def tokenize(self, texts: Sequence[str], prompt: str) -> list[Tokens]:
        """See `TextModel`."""
        return self._texts.tokenize(texts, prompt)

    def locate(self, texts: Sequence[str], prompt: str) -> list[LocatedTokens]:
        """See `TextModel`."""
        return self._texts.locate(texts, prompt)

    def adopt(self, ids: TokenArray) -> Tokens:
        """See `TextModel`."""
        return self._texts.adopt(ids)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `TextModel`."""
        return self._texts.count(texts)


def pad(batch: Sequence[TokenArray], pad_id: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns ids and attention mask, (texts, longest) each."""
    longest = max(map(len, batch))
    ids = np.full((len(batch), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.int64)
    for row, each in enumerate(batch):
        ids[row, : len(each)] = each
        mask[row, : len(each)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def vocabulary_of(model: Any) -> int:
    """Returns how many token ids a model of the library knows."""
    config = getattr(model[0], "auto_model", model[0]).config
    return int(getattr(config, "vocab_size", 0) or len(model.tokenizer))
