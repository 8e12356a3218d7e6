"""Where the gateway is, and the key it lets us in with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cli.errors import CliError, NotRunningError
from cli.suite_state import StateFolder, SuiteState

DEFAULT_DATA_DIR = Path(".cairn")


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway and a credential."""

    url: str
    """Base URL without a slash at its end."""
    api_key: str = field(repr=False)


def find_gateway(data_dir: Path) -> Connection:
    """Returns the gateway of `CAIRN_URL`, else that of the suite which runs on `data_dir`.

    Raises:
        NotRunningError: no suite runs there.
        CliError: no key.
    """
    url, key = os.environ.get("CAIRN_URL", ""), os.environ.get("CAIRN_API_KEY", "")
    if url:
        if not url.startswith(("http://", "https://")):
            raise CliError(f"CAIRN_URL is {url!r}", "it must begin with http:// or https://")
        if not key:
            # Never the suite's own key: the address may be anyone's.
            raise CliError("CAIRN_URL is set without a key", "set CAIRN_API_KEY to a key of it")
        return Connection(url.rstrip("/"), key)
    state = running_state(data_dir)
    return Connection(state.http_url, key or read_admin_key(state))


def running_state(data_dir: Path) -> SuiteState:
    """Returns what the suite that runs on `data_dir` wrote down.

    Raises:
        NotRunningError: none runs, or it has not written anything yet.
    """
    folder = StateFolder(data_dir)
    state = folder.read() if folder.is_locked() else None
    if state is None:
        raise NotRunningError(
            f"no suite runs on {data_dir}",
            "start it with `cairn up`, name its folder with --data-dir, "
            "or set CAIRN_URL and CAIRN_API_KEY",
        )
    return state


def read_admin_key(state: SuiteState) -> str:
    """Returns the bootstrap key of a suite.

    Raises:
        CliError: it is not there or cannot be read.
    """
    try:
        key = Path(state.admin_key_file).read_text("utf-8").strip()
    except OSError as error:
        if state.phase == "starting":
            raise NotRunningError("the suite is still starting", "see `cairn status`") from None
        raise CliError(
            f"{state.admin_key_file} cannot be read: {error.strerror}",
            "set CAIRN_API_KEY to a key of this suite",
        ) from None
    return key
