"""Which processes make the suite, with which ports and environment."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli import internal_secret, valkey_server
from cli.ports import PortPicker
from cli.probes import GrpcProbe, ValkeyProbe
from cli.supervisor import ProcessSpec

if TYPE_CHECKING:
    from pathlib import Path

HOST = "127.0.0.1"
SERVICES = ("embedding", "retrieval", "generation", "ingestion", "gateway")

_DEFAULT_PORTS = {
    "gateway": 8081,
    "embedding": 9101,
    "retrieval": 9102,
    "generation": 9103,
    "ingestion": 9104,
    "valkey": 9105,
}
_DEFAULT_HTTP_PORT = 8080
_DEFAULT_METRICS_PORTS = {
    "gateway": 9200,
    "embedding": 9201,
    "retrieval": 9202,
    "generation": 9203,
    "ingestion": 9204,
}
_TARGETS = {
    "ingestion": ("embedding", "retrieval"),
    "generation": ("embedding",),
    "gateway": ("embedding", "retrieval", "generation", "ingestion"),
}
_VALKEY_USERS = ("gateway", "ingestion")
# The edge stops taking work first, the workers next; what they all call stops last.
_STOP_RANKS = {"gateway": 0, "ingestion": 1, "generation": 2, "retrieval": 2, "embedding": 2}
_VALKEY_STOP_RANK = 3

# On one machine the clients see a health change within milliseconds and calls are short.
_SERVICE_DEFAULTS = {"DRAIN_DELAY_SECONDS": "0.5", "GRACE_SECONDS": "5"}
_PROCESS_DEFAULTS = {
    # Two arenas instead of eight per core: a third less memory in processes with many threads.
    "MALLOC_ARENA_MAX": "2",
    # Modules come from the installation, never from the directory someone happens to stand in.
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    # The services start programs, never copies of themselves: gRPC need not prepare for that.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}
_MAX_REPLICA_COUNT = 8


class PlanError(Exception):
    """What was asked for cannot be started."""


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What a person may choose."""

    data_dir: Path
    """Absolute."""
    http_port: int | None = None
    """Port of REST and console; 0: a free one; None: 8080, or a free one when it is in use."""
    grpc_port: int | None = None
    """Port of the gateway's gRPC; as above, 8081."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Instances per service; one where a service is not named."""
    generation_python: str = sys.executable
    """Interpreter of the generation service; vLLM has an environment of its own."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Settings of the services pass through; what the plan decides wins."""


@dataclass(frozen=True, slots=True)
class PlannedProcess:
    """A process and where it will listen."""

    service: str
    spec: ProcessSpec
    address: str
    http_address: str = ""
    metrics_address: str = ""


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The whole suite."""

    processes: list[PlannedProcess]
    valkey_url: str
    """With the password of this run."""
    valkey_config: Path
    """File the Valkey process reads; `valkey_server.write_config` makes it."""
    notes: list[str]
    """What differs from the defaults, for the person who starts it."""
    ports: PortPicker
    """Holds the ports for the plan; close it when the suite has ended."""

    @property
    def http_url(self) -> str:
        """Base URL of the first gateway."""
        return f"http://{self._gateway.http_address}"

    @property
    def grpc_target(self) -> str:
        """Address (`host:port`) of the first gateway's gRPC."""
        return self._gateway.address

    @property
    def _gateway(self) -> PlannedProcess:
        return next(process for process in self.processes if process.service == "gateway")


def plan_suite(options: SuiteOptions) -> SuitePlan:
    """Chooses ports and composes the environment of every process.

    Raises:
        ValkeyMissingError: its wheel is not installed.
        PortUnavailableError: a port that was asked for is in use.
    """
    return _Planner(options).plan()


def parse_replicas(text: str) -> dict[str, int]:
    """Reads `embedding=2,retrieval=3`.

    Raises:
        PlanError: says which part is wrong and how to mend it.
    """
    counts: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = part.partition("=")
        if name not in SERVICES:
            raise PlanError(f"replicas: {name!r} is no service; choose from {', '.join(SERVICES)}")
        if (
            not count.isascii()
            or not count.isdecimal()
            or not 1 <= int(count) <= _MAX_REPLICA_COUNT
        ):
            raise PlanError(f"replicas: {part!r} needs a count from 1 to {_MAX_REPLICA_COUNT}")
        counts[name] = int(count)
    return counts


class _Planner:
    def __init__(self, options: SuiteOptions) -> None:
        self._options = options
        self._picker = PortPicker(HOST)
        self._notes: list[str] = []
        self._password = secrets.token_hex(16)

    def plan(self) -> SuitePlan:
        # First what was asked for: nothing else may take those ports.
        http_port = self._gateway_port("HTTP", self._options.http_port, _DEFAULT_HTTP_PORT)
        grpc_port = self._gateway_port("gRPC", self._options.grpc_port, _DEFAULT_PORTS["gateway"])
        ports = {
            service: [grpc_port if service == "gateway" else self._port(service)]
            + [self._picker.any() for _ in range(self._options.replicas.get(service, 1) - 1)]
            for service in SERVICES
        }
        valkey = self._valkey()
        valkey_url = f"redis://:{self._password}@{valkey.address}/0"
        targets = {
            service: ",".join(f"{HOST}:{port}" for port in ports[service]) for service in SERVICES
        }
        processes = [valkey]
        for service in SERVICES:
            for number, port in enumerate(ports[service], start=1):
                http = http_port if number == 1 else self._picker.any()
                processes.append(self._service(service, number, port, http, targets, valkey_url))
        config = self._options.data_dir / "valkey" / "valkey.conf"
        return SuitePlan(processes, valkey_url, config, self._notes, self._picker)

    def _service(
        self,
        service: str,
        number: int,
        port: int,
        http_port: int,
        targets: Mapping[str, str],
        valkey_url: str,
    ) -> PlannedProcess:
        prefix = f"CAIRN_{service.upper()}_"
        metrics_port = (
            self._preferably(f"{service}'s /metrics", _DEFAULT_METRICS_PORTS[service])
            if number == 1
            else self._picker.any()
        )
        decided = {
            "HOST": HOST,
            "PORT": str(port),
            "METRICS_PORT": str(metrics_port),
            "DATA_DIR": str(self._options.data_dir),
            **{f"{peer.upper()}_TARGET": targets[peer] for peer in _TARGETS.get(service, ())},
        }
        if service in _VALKEY_USERS:
            decided["VALKEY_URL"] = valkey_url
        if service == "gateway":
            decided |= {"HTTP_HOST": HOST, "HTTP_PORT": str(http_port)}
        given = self._options.environment
        defaults = dict(_SERVICE_DEFAULTS)
        if not given.get(f"{prefix}INTERNAL_SECRET"):
            defaults["INTERNAL_SECRET_FILE"] = str(self._options.data_dir / internal_secret.FILE)
        environment = (
            {f"{prefix}{key}": value for key, value in defaults.items()}
            | _PROCESS_DEFAULTS
            | dict(given)
            | {f"{prefix}{key}": value for key, value in decided.items()}
        )
        address = f"{HOST}:{port}"
        python = self._options.generation_python if service == "generation" else sys.executable
        spec = ProcessSpec(
            name=service if number == 1 else f"{service}-{number}",
            command=(python, "-m", f"services.{service}"),
            environment=environment,
            folder=self._options.data_dir,
            probe=GrpcProbe(address),
            stop_rank=_STOP_RANKS[service],
        )
        return PlannedProcess(
            service=service,
            spec=spec,
            address=address,
            http_address=f"{HOST}:{http_port}" if service == "gateway" else "",
            metrics_address=f"{HOST}:{metrics_port}",
        )

    def _valkey(self) -> PlannedProcess:
        port = self._port("valkey")
        config = self._options.data_dir / "valkey" / "valkey.conf"
        spec = ProcessSpec(
            name="valkey",
            command=(str(valkey_server.binary()), str(config)),
            environment=self._options.environment,
            folder=config.parent,
            probe=ValkeyProbe(HOST, port, self._password),
            stop_rank=_VALKEY_STOP_RANK,
        )
        return PlannedProcess(service="valkey", spec=spec, address=f"{HOST}:{port}")

    def _gateway_port(self, protocol: str, asked: int | None, default: int) -> int:
        if asked is not None:
            return self._picker.exactly(asked)
        return self._preferably(f"the gateway's {protocol}", default)

    def _port(self, service: str) -> int:
        return self._preferably(service, _DEFAULT_PORTS[service])

    def _preferably(self, what: str, default: int) -> int:
        port = self._picker.preferably(default)
        if port != default:
            self._notes.append(f"port {default} is in use: {what} listens on {port}")
        return port
