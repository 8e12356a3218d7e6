"""Environment variables that mean to set something and set nothing."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.rpc.preflight import Check, Finding, Level
from services.rpc.settings import ServiceSettings

SERVICES = ("embedding", "retrieval", "generation", "ingestion", "gateway")
_OF_THE_PROGRAM = {
    *("CAIRN_DATA_DIR", "CAIRN_URL", "CAIRN_API_KEY", "CAIRN_RETRIEVAL_ADDRESS"),
    *("CAIRN_INTERNAL_SECRET", "CAIRN_INTERNAL_SECRET_FILE"),
}
_PREFLIGHT_SECONDS = 60


def environment_checks(variables: Mapping[str, str]) -> Iterator[Check]:
    """Yields a look at names that no service knows; each service looks at its own values."""
    yield Check("variables", lambda: _names(variables))


def _names(variables: Mapping[str, str]) -> Finding:
    prefixes = tuple(f"CAIRN_{service.upper()}_" for service in SERVICES)
    strays = [
        name
        for name in sorted(variables)
        if name.startswith("CAIRN")
        and name not in _OF_THE_PROGRAM
        and not name.startswith(prefixes)
    ]
    if not strays:
        count = sum(name.startswith(prefixes) for name in variables)
        return Finding("variables", Level.OK, f"{count} settings in the environment")
    known = _known_names()
    hints = [
        f"{name} (did you mean {close[0]}?)"
        if (close := difflib.get_close_matches(name, known, n=1, cutoff=0.7))
        else name
        for name in strays
    ]
    text = f"no service reads {', '.join(hints)}"
    return Finding("variables", Level.WARNING, text, "correct or unset them")


def _known_names() -> list[str]:
    names: list[str] = []
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.settings")
        for value in vars(module).values():
            is_settings = isinstance(value, type) and issubclass(value, ServiceSettings)
            if is_settings and value is not ServiceSettings:
                names += [f"CAIRN_{service.upper()}_{name}".upper() for name in value.model_fields]
    return names


def secrets_check(environments: Mapping[str, Mapping[str, str]]) -> Check:
    """Looks whether each service takes the calls that the others sign; shows no secret.

    Args:
        environments: Of each service by its name.
    """

    def run() -> Finding:
        name = "internal secrets"
        own = {
            service: (_secret(variables, service), _secret(variables, service, "FORMER_", "S"))
            for service, variables in environments.items()
        }
        refused = [
            f"{called} refuses {caller}"
            for called, (secret, former) in own.items()
            for caller, (sent, _) in own.items()
            if caller != called and (secret or former) and sent not in {secret, *former.split()}
        ]
        if not refused:
            return Finding(name, Level.OK, "services take each other's calls")
        remedy = (
            "give all services the same INTERNAL_SECRET; docs/operations.md tells how to change it"
        )
        return Finding(name, Level.FAILURE, f"they differ: {', '.join(refused)}", remedy)

    return Check("internal secrets", run)


def _secret(variables: Mapping[str, str], service: str, before: str = "", after: str = "") -> str:
    """Returns a secret setting's value; empty where there is none, or its file cannot be read."""
    name = f"CAIRN_{service.upper()}_{before}INTERNAL_SECRET{after}"
    if path := variables.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""
    return variables.get(name, "")


def preflight(service: str, variables: Mapping[str, str], python: str = "") -> list[Finding]:
    """Runs a service's own checks as it would run, in a process with its environment.

    Args:
        service: Which.
        variables: Its environment.
        python: Its interpreter; empty: this one.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [python or sys.executable, "-m", f"services.{service}.preflight", "--json"],
            env=dict(variables),
            capture_output=True,
            text=True,
            timeout=_PREFLIGHT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding(service, Level.FAILURE, f"its checks did not end: {type(error).__name__}")]
    if done.returncode == 2:
        lines = [line.removeprefix("configuration error: ") for line in done.stderr.splitlines()]
        remedy = "docs/configuration.md explains each setting"
        return [Finding(f"{service}: settings", Level.FAILURE, line, remedy) for line in lines]
    findings: list[Finding] = []
    for line in done.stdout.splitlines():
        told = json.loads(line)
        findings.append(
            Finding(
                f"{service}: {told['check']}", Level(told["level"]), told["text"], told["remedy"]
            )
        )
    if not findings:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        findings.append(Finding(service, Level.FAILURE, f"its checks failed: {last[:200]}"))
    return findings


def environment_of(pid: int) -> dict[str, str]:
    """Returns the environment that a process of ours was started with; this one's where unknown."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - not a path of ours
            pairs = file.read().split(b"\0")
    except OSError:
        return dict(os.environ)
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, _, value in (pair.partition(b"=") for pair in pairs)
        if name
    }
