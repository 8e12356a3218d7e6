"""Settings of a process: environment variables, read once, wrong ones refused by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 takes a free one."""


def settings_config(prefix: str) -> SettingsConfigDict:
    """Returns the configuration of a settings class whose variables begin with `prefix`."""
    return SettingsConfigDict(
        env_prefix=prefix,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class ServiceSettings(BaseSettings):
    """What every process needs. A service adds its own fields and the defaults of its ports."""

    model_config = settings_config("CAIRN_")

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""
    port: Port
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    data_dir: Path = Path(".cairn")
    """Directory of everything the service stores; each service uses a folder of its own in it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged. Successful calls are logged at debug, failed ones always."""
    drain_delay_seconds: Annotated[float, Field(ge=0, le=300)] = 2.0
    """Time between saying "not serving" and refusing calls: balancers must notice within it."""
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """Time that running calls get to end after the drain delay."""
    max_connection_age_seconds: Annotated[int, Field(ge=1)] = 300
    """Clients reconnect this often, and so find new replicas."""
    max_message_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 64 * 1024 * 1024
    """Largest request or answer."""
    otlp_endpoint: str = ""
    """`host:port` of an OTLP gRPC collector for traces; empty exports none."""
    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces begun here that are recorded. A caller's own decision goes first. Traces
    that failed or were slow are recorded besides."""
    trace_slow_seconds: Annotated[float, Field(gt=0)] = 5.0
    """A request that takes longer is recorded whatever the share; stages with a goal of their own
    (150 ms for a search) go by that."""
    trace_detail_per_second: Annotated[float, Field(gt=0)] = 50.0
    """Requests a second that a process records with all their stages, besides those in the share.
    Beyond it, a trace that is kept has what the gateway served and called, its stages with a goal,
    and what failed or was slow in other services."""
    log_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the successful calls that are logged above debug, by trace: every service logs the
    same requests. Failed ones always are."""
    internal_secret: SecretStr = SecretStr("")
    """What services sign their calls to each other with, the same in all of them: 32 characters or
    more. Empty: calls are neither signed nor checked, and the network alone protects the services.
    `cairn up` makes one."""
    former_internal_secrets: SecretStr = SecretStr("")
    """Further secrets whose calls are accepted, with spaces between: while one takes over from
    another, the new one is added here everywhere, then made the one above, then the old removed."""


S = TypeVar("S", bound=BaseSettings)


def load_settings(cls: type[S]) -> S:
    """Reads the settings once; on a wrong one says which and why on stderr and exits with 2.

    A secret may come from a file: `CAIRN_GATEWAY_PEPPER_FILE=/run/secrets/pepper` gives
    `CAIRN_GATEWAY_PEPPER`.
    """
    variables = os.environ
    prefix = cls.model_config.get("env_prefix", "")
    problems = list(_unknown_keys(cls, prefix, variables))
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        key = f"{prefix}{name}".upper()
        if _is_secret(field.annotation) and variables.get(f"{key}_FILE"):
            if variables.get(key):
                problems.append(f"{key}: is set, and so is {key}_FILE; set one of the two")
                continue
            try:
                text = Path(variables[f"{key}_FILE"]).read_text(encoding="utf-8")
                values[name] = text.rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{key}_FILE: cannot be read: {type(error).__name__}")
    if not problems:
        try:
            return cls(**values)
        except ValidationError as error:
            problems.extend(_invalid(cls, prefix, error))
        except SettingsError as error:
            problems.append(f"{prefix}*: {error}")
    for problem in problems:
        print(f"configuration error: {problem}", file=sys.stderr)  # noqa: T201 - no logger yet
    raise SystemExit(2)


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _unknown_keys(
    cls: type[BaseSettings], prefix: str, variables: Mapping[str, str]
) -> Iterator[str]:
    known: set[str] = set()
    for name, field in cls.model_fields.items():
        key = f"{prefix}{name}".upper()
        known.add(key)
        if _is_secret(field.annotation):
            known.add(f"{key}_FILE")
    for key in sorted(variables):
        if not key.startswith(prefix):
            continue
        is_link = variables[key].startswith("tcp://") or key.startswith(f"{prefix}SERVICE_")
        if is_link and (key not in known or key == f"{prefix}PORT"):
            yield (
                f"{key}: is a Kubernetes service link, no setting; "
                "set enableServiceLinks: false in the pod"
            )
        elif key not in known:
            yield f"{key}: is not a setting; known are {', '.join(sorted(known))}"


def _invalid(cls: type[BaseSettings], prefix: str, error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        location = [str(part) for part in problem["loc"]]
        if not location:
            yield f"{prefix}*: {problem['msg']}"
            continue
        field = cls.model_fields.get(location[0])
        meaning = f" ({field.description})" if field is not None and field.description else ""
        yield f"{prefix}{location[0]}".upper() + f": {problem['msg']}{meaning}"
