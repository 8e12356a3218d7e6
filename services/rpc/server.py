"""A gRPC server as every Cairn process runs it: layers, health, reflection, drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.rpc.errors import StartupError
from services.rpc.health import Health
from services.rpc.interceptors.access_log import log_access
from services.rpc.interceptors.call import Layer
from services.rpc.interceptors.deadline import enforce_deadline
from services.rpc.interceptors.errors import answer_errors
from services.rpc.interceptors.metrics import measure
from services.rpc.interceptors.server import ExceptInfrastructure, LayeredInterceptor
from services.rpc.interceptors.tracing import TracingLayer
from services.rpc.logs import get_logger
from services.rpc.process import run_service as run_service  # noqa: PLC0414 - part of this API
from services.rpc.service_identity import CallerCheck, identity_of
from services.rpc.settings import ServiceSettings
from services.rpc.telemetry import Telemetry
from services.rpc.wakeups import read_at_once

read_at_once()

_CONNECTION_GRACE_SECONDS = 900
"""Time a stream may go on after its connection's age has passed."""
_MIN_PING_INTERVAL_MS = 5000
"""Clients ping each 10 s (`rpc.channel`); a server that permits less answers "too many pings"."""


class RpcServer:
    """A server, not yet listening.

    Register servicers on `grpc`, then `start`. Streaming methods of servicers must be async
    generators.

    Args:
        settings: Address, limits and drain times.
        telemetry: Where the server's spans go.
        service_names: Fully qualified names of the services, for health and reflection.
        file_descriptors: Descriptors of the files that declare them; a misspelt name fails here.
        callers: Services that may call, when calls are signed; None: whoever reaches the server.
        extra_interceptors: Run after the layers, outermost first; may raise `ServiceError`s.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        telemetry: Telemetry,
        *,
        service_names: Sequence[str],
        file_descriptors: Sequence[Any] = (),
        callers: Sequence[str] | None = None,
        extra_interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        _check_names(service_names, file_descriptors)
        self._settings = settings
        self._service_names = tuple(service_names)
        layers: list[Layer] = [
            TracingLayer(telemetry, settings.host),
            measure,
            log_access,
            answer_errors,
            enforce_deadline,
        ]
        identity = None if callers is None else identity_of("", settings)
        if identity is not None and callers is not None:
            layers.append(CallerCheck(identity, callers))
        layered = LayeredInterceptor(layers, hear=telemetry.tail.keep)
        self.grpc: grpc.aio.Server = grpc.aio.server(
            interceptors=[layered, *(ExceptInfrastructure(each) for each in extra_interceptors)],
            options=_options(settings),
        )
        self.health = Health(service_names)
        self.port = 0
        """Port the server listens on, once started."""
        self.is_draining = False

    async def start(self) -> int:
        """Listens, alive but not ready, and returns the port.

        Raises:
            StartupError: The address cannot be bound.
        """
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        reflection.enable_server_reflection(
            (
                *self._service_names,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            ),
            self.grpc,
        )
        host, port = self._settings.host, self._settings.port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self.grpc.add_insecure_port(address)
        except RuntimeError as error:
            prefix = type(self._settings).model_config.get("env_prefix", "")
            raise StartupError(
                f"cannot listen on {address}: the port is taken or the host is not this machine's; "
                f"change {prefix}PORT or {prefix}HOST"
            ) from error
        await self.grpc.start()
        get_logger().info("listening", host=host, port=self.port)
        return self.port

    def set_ready(self, is_ready: bool) -> None:
        """Says whether the services can serve; stays "not serving" once a drain has begun."""
        if not self.is_draining:
            self.health.set_all(is_serving=is_ready)

    async def wait_for_signal_then_drain(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains; a second signal stops at once."""
        with _signals() as signalled:
            await signalled.get()
            drain = asyncio.ensure_future(self.drain())
            again = asyncio.ensure_future(signalled.get())
            try:
                await asyncio.wait((drain, again), return_when=asyncio.FIRST_COMPLETED)
                if not drain.done():
                    get_logger().warning("second signal: stopping at once")
                    drain.cancel()
                    await self.stop()
            finally:
                again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await drain

    async def drain(self) -> None:
        """Leaves the balancers, serves on until they have noticed, then lets the rest end."""
        self.is_draining = True
        self.health.set_all(is_serving=False)
        get_logger().info("draining", seconds=self._settings.drain_delay_seconds)
        await asyncio.sleep(self._settings.drain_delay_seconds)
        self.health.close()
        await self.grpc.stop(self._settings.grace_seconds)
        get_logger().info("drained")

    async def stop(self) -> None:
        """Stops at once; running calls are cancelled."""
        self.is_draining = True
        self.health.set_all(is_serving=False)
        self.health.close()
        await self.grpc.stop(None)


def _options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 0),  # on by default: a second server would share the port unnoticed
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_connection_age_ms", settings.max_connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
    ]


def _check_names(service_names: Sequence[str], file_descriptors: Sequence[Any]) -> None:
    known = {
        service.full_name
        for descriptor in file_descriptors
        for service in descriptor.services_by_name.values()
    }
    unknown = set(service_names) - known
    if file_descriptors and unknown:
        raise ValueError(f"no service {sorted(unknown)} among {sorted(known)}")


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Queue[signal.Signals]]:
    """Yields the queue of the SIGTERMs and SIGINTs of the block."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, received.put_nowait, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
