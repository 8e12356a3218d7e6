"""What a process needs before it may serve, looked at without starting it.

`python -m services.<name>.preflight` runs a service's checks with the settings of the environment
and ends with 1 when one fails: a new version that cannot work is stopped before an old one leaves
for it. It writes nothing that lasts.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.rpc.errors import StartupError
from services.rpc.service_identity import identity_of

if TYPE_CHECKING:
    from services.rpc.settings import ServiceSettings

CHECK_SECONDS = 15.0
"""Longest that one check may take."""
_CONNECT_SECONDS = 3.0
_LEAST_FREE_BYTES = 256 * 1024 * 1024
_LEAST_FREE_RATIO = 0.05


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str
    level: Level
    text: str
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """One look at one thing; blocks, and changes nothing."""

    name: str
    run: Callable[[], Finding]


def examine(checks: Iterable[Check], *, seconds: float = CHECK_SECONDS) -> Iterator[Finding]:
    """Runs checks one after the other; one that raises or hangs is a finding as well.

    Args:
        checks: What to look at.
        seconds: Longest wait for one of them.
    """
    for check in checks:
        found: list[Finding] = []
        thread = threading.Thread(target=_run, args=(check, found), daemon=True)
        thread.start()
        thread.join(seconds)
        yield (
            found[0]
            if found
            else Finding(check.name, Level.FAILURE, f"no result within {seconds:g} s")
        )


def _run(check: Check, found: list[Finding]) -> None:
    try:
        found.append(check.run())
    except Exception as error:  # noqa: BLE001 - a check that breaks is itself a finding
        # Its text may hold an address with a password.
        found.append(Finding(check.name, Level.FAILURE, f"failed with {type(error).__name__}"))


def run_preflight(service: str, checks: Iterable[Check]) -> int:
    """Prints what the checks find (`--json`: as JSON lines); returns 1 after a failure, else 0."""
    has_failed = False
    is_json = "--json" in sys.argv[1:]
    for finding in examine(checks):
        has_failed |= finding.level is Level.FAILURE
        if is_json:
            print(json.dumps(asdict(finding)), flush=True)  # noqa: T201 - its purpose
            continue
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        print(f"{finding.level:7} {finding.check}: {finding.text}{remedy}", flush=True)  # noqa: T201 - its purpose
    if not is_json:
        print(f"{service} {'must not start' if has_failed else 'may start'}", flush=True)  # noqa: T201 - its purpose
    return int(has_failed)


def folder_check(folder: Path) -> Check:
    """Looks whether a folder can be written, and how much room its disk has."""

    def run() -> Finding:
        name = "data directory"
        place = folder if folder.exists() else _nearest(folder)
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"\0" * 4096)
                file.flush()
        except OSError as error:
            remedy = f"make {folder} writable for this process's user, or mount a volume there"
            return Finding(name, Level.FAILURE, f"{folder}: {error.strerror}", remedy)
        usage = shutil.disk_usage(place)
        room = f"{usage.free / 2**30:.1f} GiB free ({usage.free / usage.total:.0%})"
        if usage.free < _LEAST_FREE_BYTES:
            return Finding(name, Level.FAILURE, f"{folder}: {room}", "free space on its disk")
        if usage.free < _LEAST_FREE_RATIO * usage.total:
            return Finding(name, Level.WARNING, f"{folder}: {room}", "free space on its disk")
        return Finding(name, Level.OK, f"{folder}: writable, {room}")

    return Check("data directory", run)


def _nearest(folder: Path) -> Path:
    return next(each for each in folder.absolute().parents if each.exists())


def target_check(name: str, target: str) -> Check:
    """Looks whether another service's name resolves; it need not run yet."""

    def run() -> Finding:
        for address in target.removeprefix("dns:///").split(","):
            host, _, port = address.strip().rpartition(":")
            try:
                socket.getaddrinfo(host.strip("[]"), port)
            except OSError:
                text = f"{address} does not resolve"
                return Finding(name, Level.WARNING, text, "correct the address, or its service")
        return Finding(name, Level.OK, f"{target} resolves")

    return Check(name, run)


def address_check(name: str, url: str, *, effect: str, level: Level = Level.WARNING) -> Check:
    """Looks whether something listens at a URL's host and port.

    Args:
        name: What it is.
        url: Where it is; credentials in it are never shown.
        effect: What goes missing without it.
        level: What its absence is.
    """

    def run() -> Finding:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or _default_port(parts.scheme)}"
        try:
            with socket.create_connection(
                (parts.hostname, parts.port or _default_port(parts.scheme)), _CONNECT_SECONDS
            ):
                return Finding(name, Level.OK, f"{place} listens")
        except OSError as error:
            text = f"{place} cannot be reached ({type(error).__name__}): {effect}"
            return Finding(name, level, text, "start it, or correct its address")

    return Check(name, run)


def traces_checks(settings: ServiceSettings) -> Iterator[Check]:
    """Yields a look whether the collector listens, where one is named."""
    if endpoint := settings.otlp_endpoint:
        url = endpoint if "://" in endpoint else f"http://{endpoint}"
        yield address_check("traces", url, effect="spans are lost")


def _default_port(scheme: str) -> int:
    return {"https": 443, "http": 80, "redis": 6379, "rediss": 6379}.get(scheme, 0)


def signed_calls_check(settings: ServiceSettings) -> Check:
    """Looks whether services know who of the installation calls them."""
    name = "internal calls"
    try:
        is_signed = identity_of("", settings) is not None
    except StartupError as error:
        return note(name, Level.FAILURE, str(error))
    if is_signed:
        return note(name, Level.OK, "are signed")
    prefix = type(settings).model_config.get("env_prefix", "")
    return note(
        name,
        Level.WARNING,
        "are not signed: whoever reaches a service may read and write every tenant's documents",
        f"set {prefix}INTERNAL_SECRET, the same in every service",
    )


def path_check(name: str, path: Path, *, remedy: str) -> Check:
    """Looks whether a file or folder exists and can be read."""

    def run() -> Finding:
        try:
            is_there = path.exists()
        except OSError as error:
            return Finding(name, Level.FAILURE, f"{path}: {error.strerror}", remedy)
        if not is_there:
            return Finding(name, Level.FAILURE, f"{path} does not exist", remedy)
        return Finding(name, Level.OK, f"{path} exists")

    return Check(name, run)


def note(name: str, level: Level, text: str, remedy: str = "") -> Check:
    """Returns a check whose finding is known from the settings alone."""
    return Check(name, lambda: Finding(name, level, text, remedy))
