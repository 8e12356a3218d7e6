"""The first start: a pepper and an admin key, each written once, readable by its owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.gateway.identity.credentials import EVERYONE
from services.gateway.identity.permissions import Role
from services.gateway.identity.tenancy import HOME_TENANT
from services.gateway.keys import ApiKey, new_key, parse_key
from services.rpc.errors import StartupError
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from services.gateway.store.key_rows import KeyRows
    from services.gateway.store.key_store import KeyStore

MIN_PEPPER_BYTES = 16


def read_or_make_pepper(folder: Path) -> bytes:
    """Returns the pepper in the folder, making it on the first start.

    Raises:
        StartupError: the file cannot be read or written, or holds too little.
    """
    text = read_or_make(folder / "pepper", secrets.token_urlsafe(48))
    if len(text) < MIN_PEPPER_BYTES:
        raise StartupError(f"{folder / 'pepper'} holds less than {MIN_PEPPER_BYTES} bytes")
    return text.encode()


def read_or_make(path: Path, text: str) -> str:
    """Returns what the file holds; writes `text` first when there is no file, whole or not at all.

    Raises:
        StartupError: the file cannot be read or written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            # A link fails when another process was first; a rename would take its file away.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StartupError(f"cannot read or write {path}: {error.strerror}") from error


async def ensure_admin_key(rows: KeyRows, keys: KeyStore, folder: Path, given: str = "") -> None:
    """Makes the first admin key unless there was one. The key goes to a file, never to a log.

    Every step may be repeated: after a crash, the next start takes the same key from the file.

    Args:
        rows: Where keys live.
        keys: Accepts keys.
        folder: Where `admin.key` is written.
        given: A key chosen by the operator; then no file is written.

    Raises:
        StartupError: the key or its file cannot be used.
    """
    if await rows.has_bootstrapped():
        return
    path = folder / "admin.key"
    existed = path.exists()
    text = given or read_or_make(path, new_key()[0])
    parsed = parse_key(text)
    if parsed is None:
        raise StartupError(
            "the admin key setting is no key: it must read crn_<id>_<secret>_<checksum>"
            if given
            else f"{path} holds no key: delete it to get a new one"
        )
    key = ApiKey(
        key_id=parsed.key_id,
        tenant=HOME_TENANT,
        name="bootstrap admin",
        role=Role.ADMIN,
        principals=(EVERYONE, f"key:{parsed.key_id}"),
        created_at=datetime.now(UTC),
    )
    if await rows.bootstrap(key, parsed):
        get_logger().info("admin key made", key_id=parsed.key_id)
    elif not existed and not given and not (await _is_known(keys, text)):
        # Another replica with a folder of its own was first: this key opens nothing.
        path.unlink(missing_ok=True)


async def _is_known(keys: KeyStore, text: str) -> bool:
    try:
        await keys.accept(text)
    except Exception:  # noqa: BLE001 - any refusal means the same here
        return False
    return True
