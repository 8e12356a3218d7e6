"""Creates tables and upgrades them, once, however many processes start together."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from services.rpc.errors import FailedPreconditionError, Reason
from services.sql.engine import WRITES, is_sqlite
from services.sql.failures import is_retryable, translate

_versions_metadata = MetaData()
_versions = Table(
    "cairn_schema",
    _versions_metadata,
    Column("component", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)

Upgrade = Callable[[Connection], None]

START_SECONDS = 20.0
"""How long a starting process waits for another one's upgrade."""


def ensure_schema(
    engine: Engine,
    metadata: MetaData,
    version: int,
    *,
    component: str,
    upgrades: Mapping[int, Upgrade] | None = None,
) -> None:
    """Makes the database fit the program: creates missing tables, upgrades older ones.

    Blocks; call it before serving, or in a thread.

    Args:
        engine: Database.
        metadata: The component's tables as they should be.
        version: Version of that shape, from 1.
        component: Whose tables these are; several components may share one database.
        upgrades: For each older version v, what leads from v to v + 1.

    Raises:
        FailedPreconditionError: the database was written by a newer program, or no upgrade leads
            here.
        UnavailableError: the database does not answer.
    """
    writing = engine.execution_options(**WRITES)
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with writing.connect() as connection, connection.begin():
                _lock(connection, engine)
                _upgrade(connection, metadata, version, component, upgrades or {})
        except SQLAlchemyError as error:
            if is_retryable(error) and time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            raise translate(error) from error
        return


def _lock(connection: Connection, engine: Engine) -> None:
    """Keeps other starting processes out until the transaction ends."""
    if not is_sqlite(engine):
        key = zlib.crc32(b"cairn_schema")
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _upgrade(
    connection: Connection,
    metadata: MetaData,
    version: int,
    component: str,
    upgrades: Mapping[int, Upgrade],
) -> None:
    _versions_metadata.create_all(connection)
    found = version_to_upgrade(connection, version, component, upgrades)
    if found is None:
        metadata.create_all(connection)
        connection.execute(_versions.insert().values(component=component, version=version))
        return
    for step in range(found, version):
        upgrades[step](connection)
    if found < version:
        connection.execute(
            _versions.update().where(_versions.c.component == component).values(version=version)
        )


def version_to_upgrade(
    connection: Connection, version: int, component: str, upgrades: Mapping[int, Upgrade]
) -> int | None:
    """Returns the version of the component's tables, None before there are any; writes nothing.

    Raises:
        FailedPreconditionError: the program cannot work with them: they are newer, or too old.
    """
    if not inspect(connection).has_table(_versions.name):
        return None
    found = connection.scalar(select(_versions.c.version).where(_versions.c.component == component))
    if found is None:
        return None
    if found > version:
        raise FailedPreconditionError(
            Reason.STATE_CONFLICT,
            f"the {component} tables have version {found}, this program knows up to {version}: "
            "start the newer program",
        )
    for step in range(found, version):
        if step not in upgrades:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"the {component} tables have version {found} and nothing leads from {step} on",
            )
    return found
