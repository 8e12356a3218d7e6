"""Many rows or ids in one statement, by the shortest way each database has."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table, TextClause

_POSTGRES_TYPES = {
    "BIGINT": "int8",
    "INTEGER": "int4",
    "BOOLEAN": "bool",
    "TEXT": "text",
    "VARCHAR": "text",
    "BLOB": "bytea",
}

_MAX_PARAMETERS = 32_000
"""SQLite takes 32,766 in one statement."""
_ROWS_PER_STATEMENT = (256, 64, 16, 4, 1)
"""Few sizes, so that each statement is prepared once per connection."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How rows go into a table."""

    sqlite: dict[int, str]
    """Statements by their numbers of rows, most rows first."""
    postgres: str
    postgres_types: tuple[str, ...]


def insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows: many to a statement on SQLite, COPY on PostgreSQL.

    Nothing is converted on the way: values are what the drivers take for the columns' types.
    Measured with rows of 1.5 kB: 8 to 15 µs of CPU a row on SQLite, 3 µs on PostgreSQL.

    SQLite's driver gives up the interpreter's lock for each row of an `executemany`, and waits for
    it each time when another thread runs Python: 640 rows/s beside one busy thread, where one
    statement of 256 rows makes 18,000.

    Args:
        connection: An open transaction.
        table: Table of whole numbers, truths, texts and bytes.
        rows: Values of all columns in the order of the table; none of the keys is there yet.

    Raises:
        SQLAlchemyError: as of any statement.
    """
    if not rows:
        return
    form = _form(table)
    if connection.dialect.name == "sqlite":
        _insert_sqlite(connection, form.sqlite, rows)
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(form.postgres) as copy:
            copy.set_types(form.postgres_types)
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(form.postgres, None, error, psycopg.Error) from error


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, of the same columns, except those for whose key there is one already."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statements = _inserts(table, tuple(rows[0]), " ON CONFLICT DO NOTHING")
        _insert_sqlite(connection, statements, [tuple(row.values()) for row in rows])
        return
    connection.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, of the same columns, in the place of those with the same primary key."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    others = [name for name in rows[0] if name not in keys]
    if connection.dialect.name == "sqlite":
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        ending = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
        statements = _inserts(table, tuple(rows[0]), ending)
        _insert_sqlite(connection, statements, [tuple(row.values()) for row in rows])
        return
    statement = postgresql.insert(table)
    excluded = {name: statement.excluded[name] for name in others}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=excluded), rows)


def update_each(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    also: str = "",
    **bound: Any,
) -> None:
    """Changes rows, each to values of its own, in one statement.

    Args:
        connection: An open transaction.
        table: Table of whole numbers, truths and texts.
        rows: Of the same columns: first the one that says which row, then those that change.
        also: What changes in all of them alike, in SQL.
        bound: Parameters of `also`.
    """
    if not rows:
        return
    clause = _update_each(table, tuple(rows[0]), also, connection.dialect.name == "sqlite")
    values = json.dumps([list(row.values()) for row in rows])
    connection.execute(clause, {"rows": values, **bound})


@functools.lru_cache(maxsize=64)
def _update_each(table: Table, names: tuple[str, ...], also: str, is_sqlite: bool) -> TextClause:
    key, *changed = names
    if is_sqlite:
        values = [f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(names)]
        source = "json_each(:rows)"
    else:
        values = [
            f"CAST(value->>{at} AS {_postgres_type(table, name)}) AS {name}"
            for at, name in enumerate(names)
        ]
        source = "json_array_elements(CAST(:rows AS json))"
    changes = ", ".join([*(f"{name} = new.{name}" for name in changed), *([also] if also else [])])
    # Names are the program's own; all values are bound.
    return text(
        f"UPDATE {table.name} SET {changes} FROM (SELECT {', '.join(values)} FROM {source}) AS new "  # noqa: S608 - see above
        f"WHERE {table.name}.{key} = new.{key}"
    )


def _postgres_type(table: Table, name: str) -> str:
    return _POSTGRES_TYPES[str(table.c[name].type).partition("(")[0]]


def _insert_sqlite(
    connection: Connection, statements: Mapping[int, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    done = 0
    for count, statement in statements.items():
        while len(rows) - done >= count:
            part = rows[done : done + count]
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))
            done += count


def among(connection: Connection, column: str) -> str:
    """Returns the SQL condition that a column is among the values of `:ids`, made by `bind`."""
    if connection.dialect.name == "sqlite":
        # Names are the program's own.
        return f"{column} IN (SELECT value FROM json_each(:ids))"  # noqa: S608 - see above
    return f"{column} = ANY(:ids)"


def bind(connection: Connection, values: Sequence[str] | Sequence[int]) -> str | list[Any]:
    """Returns any number of texts, or of whole numbers, as one parameter for `among`."""
    if connection.dialect.name == "sqlite":
        return json.dumps(list(values), ensure_ascii=False)
    return list(values)


def pair_table(connection: Connection, name: str) -> str:
    """Returns a table in SQL of the pairs that `bind_pairs` makes parameters: `first`, `second`."""
    if connection.dialect.name == "sqlite":
        return sqlite_pair_table(name)
    arrays = f"CAST(:{name} AS text[]), CAST(:{name}_second AS int8[])"
    return f"unnest({arrays}) AS {name} (first, second)"


def sqlite_pair_table(name: str) -> str:
    """Returns what `pair_table` does on SQLite: the parameter is a text in JSON."""
    # Names are the program's own.
    return (
        "(SELECT json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS second "  # noqa: S608 - see above
        f"FROM json_each(:{name})) AS {name}"
    )


def bind_pairs(
    connection: Connection, name: str, pairs: Sequence[tuple[str, int]]
) -> dict[str, str | list[Any]]:
    """Returns any number of pairs of a text and a whole number as parameters for `pair_table`."""
    if connection.dialect.name == "sqlite":
        return {name: json.dumps(pairs, ensure_ascii=False)}
    return {
        name: [first for first, _ in pairs],
        f"{name}_second": [second for _, second in pairs],
    }


@functools.lru_cache(maxsize=64)
def _form(table: Table) -> _Form:
    columns = tuple(column.name for column in table.columns)
    return _Form(
        sqlite=_inserts(table, columns),
        postgres=f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)",
        postgres_types=tuple(_postgres_type(table, name) for name in columns),
    )


@functools.lru_cache(maxsize=64)
def _inserts(table: Table, names: tuple[str, ...], ending: str = "") -> dict[int, str]:
    """Returns SQLite's statements by their numbers of rows, most rows first."""
    marks = f"({', '.join('?' for _ in names)})"
    # Names are those of the program's own tables; all values are bound.
    head = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES "  # noqa: S608 - see above
    return {
        count: head + ", ".join([marks] * count) + ending
        for count in _ROWS_PER_STATEMENT
        if count * len(names) <= _MAX_PARAMETERS
    }
