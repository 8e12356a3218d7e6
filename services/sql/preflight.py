"""Whether a database answers and holds tables that this program can work with; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from services.rpc.errors import FailedPreconditionError
from services.rpc.preflight import Check, Finding, Level
from services.sql.engine import open_engine
from services.sql.failures import translate
from services.sql.schema import Upgrade, version_to_upgrade

_NAME = "database"


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that a program brings: whose, in which version, and what leads there."""

    component: str
    version: int
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)


def database_check(url: str, file: Path, schemas: Sequence[Schema]) -> Check:
    """Looks at a database.

    Args:
        url: Its address, empty for `file`; credentials in it are never shown.
        file: The SQLite file that is used without one.
        schemas: The tables that the program will ask for.
    """
    url = url or URL.create("sqlite", database=str(file.absolute())).render_as_string()
    return Check(_NAME, lambda: _look(url, schemas))


def _look(url: str, schemas: Sequence[Schema]) -> Finding:
    if url.startswith("sqlite") and not _exists(url):
        return Finding(_NAME, Level.OK, "a new SQLite file will be made")
    try:
        engine = open_engine(url, pool_size=1)
    except ValueError as error:
        return Finding(_NAME, Level.FAILURE, str(error), "correct the DATABASE_URL")
    try:
        with engine.connect() as connection:
            return _compare(connection, schemas)
    except FailedPreconditionError as error:
        return Finding(_NAME, Level.FAILURE, error.message, "run a version that knows these tables")
    except SQLAlchemyError as error:
        known = translate(error)
        remedy = "start it, or correct the DATABASE_URL and its password"
        return Finding(_NAME, Level.FAILURE, getattr(known, "message", "does not answer"), remedy)
    finally:
        engine.dispose()


def _exists(url: str) -> bool:
    return Path(make_url(url).database or "").is_file()


def _compare(connection: Connection, schemas: Sequence[Schema]) -> Finding:
    said: list[str] = []
    is_written = False
    for schema in schemas:
        found = version_to_upgrade(connection, schema.version, schema.component, schema.upgrades)
        if found is None:
            said.append(f"{schema.component} tables will be made")
        elif found < schema.version:
            said.append(f"{schema.component} tables will go from {found} to {schema.version}")
        else:
            said.append(f"{schema.component} tables are current ({found})")
        is_written |= found != schema.version
    if is_written and connection.dialect.name == "postgresql" and not _may_create(connection):
        remedy = "grant CREATE on its schema to the user of the DATABASE_URL"
        return Finding(_NAME, Level.FAILURE, "tables may not be made or changed", remedy)
    return Finding(_NAME, Level.OK, "; ".join(said))


def _may_create(connection: Connection) -> bool:
    asked = "SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')"
    return bool(connection.scalar(text(asked)))
