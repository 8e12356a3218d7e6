"""The secret with which the services of an installation sign their calls to each other."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cli.errors import CliError
from services.rpc.service_identity import MIN_SECRET_CHARACTERS, OPERATOR, ServiceIdentity

FILE = "internal.secret"
VARIABLE = "CAIRN_INTERNAL_SECRET"


def ensure(data_dir: Path) -> Path:
    """Returns the file of a suite's secret; the first start makes one."""
    path = data_dir / FILE
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(file, "w", encoding="ascii") as stream:
        stream.write(new_secret())
    return path


def new_secret() -> str:
    """Returns a fresh secret."""
    return secrets.token_hex(32)


def read_own(data_dir: Path) -> str:
    """Returns the secret that a suite's first start made; empty: none yet, or it cannot be read."""
    try:
        return (data_dir / FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read(data_dir: Path) -> str:
    """Returns the installation's secret; empty: there is none.

    It is that of `CAIRN_INTERNAL_SECRET` or of the file that `…_FILE` names, else that of the suite
    on `data_dir`.

    Raises:
        CliError: it cannot be read.
    """
    if given := os.environ.get(VARIABLE):
        return given
    named = os.environ.get(f"{VARIABLE}_FILE")
    path = Path(named) if named else data_dir / FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if not named:
            return ""
        raise CliError(f"{path} does not exist", f"correct {VARIABLE}_FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"{path} cannot be read: {type(error).__name__}",
            f"set {VARIABLE} to the secret of the installation",
        ) from None


def identity(data_dir: Path, name: str = OPERATOR) -> ServiceIdentity | None:
    """Returns a caller of the services; None: their calls are not signed.

    Raises:
        CliError: the secret cannot be read, or is too short.
    """
    secret = read(data_dir)
    if not secret:
        return None
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise CliError(
            "the internal secret is too short", f"it has {MIN_SECRET_CHARACTERS} characters or more"
        )
    return ServiceIdentity(name, secret)
