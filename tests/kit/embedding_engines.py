"""The embedding service's parts without a process: engines, and what is put together of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from services.embedding.batcher import Batcher
from services.embedding.cache import LocalCache, VectorCache
from services.embedding.embedder import Embedder
from services.embedding.encoder import AnyEncoder
from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.engines.opening import EngineSettings, LocalEngines
from services.embedding.intake import BatcherLimits, Runner
from services.embedding.limits import RequestLimits
from services.embedding.models import Models, open_models
from services.embedding.recent_queries import RecentQueries
from services.embedding.reranker import Reranker
from services.embedding.splitting import Splitter


class StandInEngines:
    """Makes the same kind of encoder of every folder.

    Args:
        batcher: Runs them.
        make: Makes one.
    """

    def __init__(
        self, batcher: Runner, make: Callable[[Path], AnyEncoder] = lambda _: HashEncoder()
    ) -> None:
        self._batcher = batcher
        self._make = make
        self.opened: list[Path] = []

    def open(self, folder: Path, engine: str) -> AnyEncoder:
        """Notes the folder."""
        del engine
        self.opened.append(folder)
        return self._make(folder)

    def run(self, encoder: AnyEncoder) -> Runner:
        """Returns the batcher."""
        del encoder
        return self._batcher

    async def stop(self, runner: Runner) -> None:
        """Leaves the batcher running."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a servicer needs."""

    models: Models
    embedder: Embedder
    reranker: Reranker
    limits: BatcherLimits


@contextlib.asynccontextmanager
async def embedding_parts(
    encoder: AnyEncoder | None = None,
    limits: BatcherLimits | None = None,
    request_limits: RequestLimits | None = None,
    cache: VectorCache | None = None,
) -> AsyncIterator[Parts]:
    """Puts the service together around one model called "hash"."""
    limits = limits or BatcherLimits()
    async with Batcher(limits) as batcher:
        engines = LocalEngines(EngineSettings(), batcher, limits)
        async with open_models(engines, max_models=3) as models:
            models.add("hash", encoder or HashEncoder())
            with contextlib.closing(Splitter()) as splitter:
                bounds = request_limits or RequestLimits()
                cache = cache or VectorCache(LocalCache(1_000_000))
                recent = RecentQueries()
                yield Parts(
                    models,
                    Embedder(models, splitter, cache, bounds, recent),
                    Reranker(models, splitter, bounds, recent),
                    limits,
                )
