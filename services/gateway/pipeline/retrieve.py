"""Candidates for the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.answer import StageExplanation
from services.gateway.pipeline.ports import Retrieved, SearchPlan
from services.gateway.requests import Mode
from services.rpc import semconv
from services.rpc.errors import FailedPreconditionError, Reason

if TYPE_CHECKING:
    from services.gateway.pipeline.embed import Embed
    from services.gateway.pipeline.ports import Retriever, WeightedQuery
    from services.gateway.pipeline.run import Run


class Retrieve:
    """Finds candidates by meaning, by words or both.

    There is no rung below it: no retrieval, no answer. So it may take more than the usual share.

    Args:
        retriever: The retrieval service.
        embed: For collections whose vectors come from another model than the default one.
    """

    name = "retrieve"
    share = 0.45
    """Three times the usual share of .15: what the stages behind it need at least is left."""

    def __init__(self, retriever: Retriever, embed: Embed) -> None:
        self._retriever = retriever
        self._embed = embed

    async def run(
        self, run: Run, queries: tuple[WeightedQuery, ...], plan: SearchPlan
    ) -> Retrieved:
        """Returns candidates, best first, for a plan whose mode and model may still change.

        Args:
            run: The request.
            queries: Readings of the question; embedded here unless the plan asks for words only.
            plan: What to look for, without queries.
        """
        model = ""
        if plan.mode is not Mode.KEYWORD:
            queries, model = await self._embed.run(run, queries)
        try:
            return await self._search(run, queries, plan, model)
        except FailedPreconditionError as error:
            if error.reason is not Reason.MODEL_MISMATCH or not model:
                raise
        # The collection has another model than the default one: one more try with its own.
        async with run.stage(self.name, share=self.share):
            wanted = await self._retriever.embedding_model(run.scope, plan.collection)
        queries, model = await self._embed.run(run, queries, wanted)
        return await self._search(run, queries, plan, model)

    async def _search(
        self, run: Run, queries: tuple[WeightedQuery, ...], plan: SearchPlan, model: str
    ) -> Retrieved:
        has_vectors = all(query.vector is not None for query in queries)
        mode = plan.mode if has_vectors else Mode.KEYWORD
        plan = replace(plan, queries=queries, mode=mode, embedding_model=model)
        async with run.stage(
            self.name,
            share=self.share,
            attributes={
                semconv.GEN_AI_OPERATION_NAME: "retrieval",
                semconv.GEN_AI_DATA_SOURCE_ID: plan.collection,
                semconv.GEN_AI_REQUEST_TOP_K: plan.top_k,
                "cairn.search.mode": mode.value,
            },
        ) as span:
            found = await self._retriever.search(run.scope, plan)
            found = replace(found, vector=queries[0].vector, embedding_model=model)
            span.set_attribute("cairn.passage.count", len(found.passages))
        run.usage += found.usage
        for step in found.degraded:
            run.degrade(step)
        notes = (f"mode: {mode.value}", *run.notes, *found.notes)
        run.explain_stage(StageExplanation(self.name, found.passages, notes=notes))
        return found
