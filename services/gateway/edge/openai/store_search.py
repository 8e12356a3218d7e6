"""Search in a vector store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.cache_headers import cache_headers, least_cached
from services.gateway.edge.openai.attribute_filters import attribute_filter
from services.gateway.edge.openai.bodies import OpenAiBody
from services.gateway.edge.openai.ranking import RankingOptions, render_hit, score_of
from services.gateway.edge.openai.views import SearchPageView
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.operations import Operations
from services.gateway.passages import ScoredPassage
from services.gateway.requests import SearchAsk
from services.gateway.vector_store_operations import store_name

_MAX_QUERIES = 8


class SearchStoreBody(OpenAiBody):
    """A search."""

    query: str | list[str]
    """One question, or up to 8: the best hits of all."""
    filters: dict[str, Any] | None = None
    """Comparison or compound filter on attributes."""
    max_num_results: int = Field(default=10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False
    """Passed over: queries are searched as they are."""

    def asks(self, collection: str) -> list[SearchAsk]:
        """Returns a search for each query.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        options = self.ranking_options or RankingOptions()
        tree = attribute_filter(self.filters)
        queries = [self.query] if isinstance(self.query, str) else self.query
        return [
            replace(
                SearchAsk.checked(
                    query,
                    collection=collection,
                    top_k=self.max_num_results,
                    mode=options.mode(),
                    rerank=options.rerank,
                ),
                filter=tree,
            )
            for query in (queries or [""])[:_MAX_QUERIES]
        ]

    @property
    def least_score(self) -> float:
        """The threshold; 0: none."""
        options = self.ranking_options
        return (options.score_threshold if options is not None else None) or 0.0


def add_store_search_route(router: APIRouter, operations: Operations) -> None:
    """Adds the route."""

    @router.post(
        "/vector_stores/{store_id}/search",
        operation_id="openai_search_vector_store",
        responses={200: {"model": SearchPageView}},
    )
    async def search(store_id: str, body: SearchStoreBody, caller: CallerDependency) -> Response:
        """Finds passages, best first; `score` lies between 0 and 1 and compares within a search."""
        best: dict[str, ScoredPassage] = {}
        asks = body.asks(store_name(store_id))
        results = [await operations.search(caller, ask) for ask in asks]
        for result in results:
            for each in result.passages:
                before = best.get(each.passage.chunk_id)
                if before is None or each.scores.final > before.scores.final:
                    best[each.passage.chunk_id] = each
        found = list(best.values())
        if len(asks) > 1:
            found.sort(key=lambda each: -each.scores.final)
        hits = [
            {**render_hit(each), "content": [{"type": "text", "text": each.passage.text}]}
            for each in found[: body.max_num_results]
            if score_of(each) >= body.least_score
        ]
        return JsonResponse(
            {
                "object": "vector_store.search_results.page",
                "search_query": [ask.query for ask in asks],
                "data": hits,
                "has_more": False,
                "next_page": None,
            },
            headers=cache_headers(least_cached(results)),
        )
