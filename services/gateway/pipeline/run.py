"""One request on its way through the stages: deadline, timings, usage, degradation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from services.gateway.answer import StageExplanation
from services.gateway.usage import Usage, current_meter
from services.rpc.deadline import deadline_in, remaining_seconds
from services.rpc.errors import (
    DataLossError,
    DeadlineExceededError,
    InternalError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from services.rpc.instruments import Counter, Histogram
from services.rpc.metrics import series
from services.rpc.telemetry import current_span, span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.rpc.scope import Scope

ANSWER_SECONDS = 0.05
"""Kept back to answer with what there is."""

OUTAGES = (
    UnavailableError,
    DeadlineExceededError,
    ResourceExhaustedError,
    InternalError,
    DataLossError,
    UnimplementedError,
)
"""Failures of a service, not of the request: a stage with a rung below it takes that rung."""

_STAGE_SECONDS = Histogram(
    "cairn_gateway_stage_seconds",
    "Duration of the stages of a query.",
    ["stage"],
    # .12 and .15 are the bounds that alerts on a query's latency name.
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.12, 0.15, 0.2, 0.5, 1, 2, 5),
)
_DEGRADED = Counter(
    "cairn_gateway_degraded_total", "Answers that were less than asked for.", ["step"]
)
_KNOWN_STEPS = frozenset(
    {
        "dense_unavailable",
        "keyword_unavailable",
        "rerank_skipped",
        "generation_unavailable",
        "generation_truncated",
        "generation_fallback",
        "grounding_by_words",
        "instructions_left_out",
        "neighbours_unavailable",
        "rewrite_unavailable",
    }
)


class Run:
    """State of one request while it passes the stages.

    Args:
        scope: On whose behalf.
        operation: "query" or "search".
        seconds: Time for the whole; an earlier deadline of the running request goes first.
        explain: Whether stages keep what they did.
    """

    def __init__(
        self, scope: Scope, operation: str, seconds: float, *, explain: bool = False
    ) -> None:
        remaining = remaining_seconds()
        self.scope = scope
        self.operation = operation
        self.explain = explain
        self.total_seconds = seconds if remaining is None else min(seconds, remaining)
        self.meter = current_meter()
        self.timings_ms: dict[str, float] = {}
        self.degraded: list[str] = []
        self.explanations: list[StageExplanation] = []
        self.notes: list[str] = []
        """What was understood of the question, told with the candidates."""
        self._started = time.monotonic()
        self._marked = time.perf_counter()
        """When the last stage ended."""

    @property
    def usage(self) -> Usage:
        """What was consumed so far; the ledger counts it however the request ends."""
        return self.meter.usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        self.meter.usage = usage

    @property
    def remaining_seconds(self) -> float:
        """Time left for stages: the deadline, less what answering takes."""
        return self._started + self.total_seconds - time.monotonic() - ANSWER_SECONDS

    def share_seconds(self, share: float) -> float:
        """Time of a stage that may take `share` (0..1) of the whole deadline.

        Raises:
            DeadlineExceededError: nothing is left.
        """
        remaining = self.remaining_seconds
        if remaining <= 0:
            raise DeadlineExceededError(
                Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was complete"
            )
        return min(self.total_seconds * share, remaining)

    @contextlib.asynccontextmanager
    async def stage(
        self,
        name: str,
        *,
        share: float | None = None,
        attributes: Mapping[str, str | int] | None = None,
    ) -> AsyncIterator[Span]:
        """Runs the block as a stage: in a span, timed, within its share of the deadline.

        Args:
            name: Of the span and the timing.
            share: Part of the whole deadline, 0..1; None for a stage that needs no other service
                and is not worth stopping: it must run even when nothing is left.
            attributes: Of the span; what is empty is not known yet and left out.

        Raises:
            DeadlineExceededError: the share is used up.
        """
        seconds = None if share is None else self.share_seconds(share)
        started = time.perf_counter()
        try:
            with span(name, attributes=_known(attributes)) as current:
                async with self.within(seconds, name):
                    yield current
        finally:
            ended = time.perf_counter()
            # Told with the wait for its turn on a busy loop: so the stages add up to the total.
            took, self._marked = ended - self._marked, ended
            self.timings_ms[name] = self.timings_ms.get(name, 0.0) + took * 1e3
            series(_STAGE_SECONDS, name).observe(ended - started)

    @contextlib.asynccontextmanager
    async def within(self, seconds: float | None, name: str) -> AsyncIterator[None]:
        """Runs the block under a deadline of its own.

        Raises:
            DeadlineExceededError: it did not end within `seconds`.
        """
        try:
            with deadline_in(seconds):
                async with asyncio.timeout(seconds):
                    yield
        except TimeoutError:
            raise DeadlineExceededError(
                Reason.DEADLINE_EXCEEDED,
                f"{name} did not end within its time",
                metadata={"stage": name},
            ) from None

    def degrade(self, step: str) -> None:
        """Notes that the answer is less than asked for."""
        if step not in self.degraded:
            self.degraded.append(step)
            current_span().set_attribute("cairn.degraded", tuple(self.degraded))
            series(_DEGRADED, step if step in _KNOWN_STEPS else "other").inc()

    def explain_stage(self, explanation: StageExplanation) -> None:
        """Keeps what a stage did when the caller asked for it."""
        if self.explain:
            self.explanations.append(explanation)

    def finish(self) -> dict[str, float]:
        """Ends the run and returns milliseconds per stage and in total."""
        self.timings_ms["total"] = (time.monotonic() - self._started) * 1e3
        return {name: round(took, 3) for name, took in self.timings_ms.items()}


def _known(attributes: Mapping[str, str | int] | None) -> dict[str, str | int]:
    return {name: value for name, value in (attributes or {}).items() if value != ""}
