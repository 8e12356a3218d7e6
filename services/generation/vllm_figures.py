"""What vLLM's scheduler tells of itself at each step: cache, hits, preemptions. Imports vLLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import (  # pyright: ignore[reportMissingImports]
    StatLoggerBase,
)

from services.generation import metrics


class EngineFigures:
    """The latest figures, over all ranks of a data-parallel engine.

    Args:
        on_step: Called after each step, when its outputs have been handed out.
    """

    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step
        self._cache_usage: dict[int, float] = {}
        self._queried = metrics.PREFIX_TOKENS.labels("queried")
        self._hit = metrics.PREFIX_TOKENS.labels("hit")

    @property
    def cache_usage(self) -> float:
        """Share of the KV cache in use, 0..1, of the rank with the most room."""
        return min(self._cache_usage.values(), default=0.0)

    def logger(self, _config: Any, engine_index: int = 0) -> StatLoggerBase:
        """Returns what vLLM reports to; a factory as `AsyncLLM` takes it."""
        return _Reporter(self, engine_index)

    def note(self, rank: int, scheduler: Any, iteration: Any) -> None:
        """Takes what one step of a rank reports; either part may be None."""
        if scheduler is not None:
            self._cache_usage[rank] = scheduler.kv_cache_usage
            metrics.KV_CACHE_USED.set(self.cache_usage)
            hits = scheduler.prefix_cache_stats
            if hits is not None and hits.queries:
                self._queried.inc(hits.queries)
                self._hit.inc(hits.hits)
        if iteration is not None and iteration.num_preempted_reqs:
            metrics.PREEMPTIONS.inc(iteration.num_preempted_reqs)
        self._on_step()


class _Reporter(StatLoggerBase):
    def __init__(self, figures: EngineFigures, engine_index: int) -> None:
        self._figures = figures
        self._engine_index = engine_index

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        self._figures.note(engine_idx or self._engine_index, scheduler_stats, iteration_stats)

    def log_engine_initialized(self) -> None:
        pass
