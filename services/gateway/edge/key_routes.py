"""API keys."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.edge.identity_bodies import KeyBody, RotateBody
from services.gateway.edge.identity_routes import OwnerQuery
from services.gateway.edge.identity_views import KeysView, NewKeyView, OneKeyView, render_key
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    StrictRoute,
    error_responses,
)
from services.gateway.key_desk import KeyDesk


def key_routes(keys: KeyDesk) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["keys"], route_class=StrictRoute, responses=error_responses()
    )

    @router.get("/keys", operation_id="list_keys", responses={200: {"model": KeysView}})
    async def list_keys(caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Lists keys, without their secrets."""
        found = await keys.list_keys(caller, owner.tenant)
        return JsonResponse({"keys": [render_key(key) for key in found]})

    @router.post(
        "/keys",
        operation_id="create_key",
        status_code=201,
        responses={201: {"model": NewKeyView}},
    )
    async def create_key(body: KeyBody, caller: CallerDependency) -> Response:
        """Makes a key. Its secret is shown this once."""
        key, secret = await keys.create(caller, body.key())
        return JsonResponse({"key": render_key(key), "secret": secret}, status_code=201)

    @router.get("/keys/{key_id}", operation_id="get_key", responses={200: {"model": OneKeyView}})
    async def get_key(key_id: str, caller: CallerDependency) -> Response:
        """Returns a key: its secrets' ages and when each was last used."""
        return JsonResponse({"key": render_key(await keys.get(caller, key_id))})

    @router.post(
        "/keys/{key_id}/rotate",
        operation_id="rotate_key",
        responses={200: {"model": NewKeyView}},
    )
    async def rotate_key(key_id: str, body: RotateBody, caller: CallerDependency) -> Response:
        """Gives a key one more secret, shown this once; the former ones go on for a while."""
        key, secret = await keys.rotate(caller, key_id, body.overlap_seconds)
        return JsonResponse({"key": render_key(key), "secret": secret})

    @router.delete("/keys/{key_id}", operation_id="revoke_key", status_code=204)
    async def revoke_key(key_id: str, caller: CallerDependency) -> Response:
        """Revokes a key; it is refused everywhere within five seconds."""
        await keys.revoke(caller, key_id)
        return Response(status_code=204)

    @router.delete(
        "/keys/{key_id}/secrets/{secret_id}", operation_id="revoke_key_secret", status_code=204
    )
    async def revoke_secret(key_id: str, secret_id: str, caller: CallerDependency) -> Response:
        """Revokes one of a key's secrets; it is refused everywhere within five seconds."""
        await keys.revoke(caller, key_id, secret_id)
        return Response(status_code=204)

    return router
