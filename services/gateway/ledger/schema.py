"""Makes the ledger's tables, and takes over what former versions had metered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table, inspect, literal, select

from services.gateway.ledger import tables
from services.gateway.ledger.tables import SUM_COLUMNS, USAGE_COLUMNS, sums
from services.gateway.usage import PICOS
from services.sql.engine import WRITES
from services.sql.schema import ensure_schema

if TYPE_CHECKING:
    from sqlalchemy import Engine

_FORMER = "gateway_usage_days"


def ensure_ledger(engine: Engine) -> None:
    """Makes the database fit. Blocks.

    Raises:
        ServiceError: see `ensure_schema`.
    """
    ensure_schema(engine, tables.metadata, tables.VERSION, component=tables.COMPONENT)
    if inspect(engine).has_table(_FORMER):
        _take_over(engine)


def _take_over(engine: Engine) -> None:
    """Moves sums by day and operation, as they were kept before there were users in them."""
    former = Table(_FORMER, MetaData(), autoload_with=engine)
    with engine.execution_options(**WRITES).connect() as connection, connection.begin():
        for row in connection.execute(select(former)).all():
            counts = dict.fromkeys(SUM_COLUMNS, 0)
            counts |= {name: getattr(row, name) for name in ("request_count", *USAGE_COLUMNS)}
            counts["cost_generation"] = round(row.cost * PICOS)
            key = {
                "tenant": row.tenant,
                "day": row.day,
                "operation": row.operation,
                "collection": "",
                "user_id": "",
                "key_id": "",
            }
            is_there = connection.execute(select(literal(1)).select_from(sums).filter_by(**key))
            if is_there.first() is None:
                connection.execute(sums.insert().values(**key, **counts))
        connection.execute(former.delete())
