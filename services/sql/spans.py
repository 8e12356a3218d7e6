"""The span of a transaction, as a part of the request that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from services.rpc import semconv
from services.rpc.telemetry import span
from services.sql.engine import is_sqlite

if TYPE_CHECKING:
    from sqlalchemy import Engine


def database_span(engine: Engine, operation: str) -> span:
    """Returns the span of waiting for a transaction: queue, statements and commit.

    The statements stay out: their values are documents. Work in the background has no span.

    Args:
        engine: Database.
        operation: read or write.
    """
    system = "sqlite" if is_sqlite(engine) else "postgresql"
    return span(
        f"{operation} {system}",
        kind=SpanKind.CLIENT,
        attributes={semconv.DB_SYSTEM_NAME: system, semconv.DB_OPERATION_NAME: operation},
        begins_trace=False,
    )
