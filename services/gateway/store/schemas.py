"""Makes a database fit what identity and audit keep in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.store import audit_tables, identity_tables, tables
from services.sql.schema import ensure_schema

if TYPE_CHECKING:
    from sqlalchemy import Engine


def ensure_identity_tables(engine: Engine) -> None:
    """Creates or upgrades the tables of keys, people and audit; blocks.

    Raises:
        ServiceError: the database does not answer, or a newer program wrote it.
    """
    ensure_schema(
        engine,
        tables.metadata,
        tables.VERSION,
        component=tables.COMPONENT,
        upgrades=tables.UPGRADES,
    )
    for each in (identity_tables, audit_tables):
        ensure_schema(engine, each.metadata, each.VERSION, component=each.COMPONENT)
