"""Many rows or ids in one statement, by the shortest way each database has."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

_POSTGRES_TYPES = {"BIGINT": "int8", "INTEGER": "int4", "TEXT": "text", "BLOB": "bytea"}


@dataclass(frozen=True, slots=True)
class _Form:
    """How rows go into a table."""

    sqlite: str
    postgres: str
    postgres_types: tuple[str, ...]


def insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows: one prepared statement over all of them on SQLite, COPY on PostgreSQL.

    Nothing is converted on the way: values are what the drivers take for the columns' types.
    Measured with rows of 1.5 kB: 11 to 15 µs of CPU a row on SQLite, 3 µs on PostgreSQL.

    Args:
        connection: An open transaction.
        table: Table of whole numbers, texts and bytes.
        rows: Values of all columns in the order of the table; none of the keys is there yet.

    Raises:
        SQLAlchemyError: as of any statement.
    """
    if not rows:
        return
    form = _form(table)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(form.sqlite, list(rows))
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(form.postgres) as copy:
            copy.set_types(form.postgres_types)
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(form.postgres, None, error, psycopg.Error) from error


def among(connection: Connection, column: str, name: str = "ids") -> str:
    """Returns the SQL condition that a column is among the values that `bind` makes a parameter."""
    if connection.dialect.name == "sqlite":
        # Names are the program's own.
        return f"{column} IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - see above
    return f"{column} = ANY(:{name})"


def bind(connection: Connection, values: Sequence[str] | Sequence[int]) -> str | list[Any]:
    """Returns any number of texts, or of whole numbers, as one parameter for `among`."""
    if connection.dialect.name == "sqlite":
        return json.dumps(list(values), ensure_ascii=False)
    return list(values)


@functools.lru_cache(maxsize=64)
def _form(table: Table) -> _Form:
    names = ", ".join(column.name for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    # Names are those of the program's own tables; all values are bound.
    return _Form(
        sqlite=f"INSERT INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608 - see above
        postgres=f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)",
        postgres_types=tuple(_POSTGRES_TYPES[str(column.type)] for column in table.columns),
    )
