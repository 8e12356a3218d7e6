"""Documents like some and unlike others, in the order that a person's history suggests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.pipeline.ports import Retrieved, Retriever
    from services.gateway.pipeline.run import Run
    from services.gateway.requests import RecommendAsk


class Recommend:
    """Finds documents by their likeness; retrieval, which has the vectors, orders them.

    Args:
        retriever: The retrieval service.
    """

    name = "retrieve"

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def run(self, run: Run, ask: RecommendAsk) -> Retrieved:
        """Returns the documents, best first, the given ones and the history left out."""
        # A history alone says what to look for, too.
        wanted = replace(ask, positive_ids=ask.positive_ids or ask.liked_ids)
        async with run.stage(self.name, share=1.0):
            found = await self._retriever.recommend(run.scope, wanted)
            run.usage += found.usage
        return found
