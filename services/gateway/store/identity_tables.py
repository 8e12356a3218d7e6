"""Tables of tenants, users, groups, roles and grants, with a version of their own."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, Integer, MetaData, String, Table, Text

VERSION = 1
COMPONENT = "gateway_identity"

metadata = MetaData()

tenants = Table(
    "gateway_tenants",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("tenant_class", Integer, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
)

users = Table(
    "gateway_users",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
)

groups = Table(
    "gateway_groups",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("group_name", String(256), primary_key=True),
    Column("description", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
)

members = Table(
    "gateway_members",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("group_name", String(256), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Index("gateway_members_by_user", "tenant", "user_id"),
)

roles = Table(
    "gateway_roles",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("role", String(64), primary_key=True),
    Column("description", Text, nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
)

# Of whom: "key:<id>", "user:<id>" or "group:<name>". An empty collection stands for all of them.
grants = Table(
    "gateway_grants",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("subject", String(264), primary_key=True),
    Column("role", String(64), primary_key=True),
    Column("collection", String(256), primary_key=True),
)
