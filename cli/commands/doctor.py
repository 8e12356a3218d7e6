"""`cairn doctor`: what is misconfigured, and how to mend it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import internal_secret
from cli.doctor.environment import (
    SERVICES,
    environment_checks,
    environment_of,
    preflight,
    secrets_check,
)
from cli.doctor.folder import folder_checks
from cli.doctor.machine import machine_checks
from cli.doctor.suite import gateway_finding, suite_findings
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.suite_state import StateFolder, SuiteState
from cli.terminal import out, styled
from services.rpc.preflight import Finding, Level, examine

_MARKS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warn", "yellow"),
    Level.FAILURE: ("FAIL", "red"),
}


def doctor(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    is_verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what is well, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Finds what is misconfigured and says how to mend it.

    Looks at the machine, the settings, the data directory, the databases and a running suite. Exits
    with 1 when something must be mended; warnings alone exit with 0. With CAIRN_URL set it also
    asks that gateway.
    """
    counts = dict.fromkeys(Level, 0)
    for finding in _findings(data_dir.resolve()):
        counts[finding.level] += 1
        if as_json:
            print(json.dumps(asdict(finding)), flush=True)
        elif is_verbose or finding.level is not Level.OK:
            _show(finding)
    if not as_json:
        well, warnings, failures = (counts[level] for level in Level)
        out.print(f"{well} checks are well, {warnings} warn, {failures} fail.")
    if counts[Level.FAILURE]:
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    out.print(
        styled(f"{mark:5}", colour), styled(f"{finding.check}: {finding.text}"), soft_wrap=True
    )
    if finding.remedy:
        out.print(styled(f"      -> {finding.remedy}", "dim"), soft_wrap=True)


def _findings(data_dir: Path) -> Iterator[Finding]:
    yield from examine(machine_checks(data_dir))
    yield from examine(environment_checks(os.environ))
    yield from examine(folder_checks(data_dir))
    folder = StateFolder(data_dir)
    state = folder.read() if folder.is_locked() else None
    yield from _services(state, data_dir)
    if state is not None:
        yield from asyncio.run(suite_findings(state))
    if url := os.environ.get("CAIRN_URL", "").rstrip("/"):
        yield asyncio.run(gateway_finding(url))


def _services(state: SuiteState | None, data_dir: Path) -> Iterator[Finding]:
    """Runs each service's own checks: as it runs now, or as `cairn up` would start it."""
    made = internal_secret.read_own(data_dir) or internal_secret.new_secret()
    environments: dict[str, dict[str, str]] = {}
    for service in SERVICES:
        running = state.of_service(service) if state else []
        if running and running[0].pid:
            environments[service] = environment_of(running[0].pid)
        else:
            prefix = f"CAIRN_{service.upper()}_"
            own = {f"{prefix}DATA_DIR": str(data_dir)}
            if not any(f"{prefix}INTERNAL_SECRET{end}" in os.environ for end in ("", "_FILE")):
                own[f"{prefix}INTERNAL_SECRET"] = made
            environments[service] = dict(os.environ) | own
    yield from examine([secrets_check(environments)])
    for service, variables in environments.items():
        yield from preflight(service, variables)
