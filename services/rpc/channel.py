"""Channels to other services: balancing, health, liveness, guards, and how their calls are made."""

from __future__ import annotations

import ipaddress
import json
import socket
from typing import Any

import grpc

from services.rpc.calls import Caller, make_calls_by
from services.rpc.guard import Guard
from services.rpc.service_identity import ServiceIdentity
from services.rpc.wakeups import read_at_once

read_at_once()

DEFAULT_TIMEOUT_SECONDS = 30.0
KEEPALIVE_MS = 10_000
PING_TIMEOUT_MS = 2_000
"""A peer that hangs without closing is noticed after KEEPALIVE_MS + PING_TIMEOUT_MS.

Measured with grpcio 1.85.1: keepalive alone never fired; the HTTP/2 ping time-out is what does.
"""


def open_channel(
    target: str,
    *,
    default_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    guard: Guard | None = None,
    identity: ServiceIdentity | None = None,
    health_service: str | None = "",
    max_message_bytes: int = 64 * 1024 * 1024,
) -> grpc.aio.Channel:
    """Opens a channel, which is an async context manager.

    A call without a time-out gets `default_timeout_seconds`; every time-out is cut to what the
    running request has left. Calls raise `ServiceError`s. A stream of answers that nobody reads
    any more cancels its call. A peer that does not answer fails a call at once with
    `UnavailableError`; with a guard it may be asked again.

    Args:
        target: "host:port", "host:port,host:port" for several replicas, or "dns:///name:port".
        default_timeout_seconds: For calls that give none.
        guard: Bulkhead, breaker and repetitions under a budget. Repeats only calls that may run
            twice; at one hop of a request only.
        identity: Signs the calls; None: they are not signed.
        health_service: Service whose health each replica is asked for; "" for the whole server,
            None to send to replicas whatever their health.
        max_message_bytes: Largest request or answer.
    """
    channel = grpc.aio.insecure_channel(
        resolve_target(target),
        options=[
            ("grpc.service_config", json.dumps(_service_config(health_service))),
            ("grpc.enable_retries", 0),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
    return make_calls_by(channel, Caller(target, default_timeout_seconds, guard, identity))


def resolve_target(target: str) -> str:
    """Returns the name gRPC resolves: lists of addresses become `ipv4:` or `ipv6:` targets.

    Raises:
        ValueError: `target` is malformed, or one host of several is not known.
    """
    if "://" in target or target.startswith(("ipv4:", "ipv6:", "unix:")):
        return target
    addresses = [_split(address.strip()) for address in target.split(",")]
    if len(addresses) == 1 and not _is_local(addresses[0][0]):
        host, port = addresses[0]
        return f"dns:///{host}:{port}"
    resolved = [(_address_of(host), port) for host, port in addresses]
    versions = {address.version for address, _ in resolved}
    if len(versions) > 1:
        raise ValueError(f"{target!r} mixes IPv4 and IPv6 addresses")
    if versions == {4}:
        return "ipv4:" + ",".join(f"{address}:{port}" for address, port in resolved)
    return "ipv6:" + ",".join(f"[{address}]:{port}" for address, port in resolved)


def may_have_replicas(target: str) -> bool:
    """Whether a target stands for several addresses: by listing them, or by a name."""
    try:
        resolved = resolve_target(target)
    except ValueError:  # opening the channel will say so
        return False
    return "," in resolved or resolved.startswith("dns:")


def _service_config(health_service: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if health_service is not None:
        config["healthCheckConfig"] = {"serviceName": health_service}
    return config


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)


def _is_local(host: str) -> bool:
    """True for "localhost" and literal addresses, which need no name service."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if host == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")  # where services listen by default
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"host {host!r} is not known: {error}") from error
    return ipaddress.ip_address(min(found)[4][0])
