"""Turns what database drivers raise into service errors; says which are worth another try."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.rpc.errors import (
    DataLossError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

RETRY_AFTER_SECONDS = 0.5
"""What callers are told to wait when the database is busy or gone."""

_SQLITE_PRIMARY_CODE = 0xFF
_PG_DISK_FULL = "53100"
_PG_OUT_OF_RESOURCES = "53"
_PG_RETRYABLE = {"40001", "40P01", "55P03"}
"""serialization_failure, deadlock_detected, lock_not_available: nothing was written."""
_PG_CORRUPTED = {"XX001", "XX002"}


def _driver_error(error: BaseException) -> BaseException:
    """Returns what the driver raised, out of SQLAlchemy's wrapping."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error


def _sqlite_code(error: BaseException) -> int | None:
    """Returns SQLite's primary result code, or None when the error is not SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error) and isinstance(code, int):
        return code & _SQLITE_PRIMARY_CODE
    return None


def is_retryable(error: BaseException) -> bool:
    """Whether the transaction certainly left nothing behind and may succeed when repeated."""
    driver = _driver_error(error)
    if _sqlite_code(driver) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return True
    return isinstance(driver, psycopg.Error) and driver.sqlstate in _PG_RETRYABLE


def is_full(error: BaseException) -> bool:
    """Whether the disk of the database has no space left."""
    translated = translate(error)
    return isinstance(translated, ServiceError) and translated.reason is Reason.STORAGE_FULL


def is_sync_failure(error: BaseException) -> bool:
    """Whether the disk did not confirm a write: what of it will be there later is unknown."""
    code = getattr(_driver_error(error), "sqlite_errorcode", None)
    return code in {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}


def is_constraint_violation(error: BaseException) -> bool:
    """Whether a uniqueness, foreign-key or check constraint refused the write."""
    driver = _driver_error(error)
    return isinstance(driver, sqlite3.IntegrityError | psycopg.errors.IntegrityError)


def translate(error: BaseException) -> BaseException:
    """Returns the service error for a database failure.

    Args:
        error: Anything raised while a transaction ran.

    Returns:
        A ServiceError for failures of the database itself (full, locked, gone, corrupted); the
        error unchanged when it is a ServiceError already or a fault of the program, such as a
        broken constraint or wrong SQL.
    """
    if isinstance(error, ServiceError) or not isinstance(error, SQLAlchemyError):
        return error
    if isinstance(error, PendingRollbackError | PoolTimeoutError):
        is_broken = isinstance(error, PendingRollbackError)
        return _unavailable(
            "the connection to the database broke"
            if is_broken
            else "no database connection was free in time"
        )
    driver = _driver_error(error)
    code = _sqlite_code(driver)
    if code is not None:
        if getattr(driver, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHMSIZE:
            return full()  # the index of the log cannot grow
        return _from_sqlite(code) or error
    if isinstance(driver, psycopg.Error):
        return _from_postgres(driver) or error
    return error


def _from_sqlite(code: int) -> ServiceError | None:
    if code == sqlite3.SQLITE_FULL:
        return full()
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return _unavailable("the database is locked by another writer")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DataLossError(
            Reason.DATA_CORRUPTED, "the database file is damaged: restore a backup"
        )
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
        return _unavailable("the database file cannot be read or written")
    return None


def _from_postgres(driver: psycopg.Error) -> ServiceError | None:
    state = driver.sqlstate or ""
    if state == _PG_DISK_FULL:
        return full()
    if state in _PG_CORRUPTED:
        return DataLossError(
            Reason.DATA_CORRUPTED, "the database reports damaged data: restore a backup"
        )
    if state in _PG_RETRYABLE or state.startswith(_PG_OUT_OF_RESOURCES):
        return _unavailable("the database is busy")
    if isinstance(driver, psycopg.OperationalError | psycopg.InterfaceError):
        return _unavailable("the database does not answer")
    return None


def full() -> ServiceError:
    """Returns the error for a write that found no space."""
    return ResourceExhaustedError(
        Reason.STORAGE_FULL,
        "no space is left to store the write; reads still work",
        retry_after_seconds=30.0,
    )


def _unavailable(message: str) -> ServiceError:
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE, message, retry_after_seconds=RETRY_AFTER_SECONDS
    )
