"""Who calls; tenants, users, groups and roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.edge.identity_bodies import GroupBody, RoleBody, TenantBody, UserBody
from services.gateway.edge.identity_views import (
    CallerView,
    GroupsView,
    OneGroupView,
    OneRoleView,
    OneTenantView,
    OneUserView,
    RolesView,
    TenantsView,
    UsersView,
    render_caller,
    render_group,
    render_permissions,
    render_role,
    render_tenant,
    render_user,
)
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    ListParameters,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.gateway.identity import Operation
from services.gateway.identity.desk import IdentityDesk


class TenantParameter(Parameters):
    """Whose."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""


class TenantListParameters(ListParameters):
    """Whose, and which page."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""


OwnerQuery = Annotated[TenantParameter, Query()]
ListQuery = Annotated[TenantListParameters, Query()]


def identity_routes(desk: IdentityDesk) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["identity"], route_class=StrictRoute, responses=error_responses()
    )

    @router.get("/me", operation_id="get_caller", responses={200: {"model": CallerView}})
    async def me(caller: CallerDependency) -> Response:
        """Returns whom the credential stands for and what it may do."""
        caller.require(Operation.READ_SELF)
        return JsonResponse(render_caller(caller))

    _add_tenant_routes(router, desk)
    _add_user_routes(router, desk)
    _add_group_routes(router, desk)
    _add_role_routes(router, desk)
    return router


def _add_tenant_routes(router: APIRouter, desk: IdentityDesk) -> None:
    @router.get("/tenants", operation_id="list_tenants", responses={200: {"model": TenantsView}})
    async def list_tenants(
        caller: CallerDependency, parameters: Annotated[ListParameters, Query()]
    ) -> Response:
        """Lists tenants: all for admins of the home tenant, their own for others."""
        page = await desk.list_tenants(caller, parameters.page_size, parameters.page_token)
        return JsonResponse(
            {
                "tenants": [render_tenant(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/tenants/{tenant}", operation_id="get_tenant", responses={200: {"model": OneTenantView}}
    )
    async def get_tenant(tenant: str, caller: CallerDependency) -> Response:
        """Returns a tenant."""
        return JsonResponse({"tenant": render_tenant(await desk.get_tenant(caller, tenant))})

    @router.put(
        "/tenants/{tenant}",
        operation_id="put_tenant",
        responses={200: {"model": OneTenantView}, 201: {"model": OneTenantView}},
    )
    async def put_tenant(tenant: str, body: TenantBody, caller: CallerDependency) -> Response:
        """Creates or changes a tenant. Only for admins of the home tenant."""
        found, is_new = await desk.put_tenant(
            caller,
            tenant,
            name=body.name,
            tenant_class=body.tenant_class,
            is_disabled=body.is_disabled,
        )
        return JsonResponse({"tenant": render_tenant(found)}, status_code=201 if is_new else 200)


def _add_user_routes(router: APIRouter, desk: IdentityDesk) -> None:
    @router.get("/users", operation_id="list_users", responses={200: {"model": UsersView}})
    async def list_users(caller: CallerDependency, parameters: ListQuery) -> Response:
        """Lists users."""
        page = await desk.list_users(
            caller, parameters.tenant, parameters.page_size, parameters.page_token
        )
        return JsonResponse(
            {
                "users": [render_user(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/users/{user_id:path}", operation_id="get_user", responses={200: {"model": OneUserView}}
    )
    async def get_user(user_id: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Returns a user."""
        found = await desk.get_user(caller, user_id, owner.tenant)
        return JsonResponse({"user": render_user(found)})

    @router.put(
        "/users/{user_id:path}",
        operation_id="put_user",
        responses={200: {"model": OneUserView}, 201: {"model": OneUserView}},
    )
    async def put_user(
        user_id: str, body: UserBody, caller: CallerDependency, owner: OwnerQuery
    ) -> Response:
        """Creates or replaces a user; what it may do holds everywhere within five seconds."""
        found, is_new = await desk.put_user(
            caller,
            user_id,
            tenant=owner.tenant,
            name=body.name,
            groups=body.groups,
            grants=[each.grant() for each in body.grants],
            is_disabled=body.is_disabled,
        )
        return JsonResponse({"user": render_user(found)}, status_code=201 if is_new else 200)

    @router.delete("/users/{user_id:path}", operation_id="delete_user", status_code=204)
    async def delete_user(user_id: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Deletes a user; keys of it are refused. To keep tokens out, disable the user instead."""
        await desk.delete_user(caller, user_id, owner.tenant)
        return Response(status_code=204)


def _add_group_routes(router: APIRouter, desk: IdentityDesk) -> None:
    @router.get("/groups", operation_id="list_groups", responses={200: {"model": GroupsView}})
    async def list_groups(caller: CallerDependency, parameters: ListQuery) -> Response:
        """Lists groups."""
        page = await desk.list_groups(
            caller, parameters.tenant, parameters.page_size, parameters.page_token
        )
        return JsonResponse(
            {
                "groups": [render_group(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/groups/{group:path}", operation_id="get_group", responses={200: {"model": OneGroupView}}
    )
    async def get_group(group: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Returns a group."""
        found = await desk.get_group(caller, group, owner.tenant)
        return JsonResponse({"group": render_group(found)})

    @router.put(
        "/groups/{group:path}",
        operation_id="put_group",
        responses={200: {"model": OneGroupView}, 201: {"model": OneGroupView}},
    )
    async def put_group(
        group: str, body: GroupBody, caller: CallerDependency, owner: OwnerQuery
    ) -> Response:
        """Creates or replaces a group; its members stay."""
        found, is_new = await desk.put_group(
            caller,
            group,
            tenant=owner.tenant,
            description=body.description,
            grants=[each.grant() for each in body.grants],
        )
        return JsonResponse({"group": render_group(found)}, status_code=201 if is_new else 200)

    @router.delete("/groups/{group:path}", operation_id="delete_group", status_code=204)
    async def delete_group(group: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Deletes a group."""
        await desk.delete_group(caller, group, owner.tenant)
        return Response(status_code=204)


def _add_role_routes(router: APIRouter, desk: IdentityDesk) -> None:
    @router.get("/roles", operation_id="list_roles", responses={200: {"model": RolesView}})
    async def list_roles(caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Lists roles, and the operations they are made of."""
        found = await desk.list_roles(caller, owner.tenant)
        return JsonResponse(
            {
                "roles": [render_role(each) for each in found],
                "permissions": render_permissions(),
            }
        )

    @router.get("/roles/{role}", operation_id="get_role", responses={200: {"model": OneRoleView}})
    async def get_role(role: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Returns a role."""
        found = await desk.get_role(caller, role, owner.tenant)
        return JsonResponse({"role": render_role(found)})

    @router.put(
        "/roles/{role}",
        operation_id="put_role",
        responses={200: {"model": OneRoleView}, 201: {"model": OneRoleView}},
    )
    async def put_role(
        role: str, body: RoleBody, caller: CallerDependency, owner: OwnerQuery
    ) -> Response:
        """Creates or replaces a role of the tenant."""
        found, is_new = await desk.put_role(
            caller,
            role,
            tenant=owner.tenant,
            description=body.description,
            permissions=body.permissions,
        )
        return JsonResponse({"role": render_role(found)}, status_code=201 if is_new else 200)

    @router.delete("/roles/{role}", operation_id="delete_role", status_code=204)
    async def delete_role(role: str, caller: CallerDependency, owner: OwnerQuery) -> Response:
        """Deletes a role that nobody has."""
        await desk.delete_role(caller, role, owner.tenant)
        return Response(status_code=204)
