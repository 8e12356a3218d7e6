"""Questions, searches, recommendations."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent, PassagesFound
from services.gateway.edge.bodies import QueryBody, RecommendBody, SearchBody
from services.gateway.edge.cache_headers import cache_headers, tell_cache
from services.gateway.edge.own_deadline import own_deadline
from services.gateway.edge.problem import problem
from services.gateway.edge.render import (
    render_answer,
    render_passage,
    render_recommendations,
    render_search,
)
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.sse import EVENTS, EventStream, SendData, event
from services.gateway.edge.views import QueryView, RecommendView, SearchView
from services.gateway.identity import Caller
from services.gateway.operations import Operations
from services.gateway.requests import Question
from services.rpc.telemetry import current_trace_id

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": QueryView,
        "description": "The answer; with `stream` the events passages, delta, response, error.",
        "content": EVENTS,
    }
}


def query_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["query"], route_class=StrictRoute, responses=error_responses()
    )

    @router.post("/query", operation_id="query", responses=_STREAM)
    async def query(body: QueryBody, caller: CallerDependency) -> Response:
        """Answers a question with citations."""
        question = body.question()
        if body.stream:
            return stream_answer(operations, caller, question, body.timeout_ms)
        with own_deadline(body.timeout_ms, operations.query_seconds):
            answer = await operations.query(caller, question)
            return JsonResponse(render_answer(answer), headers=cache_headers(answer))

    @router.post("/search", operation_id="search", responses={200: {"model": SearchView}})
    async def search(body: SearchBody, caller: CallerDependency) -> Response:
        """Finds passages, best first."""
        with own_deadline(body.timeout_ms, operations.query_seconds):
            result = await operations.search(caller, body.ask())
            return JsonResponse(render_search(result), headers=cache_headers(result))

    @router.post("/recommend", operation_id="recommend", responses={200: {"model": RecommendView}})
    async def recommend(body: RecommendBody, caller: CallerDependency) -> Response:
        """Finds documents like some and unlike others."""
        with own_deadline(body.timeout_ms, operations.query_seconds):
            result = await operations.recommend(caller, body.ask())
        return JsonResponse(render_recommendations(result), headers=cache_headers(result))

    return router


def stream_answer(
    operations: Operations, caller: Caller, question: Question, timeout_ms: int | None
) -> Response:
    """Returns the answer as events."""
    headers: dict[str, str] = {}

    async def work(write: SendData) -> None:
        async def emit(found: AnswerEvent) -> None:
            tell_cache(headers, found)
            await write(_event(found))

        with own_deadline(timeout_ms, operations.query_seconds):
            answer = await operations.query(caller, question, emit)
        await write(_event(answer))

    return EventStream(
        work, lambda error: event("error", problem(error, current_trace_id())), headers
    )


def _event(found: AnswerEvent) -> bytes:
    match found:
        case PassagesFound(passages=passages):
            return event("passages", {"passages": [render_passage(each) for each in passages]})
        case AnswerDelta(text=text):
            return event("delta", {"text": text})
        case Answer():
            return event("response", render_answer(found))
