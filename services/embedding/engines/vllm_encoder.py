"""Large embedders by vLLM's pooling runner, which batches by itself in processes of its own.

Runs where vLLM is installed, in an environment of its own. Texts are split here and arrive in the
engine as ids. Cancelling a batch takes its texts out of the engine.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.embedding.encoder import (
    LocatedTokens,
    ModelInfo,
    Output,
    TokenArray,
    Tokens,
    VectorArray,
)
from services.embedding.engines.transformers_library import revision_of
from services.embedding.model_folder import is_matryoshka, prompts_in
from services.embedding.options import InputKind
from services.embedding.text_tokenizer import TextTokenizer
from services.rpc.errors import InvalidArgumentError, Reason, UnavailableError
from services.rpc.orphan_guard import guard_children

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

_ENVIRONMENT = {
    # A forked child would inherit gRPC's threads and locks.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
_TASKS = {Output.POOLED: "embed", Output.TOKENS: "token_embed"}


class VllmEncoder:
    """See the module's text. Made in a thread: it takes half a minute.

    Args:
        folder: Folder of the model.
        precision: "auto", "float32", "bfloat16" or "float16".

    Raises:
        InvalidArgumentError: vLLM does not load the folder.
    """

    places = 8
    """Enough that the engine always has a batch to fill; what waits, waits in our queue."""

    def __init__(self, folder: Path, *, precision: str = "auto") -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        guard_children()
        if not (folder / "tokenizer.json").is_file():
            raise InvalidArgumentError.for_field("source", "has no tokenizer.json")
        llm = _start(folder, precision)
        self._llm: AsyncLLM | None = llm
        config = llm.model_config
        self._tokenizer = TextTokenizer(folder / "tokenizer.json", config.max_model_len)
        self.info = ModelInfo(
            revision=revision_of(folder, "vllm", str(config.dtype)),
            dimensions=int(config.get_hidden_size()),
            max_tokens=int(config.max_model_len),
            vocabulary_size=int(config.get_vocab_size()),
            engine="vllm",
            device="vllm",
            precision=str(config.dtype).removeprefix("torch."),
            supports_dimensions=is_matryoshka(folder),
            prompts=prompts_in(folder),
            joins_outputs=False,
        )

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

    async def encode_concurrently(
        self, batch: Sequence[TokenArray], output: Output
    ) -> list[VectorArray]:
        """See `ConcurrentEncoder`."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._encode(ids, output)) for ids in batch]
        return [task.result() for task in tasks]

    async def disconnect(self) -> None:
        """See `ConcurrentEncoder`."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """See `TextModel`. Ends the engine's processes."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()
            # Its __del__ shuts down once more, as the interpreter ends and its modules are gone.
            llm.shutdown = lambda: None

    async def _encode(self, ids: TokenArray, output: Output) -> VectorArray:
        if output is Output.POOLED_AND_TOKENS:
            # vLLM gives one of the two for a request; it reads such a text twice.
            pooled = await self._encode(ids, Output.POOLED)
            return np.vstack((pooled, await self._encode(ids, Output.TOKENS)))
        from vllm import PoolingParams  # noqa: PLC0415 - imported already # pyright: ignore[reportMissingImports]
        from vllm.inputs import (  # noqa: PLC0415 - as above # pyright: ignore[reportMissingImports]
            tokens_input,
        )

        if self._llm is None or self._llm.errored:
            raise UnavailableError(Reason.NOT_READY, "the vllm engine has ended")
        parameters = PoolingParams(task=_TASKS[output], use_activation=False)
        prompt = tokens_input(ids.tolist())
        result: Any = None
        async for result in self._llm.encode(prompt, parameters, uuid.uuid4().hex):  # noqa: B007 - the last one counts
            pass
        vector = result.outputs.data.float().numpy()
        if output is Output.TOKENS:
            lengths = np.linalg.norm(vector, axis=1, keepdims=True)
            vector = vector / np.where(lengths > 0, lengths, 1)
        return vector


def _start(folder: Path, precision: str) -> AsyncLLM:
    from vllm.engine.arg_utils import (  # noqa: PLC0415 - heavy and optional # pyright: ignore[reportMissingImports]
        AsyncEngineArgs,
    )
    from vllm.v1.engine.async_llm import (  # noqa: PLC0415 - heavy and optional # pyright: ignore[reportMissingImports]
        AsyncLLM,
    )

    try:
        return AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(folder),
                runner="pooling",
                # Its own choice for weights in float32 is float16, which CPUs only emulate.
                dtype="bfloat16" if precision == "auto" else precision,
                disable_log_stats=True,
            )
        )
    except Exception as error:
        raise InvalidArgumentError.for_field(
            "source", f"vLLM does not load this model ({type(error).__name__})"
        ) from error
