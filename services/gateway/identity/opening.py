"""Puts identity and audit together for a process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.gateway.audit.chain import AuditKeys
from services.gateway.audit.desk import AuditDesk
from services.gateway.audit.log import AuditLog
from services.gateway.bootstrap import MIN_PEPPER_BYTES, ensure_admin_key, read_or_make_pepper
from services.gateway.identity.desk import IdentityDesk
from services.gateway.key_desk import KeyDesk
from services.gateway.keys import Peppers
from services.gateway.store.audit_store import AuditStore
from services.gateway.store.directory import Directory
from services.gateway.store.key_rows import KeyRows
from services.gateway.store.key_store import KeyStore
from services.gateway.tokens.issuers import read_issuers
from services.rpc.errors import StartupError
from services.rpc.logs import set_hash_key

if TYPE_CHECKING:
    from pathlib import Path

    from services.gateway.settings import GatewaySettings
    from services.gateway.tokens.verifier import TokenVerifier
    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter


@dataclass(frozen=True, slots=True)
class Identity:
    """Who may come in, who manages that, and what is written down about it."""

    keys: KeyStore
    tokens: TokenVerifier | None
    """None: no identity provider is trusted."""
    key_desk: KeyDesk
    desk: IdentityDesk
    audit: AuditLog
    audit_desk: AuditDesk


@contextlib.asynccontextmanager
async def open_identity(
    settings: GatewaySettings, folder: Path, reader: Reader, writer: GroupWriter
) -> AsyncIterator[Identity]:
    """Runs what identity needs while the block runs. The tables must be there.

    Args:
        settings: Of the process.
        folder: Where pepper and first key are.
        reader: For look-ups.
        writer: For changes.

    Raises:
        StartupError: a setting, or a file in the folder, cannot be used.
    """
    peppers = await asyncio.to_thread(_peppers, settings, folder)
    set_hash_key(peppers.current)
    directory = Directory(reader, writer)
    rows = KeyRows(reader, writer, peppers)
    keys = KeyStore(reader, writer, peppers)
    tokens = _tokens(settings, directory)

    def changed() -> None:
        keys.forget_all()
        if tokens is not None:
            tokens.forget_all()

    await directory.adopt_tenants()
    await ensure_admin_key(rows, keys, folder, settings.admin_key.get_secret_value())
    days = settings.audit_retention_days
    audit = AuditLog(
        AuditStore(reader, writer, AuditKeys(peppers.all)), timedelta(days=days) if days else None
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(audit.running())
        await stack.enter_async_context(keys.running())
        if tokens is not None:
            await stack.enter_async_context(tokens.running())
        yield Identity(
            keys=keys,
            tokens=tokens,
            key_desk=KeyDesk(rows, keys, directory),
            desk=IdentityDesk(directory, changed),
            audit=audit,
            audit_desk=AuditDesk(audit),
        )


def _peppers(settings: GatewaySettings, folder: Path) -> Peppers:
    given = [settings.pepper.get_secret_value()]
    given += settings.former_peppers.get_secret_value().split()
    for name, text in zip(["PEPPER"] + ["FORMER_PEPPERS"] * len(given), given, strict=False):
        if text and len(text) < MIN_PEPPER_BYTES:
            raise StartupError(f"CAIRN_GATEWAY_{name} needs {MIN_PEPPER_BYTES} bytes or more")
    current, *former = (text.encode() for text in given)
    return Peppers(current or read_or_make_pepper(folder), former)


def _tokens(settings: GatewaySettings, directory: Directory) -> TokenVerifier | None:
    try:
        issuers = read_issuers(settings.jwt_issuers)
    except ValueError as error:
        raise StartupError(f"CAIRN_GATEWAY_JWT_ISSUERS: {error}") from error
    if not issuers:
        return None
    # Cryptography is loaded where providers are trusted, and nowhere else.
    from services.gateway.tokens.fetching import fetch_json  # noqa: PLC0415 - see above
    from services.gateway.tokens.verifier import TokenVerifier  # noqa: PLC0415 - see above

    return TokenVerifier(issuers, directory, fetch_json)
