"""Identity and audit of `GatewayService`: protobuf to domain and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cairn.gateway.v1 import identity_pb2 as pb

from services.gateway.audit.desk import AuditAsk
from services.gateway.edge.identity_views import render_caller
from services.gateway.entered_rpcs import EnteredRpcs, time_to_proto
from services.gateway.identity import Operation
from services.gateway.identity.directory import RoleGrant
from services.gateway.key_desk import OVERLAP_SECONDS, NewKey
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import grpc

    from services.gateway.audit.chain import AuditEntry
    from services.gateway.identity.directory import Group, Tenant, TenantRole, User
    from services.gateway.identity.opening import Identity
    from services.gateway.keys import ApiKey


class IdentityRpcs(EnteredRpcs):
    """Serves these methods; the class that inherits them lets callers in."""

    _identity: Identity

    async def GetCaller(  # noqa: N802 - the contract's name
        self, request: pb.GetCallerRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCallerResponse:
        """Returns who the caller is and what it may do."""
        async with self._entered(context) as caller:
            caller.require(Operation.READ_SELF)
            found = render_caller(caller)
            found["grants"] = [pb.RoleGrant(**each) for each in found["grants"]]
            return pb.GetCallerResponse(**found)

    async def CreateKey(  # noqa: N802 - the contract's name
        self, request: pb.CreateKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateKeyResponse:
        """Makes an API key."""
        async with self._entered(context) as caller:
            if request.has_no_principals and request.principals:
                raise InvalidArgumentError.for_field(
                    "has_no_principals", "must not be set together with principals"
                )
            is_given = request.has_no_principals or bool(request.principals)
            new = NewKey(
                name=request.name,
                role=request.role,
                grants=_grants(request.grants),
                principals=tuple(request.principals) if is_given else None,
                tenant=request.tenant,
                user_id=request.user_id,
                kind=request.kind,
                expires_in_days=request.expires_in_days or None,
            )
            key, secret = await self._identity.key_desk.create(caller, new)
            return pb.CreateKeyResponse(key=_key(key), secret=secret)

    async def GetKey(  # noqa: N802 - the contract's name
        self, request: pb.GetKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetKeyResponse:
        """Returns a key."""
        async with self._entered(context) as caller:
            return pb.GetKeyResponse(
                key=_key(await self._identity.key_desk.get(caller, request.key_id))
            )

    async def ListKeys(  # noqa: N802 - the contract's name
        self, request: pb.ListKeysRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListKeysResponse:
        """Lists keys."""
        async with self._entered(context) as caller:
            found = await self._identity.key_desk.list_keys(caller, request.tenant)
            return pb.ListKeysResponse(keys=map(_key, found))

    async def RotateKey(  # noqa: N802 - the contract's name
        self, request: pb.RotateKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.RotateKeyResponse:
        """Gives a key one more secret."""
        async with self._entered(context) as caller:
            overlap = (
                request.overlap_seconds if request.HasField("overlap_seconds") else OVERLAP_SECONDS
            )
            key, secret = await self._identity.key_desk.rotate(caller, request.key_id, overlap)
            return pb.RotateKeyResponse(key=_key(key), secret=secret)

    async def RevokeKey(  # noqa: N802 - the contract's name
        self, request: pb.RevokeKeyRequest, context: grpc.aio.ServicerContext
    ) -> pb.RevokeKeyResponse:
        """Revokes a key, or one of its secrets."""
        async with self._entered(context) as caller:
            await self._identity.key_desk.revoke(caller, request.key_id, request.secret_id)
            return pb.RevokeKeyResponse()

    async def ListTenants(  # noqa: N802 - the contract's name
        self, request: pb.ListTenantsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListTenantsResponse:
        """Lists tenants."""
        async with self._entered(context) as caller:
            page = await self._identity.desk.list_tenants(
                caller, request.page_size, request.page_token
            )
            return pb.ListTenantsResponse(
                tenants=map(_tenant, page.entries), next_page_token=page.next_page_token
            )

    async def PutTenant(  # noqa: N802 - the contract's name
        self, request: pb.PutTenantRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutTenantResponse:
        """Creates or changes a tenant."""
        async with self._entered(context) as caller:
            found, is_new = await self._identity.desk.put_tenant(
                caller,
                request.tenant,
                name=request.name,
                tenant_class=request.tenant_class,
                is_disabled=request.is_disabled,
            )
            return pb.PutTenantResponse(tenant=_tenant(found), is_created=is_new)

    async def ListUsers(  # noqa: N802 - the contract's name
        self, request: pb.ListUsersRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListUsersResponse:
        """Lists users."""
        async with self._entered(context) as caller:
            page = await self._identity.desk.list_users(
                caller, request.tenant, request.page_size, request.page_token
            )
            return pb.ListUsersResponse(
                users=map(_user, page.entries), next_page_token=page.next_page_token
            )

    async def GetUser(  # noqa: N802 - the contract's name
        self, request: pb.GetUserRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetUserResponse:
        """Returns a user."""
        async with self._entered(context) as caller:
            found = await self._identity.desk.get_user(caller, request.user_id, request.tenant)
            return pb.GetUserResponse(user=_user(found))

    async def PutUser(  # noqa: N802 - the contract's name
        self, request: pb.PutUserRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutUserResponse:
        """Creates or replaces a user."""
        async with self._entered(context) as caller:
            found, is_new = await self._identity.desk.put_user(
                caller,
                request.user_id,
                tenant=request.tenant,
                name=request.name,
                groups=request.groups,
                grants=_grants(request.grants),
                is_disabled=request.is_disabled,
            )
            return pb.PutUserResponse(user=_user(found), is_created=is_new)

    async def DeleteUser(  # noqa: N802 - the contract's name
        self, request: pb.DeleteUserRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteUserResponse:
        """Deletes a user."""
        async with self._entered(context) as caller:
            await self._identity.desk.delete_user(caller, request.user_id, request.tenant)
            return pb.DeleteUserResponse()

    async def ListGroups(  # noqa: N802 - the contract's name
        self, request: pb.ListGroupsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListGroupsResponse:
        """Lists groups."""
        async with self._entered(context) as caller:
            page = await self._identity.desk.list_groups(
                caller, request.tenant, request.page_size, request.page_token
            )
            return pb.ListGroupsResponse(
                groups=map(_group, page.entries), next_page_token=page.next_page_token
            )

    async def GetGroup(  # noqa: N802 - the contract's name
        self, request: pb.GetGroupRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetGroupResponse:
        """Returns a group."""
        async with self._entered(context) as caller:
            found = await self._identity.desk.get_group(caller, request.group, request.tenant)
            return pb.GetGroupResponse(group=_group(found))

    async def PutGroup(  # noqa: N802 - the contract's name
        self, request: pb.PutGroupRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutGroupResponse:
        """Creates or replaces a group."""
        async with self._entered(context) as caller:
            found, is_new = await self._identity.desk.put_group(
                caller,
                request.group,
                tenant=request.tenant,
                description=request.description,
                grants=_grants(request.grants),
            )
            return pb.PutGroupResponse(group=_group(found), is_created=is_new)

    async def DeleteGroup(  # noqa: N802 - the contract's name
        self, request: pb.DeleteGroupRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteGroupResponse:
        """Deletes a group."""
        async with self._entered(context) as caller:
            await self._identity.desk.delete_group(caller, request.group, request.tenant)
            return pb.DeleteGroupResponse()

    async def ListRoles(  # noqa: N802 - the contract's name
        self, request: pb.ListRolesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListRolesResponse:
        """Lists roles."""
        async with self._entered(context) as caller:
            found = await self._identity.desk.list_roles(caller, request.tenant)
            return pb.ListRolesResponse(roles=map(_role, found))

    async def PutRole(  # noqa: N802 - the contract's name
        self, request: pb.PutRoleRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutRoleResponse:
        """Creates or replaces a role of the tenant."""
        async with self._entered(context) as caller:
            found, is_new = await self._identity.desk.put_role(
                caller,
                request.role,
                tenant=request.tenant,
                description=request.description,
                permissions=request.permissions,
            )
            return pb.PutRoleResponse(role=_role(found), is_created=is_new)

    async def DeleteRole(  # noqa: N802 - the contract's name
        self, request: pb.DeleteRoleRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteRoleResponse:
        """Deletes a role of the tenant."""
        async with self._entered(context) as caller:
            await self._identity.desk.delete_role(caller, request.role, request.tenant)
            return pb.DeleteRoleResponse()

    async def ListAuditEntries(  # noqa: N802 - the contract's name
        self, request: pb.ListAuditEntriesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAuditEntriesResponse:
        """Lists entries of the audit log."""
        async with self._entered(context) as caller:
            ask = AuditAsk(
                tenant=request.tenant,
                of_installation=request.of_installation,
                actor=request.actor,
                action=request.action,
                outcome=request.outcome,
                subject=request.subject,
                from_time=_moment(request, "from_time"),
                to_time=_moment(request, "to_time"),
                page_size=request.page_size,
                page_token=request.page_token,
            )
            page = await self._identity.audit_desk.list_entries(caller, ask)
            return pb.ListAuditEntriesResponse(
                entries=map(_entry, page.entries), next_page_token=page.next_page_token
            )

    async def VerifyAudit(  # noqa: N802 - the contract's name
        self, request: pb.VerifyAuditRequest, context: grpc.aio.ServicerContext
    ) -> pb.VerifyAuditResponse:
        """Checks the chain of the audit log."""
        async with self._entered(context) as caller:
            report = await self._identity.audit_desk.verify(
                caller, request.tenant, request.after, of_installation=request.of_installation
            )
            return pb.VerifyAuditResponse(
                is_intact=report.is_intact,
                is_complete=report.is_complete,
                entry_count=report.entry_count,
                checkpoint=report.checkpoint,
                broken_seq=report.broken_seq,
                problem=report.problem,
            )


def _grants(messages: Iterable[pb.RoleGrant]) -> tuple[RoleGrant, ...]:
    return tuple(RoleGrant(each.role, tuple(dict.fromkeys(each.collections))) for each in messages)


def _given(grants: Iterable[RoleGrant]) -> list[pb.RoleGrant]:
    return [pb.RoleGrant(role=each.role, collections=each.collections) for each in grants]


def _key(key: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        key_id=key.key_id,
        tenant=key.tenant,
        name=key.name,
        role=key.role.label,
        principals=key.principals,
        created_at=time_to_proto(key.created_at),
        expires_at=time_to_proto(key.expires_at),
        revoked_at=time_to_proto(key.revoked_at),
        last_used_at=time_to_proto(key.last_used_at),
        user_id=key.user_id,
        kind=key.kind.value,
        grants=_given(key.grants),
        secrets=[
            pb.KeySecret(
                secret_id=each.secret_id,
                created_at=time_to_proto(each.created_at),
                expires_at=time_to_proto(each.expires_at),
                revoked_at=time_to_proto(each.revoked_at),
                last_used_at=time_to_proto(each.last_used_at),
            )
            for each in key.secrets
        ],
    )


def _tenant(tenant: Tenant) -> pb.Tenant:
    return pb.Tenant(
        tenant=tenant.tenant,
        name=tenant.name,
        tenant_class=tenant.tenant_class.name.lower(),
        is_disabled=tenant.is_disabled,
        created_at=time_to_proto(tenant.created_at),
        updated_at=time_to_proto(tenant.updated_at),
    )


def _user(user: User) -> pb.User:
    return pb.User(
        user_id=user.user_id,
        tenant=user.tenant,
        name=user.name,
        groups=user.groups,
        grants=_given(user.grants),
        is_disabled=user.is_disabled,
        created_at=time_to_proto(user.created_at),
        updated_at=time_to_proto(user.updated_at),
    )


def _group(group: Group) -> pb.Group:
    return pb.Group(
        group=group.group,
        tenant=group.tenant,
        description=group.description,
        grants=_given(group.grants),
        member_count=group.member_count,
        created_at=time_to_proto(group.created_at),
        updated_at=time_to_proto(group.updated_at),
    )


def _role(role: TenantRole) -> pb.Role:
    return pb.Role(
        role=role.role,
        tenant=role.tenant,
        description=role.description,
        permissions=[each.label for each in role.permissions],
        is_builtin=role.is_builtin,
    )


def _entry(entry: AuditEntry) -> pb.AuditEntry:
    content = entry.content
    return pb.AuditEntry(
        seq=entry.seq,
        tenant=content["tenant"],
        at=time_to_proto(datetime.fromisoformat(content["at"])),
        actor=content["actor"],
        action=content["action"],
        collection=content["collection"],
        outcome=content["outcome"],
        surface=content["surface"],
        trace_id=content["trace_id"],
        subjects=content["subjects"],
        details={name: str(value) for name, value in content["details"].items()},
        hash=entry.hash,
    )


def _moment(request: Any, field: str) -> datetime | None:
    """Returns a time of a request.

    Raises:
        InvalidArgumentError: there is no such time.
    """
    if not request.HasField(field):
        return None
    try:
        return getattr(request, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgumentError.for_field(field, "is out of range") from None
