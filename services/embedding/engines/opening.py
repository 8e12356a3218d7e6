"""Which engine runs a model, and how it is made: here engines are chosen and imported.

"bert" runs BERT-family encoders fastest; what it does not run goes to sentence-transformers where
that is installed. Cross-encoders are recognised by their architecture.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedding.concurrent_batcher import ConcurrentBatcher
from services.embedding.encoder import AnyEncoder, ConcurrentEncoder
from services.embedding.intake import BatcherLimits, Runner
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

_MAX_CONFIG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How engines run."""

    device: str = "cpu"
    precision: str = "auto"
    threads: int = 1
    """Threads of one pass; several may run side by side."""


class LocalEngines:
    """Engines of this process, and those it only feeds.

    Args:
        settings: How they run.
        batcher: Runs the models of this process.
        limits: Bounds of the queue in front of each of the others.
    """

    def __init__(self, settings: EngineSettings, batcher: Runner, limits: BatcherLimits) -> None:
        self._settings = settings
        self._batcher = batcher
        self._limits = limits
        self._makers: dict[str, Callable[[Path], AnyEncoder]] = {
            "bert": self._bert,
            "sentence-transformers": self._sentence_transformers,
            "cross-encoder": self._cross_encoder,
            "vllm": self._vllm,
        }

    def open(self, folder: Path, engine: str) -> AnyEncoder:
        """See `Engines`."""
        if engine:
            maker = self._makers.get(engine)
            if maker is None:
                raise InvalidArgumentError.for_field(
                    "engine",
                    f"{engine[:64]!r} is none of {', '.join(sorted(self._makers))}; "
                    "leave it empty to have one chosen",
                )
            return maker(folder)
        if _is_cross_encoder(folder):
            return self._cross_encoder(folder)
        try:
            return self._bert(folder)
        except FailedPreconditionError as error:
            is_unknown = error.reason is Reason.NOT_SUPPORTED
            if not is_unknown or not _is_installed("sentence_transformers"):
                raise
            return self._sentence_transformers(folder)

    def run(self, encoder: AnyEncoder) -> Runner:
        """See `Engines`."""
        if not isinstance(encoder, ConcurrentEncoder):
            return self._batcher
        runner = ConcurrentBatcher(encoder, self._limits)
        runner.start()
        return runner

    async def stop(self, runner: Runner) -> None:
        """See `Engines`."""
        if isinstance(runner, ConcurrentBatcher):
            await runner.close()

    def _bert(self, folder: Path) -> AnyEncoder:
        import torch  # noqa: PLC0415 - heavy: 0.8 s, during which the server answers "not ready"

        from services.embedding.engines.bert_encoder import BertEncoder  # noqa: PLC0415 - as above

        settings = self._settings
        torch.set_num_threads(settings.threads)
        return BertEncoder(
            folder, device=settings.device, precision=settings.precision, threads=settings.threads
        )

    def _sentence_transformers(self, folder: Path) -> AnyEncoder:
        _require("sentence_transformers", "sentence-transformers")
        from services.embedding.engines.transformer_encoder import (  # noqa: PLC0415 - heavy, optional
            TransformerEncoder,
        )

        return TransformerEncoder(folder, self._settings)

    def _cross_encoder(self, folder: Path) -> AnyEncoder:
        _require("sentence_transformers", "cross-encoder")
        from services.embedding.engines.cross_encoder import (  # noqa: PLC0415 - heavy, optional
            CrossEncoder,
        )

        return CrossEncoder(folder, self._settings)

    def _vllm(self, folder: Path) -> AnyEncoder:
        _require("vllm", "vllm")
        from services.embedding.engines.vllm_encoder import (  # noqa: PLC0415 - heavy, optional
            VllmEncoder,
        )

        return VllmEncoder(folder, precision=self._settings.precision)


def _is_cross_encoder(folder: Path) -> bool:
    """Whether the folder holds a model that classifies sequences, and no embedder's modules."""
    if (folder / "modules.json").exists():
        return False
    architectures = _config(folder).get("architectures") or []
    return any(
        isinstance(each, str) and each.endswith("ForSequenceClassification")
        for each in architectures
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            return {}
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the engine says what is wrong with it
    return config if isinstance(config, dict) else {}


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(package: str, engine: str) -> None:
    if not _is_installed(package):
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            f"the engine {engine} needs the package {package}, which is not installed here",
        )
