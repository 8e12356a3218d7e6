"""Vectors of the question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.pipeline.run import OUTAGES
from services.rpc import semconv

if TYPE_CHECKING:
    from services.gateway.pipeline.ports import Embedder, WeightedQuery
    from services.gateway.pipeline.run import Run


class Embed:
    """Gives each reading its vector. Rung below: search by words only.

    Args:
        embedder: The embedding service.
    """

    name = "embed"
    share = 0.15

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def run(
        self, run: Run, queries: tuple[WeightedQuery, ...], model: str = ""
    ) -> tuple[tuple[WeightedQuery, ...], str]:
        """Returns the readings with vectors and the model's name; without vectors in an outage."""
        try:
            async with run.stage(
                self.name,
                share=self.share,
                attributes={
                    semconv.GEN_AI_OPERATION_NAME: "embeddings",
                    semconv.GEN_AI_REQUEST_MODEL: model,
                },
            ) as span:
                embedded = await self._embedder.embed_queries(
                    run.scope, [query.text for query in queries], model
                )
                span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, embedded.model)
        except OUTAGES:
            run.degrade("dense_unavailable")
            return queries, ""
        run.usage += embedded.usage
        with_vectors = tuple(
            replace(query, vector=vector)
            for query, vector in zip(queries, embedded.vectors, strict=True)
        )
        return with_vectors, embedded.model
