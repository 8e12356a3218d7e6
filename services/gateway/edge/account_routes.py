"""Feedback, usage, keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.edge.bodies import FeedbackBody, KeyBody
from services.gateway.edge.render import render_key, render_usage_row
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.views import FeedbackView, KeysView, NewKeyView, UsageRowsView
from services.gateway.key_desk import KeyDesk
from services.gateway.operations import Operations


class UsageParameters(Parameters):
    """Span of days, both included."""

    from_day: str = ""
    """"YYYY-MM-DD"; empty: 30 days ago."""
    to_day: str = ""
    """"YYYY-MM-DD"; empty: today."""


class KeysParameters(Parameters):
    """Whose keys."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""


def account_routes(operations: Operations, keys: KeyDesk) -> APIRouter:
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

    @router.get("/usage", operation_id="get_usage", responses={200: {"model": UsageRowsView}})
    async def usage(
        caller: CallerDependency, parameters: Annotated[UsageParameters, Query()]
    ) -> Response:
        """Returns what was used, by day and operation."""
        rows = await operations.usage(caller, parameters.from_day, parameters.to_day)
        return JsonResponse({"rows": [render_usage_row(row) for row in rows]})

    @router.get("/keys", operation_id="list_keys", responses={200: {"model": KeysView}})
    async def list_keys(
        caller: CallerDependency, parameters: Annotated[KeysParameters, Query()]
    ) -> Response:
        """Lists keys, without their secrets."""
        found = await keys.list_keys(caller, parameters.tenant)
        return JsonResponse({"keys": [render_key(key) for key in found]})

    @router.post(
        "/keys",
        operation_id="create_key",
        status_code=201,
        responses={201: {"model": NewKeyView}},
    )
    async def create_key(body: KeyBody, caller: CallerDependency) -> Response:
        """Makes a key. Its secret is shown this once."""
        key, secret = await keys.create(
            caller,
            name=body.name,
            role=body.role,
            principals=body.principals,
            tenant=body.tenant,
            expires_in_days=body.expires_in_days,
        )
        return JsonResponse({"key": render_key(key), "secret": secret}, status_code=201)

    @router.delete("/keys/{key_id}", operation_id="revoke_key", status_code=204)
    async def revoke_key(key_id: str, caller: CallerDependency) -> Response:
        """Revokes a key; it is refused everywhere within five seconds."""
        await keys.revoke(caller, key_id)
        return Response(status_code=204)

    return router
