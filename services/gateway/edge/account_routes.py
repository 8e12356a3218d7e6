"""Feedback."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.edge.bodies import FeedbackBody
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.views import FeedbackView
from services.gateway.operations import Operations


def account_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["account"], route_class=StrictRoute, responses=error_responses()
    )

    @router.post(
        "/feedback",
        operation_id="submit_feedback",
        status_code=201,
        responses={201: {"model": FeedbackView}},
    )
    async def feedback(body: FeedbackBody, caller: CallerDependency) -> Response:
        """Stores what a person thinks of an answer."""
        feedback_id = await operations.submit_feedback(caller, body.feedback())
        return JsonResponse({"feedback_id": feedback_id}, status_code=201)

    return router
