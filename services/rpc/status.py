"""`ServiceError` to a gRPC status with `google.rpc` details, and back.

The details travel as a serialised `google.rpc.Status` in the trailing metadata
`grpc-status-details-bin`, where every gRPC library looks for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from services.rpc.errors import (
    ERROR_BY_CODE,
    Code,
    FieldViolation,
    InvalidArgumentError,
    Reason,
    ServiceError,
)

_M = TypeVar("_M", bound=Message)

DOMAIN = "cairn"
DETAILS_KEY = "grpc-status-details-bin"

# Clients refuse headers over 8 KiB by default; base64 adds a third.
_MAX_HEADER_BYTES = 512
_MAX_DETAILS_BYTES = 4096

STATUS_BY_CODE: dict[Code, grpc.StatusCode] = {
    Code(status.value[0]): status  # pyright: ignore[reportIndexIssue] - grpc's enum is untyped
    for status in grpc.StatusCode
    if status.value[0] in Code.__members__.values()  # pyright: ignore[reportIndexIssue]
}
CODE_NAMES: dict[grpc.StatusCode, str] = {status: status.name for status in grpc.StatusCode}
"""Asked for with each call; an enumeration's own `name` is ten times as slow."""
_CODE_BY_STATUS = {status: code for code, status in STATUS_BY_CODE.items()} | {
    # Codes that Cairn never sends, from peers that are not Cairn.
    grpc.StatusCode.UNKNOWN: Code.INTERNAL,
    grpc.StatusCode.OUT_OF_RANGE: Code.INVALID_ARGUMENT,
}

# Reason and text of an error that gRPC itself raised. Its own text names addresses and files, so it
# stays in the exception's cause.
_UNDETAILED: dict[Code, tuple[Reason, str]] = {
    Code.CANCELLED: (Reason.CANCELLED, "the peer cancelled the call"),
    Code.INVALID_ARGUMENT: (Reason.INVALID_FIELD, "the peer refused the request"),
    Code.DEADLINE_EXCEEDED: (Reason.DEADLINE_EXCEEDED, "no answer before the deadline"),
    Code.PERMISSION_DENIED: (Reason.ROLE_REQUIRED, "the peer refused the caller"),
    Code.RESOURCE_EXHAUSTED: (Reason.OVERLOADED, "the peer has no room"),
    Code.UNIMPLEMENTED: (Reason.NOT_SUPPORTED, "the peer does not know the method"),
    Code.UNAVAILABLE: (Reason.DEPENDENCY_UNAVAILABLE, "the peer does not answer"),
    Code.UNAUTHENTICATED: (Reason.CREDENTIAL_MISSING, "the peer wants a credential"),
}


def grpc_code(error: ServiceError) -> grpc.StatusCode:
    """Returns the status code that `error` is answered with."""
    return STATUS_BY_CODE[error.code]


def header_message(error: ServiceError) -> str:
    """Returns the text for the `grpc-message` header, where one byte may become three."""
    return _cut(error.message, _MAX_HEADER_BYTES)


def status_details(error: ServiceError) -> bytes:
    """Returns `error` as a serialised `google.rpc.Status` that fits into metadata."""
    violations = list(error.violations)
    while True:
        serialised = _serialise(error, violations)
        if len(serialised) <= _MAX_DETAILS_BYTES or not violations:
            return serialised
        del violations[len(violations) // 2 :]


def _serialise(error: ServiceError, violations: Sequence[FieldViolation]) -> bytes:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason.value,
            domain=DOMAIN,
            metadata={
                _cut(key, 64): _cut(value, 256)
                for key, value in itertools.islice(error.metadata.items(), 8)
            },
        )
    ]
    if violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=_cut(violation.field, 256),
                        description=_cut(violation.description, 512),
                    )
                    for violation in violations
                ]
            )
        )
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details.append(retry)
    if "quota_subject" in error.metadata:
        failure = error_details_pb2.QuotaFailure.Violation(
            subject=_cut(error.metadata["quota_subject"], 256),
            description=_cut(error.message, 512),
        )
        details.append(error_details_pb2.QuotaFailure(violations=[failure]))
    status = status_pb2.Status(code=int(error.code), message=_cut(error.message, 1024))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def _cut(text: str, max_bytes: int) -> str:
    """Returns `text` as valid Unicode of at most `max_bytes` bytes."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode("utf-8", "ignore") + "…"


def trailing_metadata(error: ServiceError) -> tuple[tuple[str, bytes], ...]:
    """Returns the trailing metadata that carries the details of `error`."""
    return ((DETAILS_KEY, status_details(error)),)


def error_from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """Returns the error that a peer raised, or the nearest one for an error of gRPC itself."""
    code = _CODE_BY_STATUS.get(error.code(), Code.INTERNAL)
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            detailed = _from_details(code, error.details() or "", value)
            if detailed is not None:
                return detailed
    return _undetailed(code, error)


def _undetailed(code: Code, error: grpc.aio.AioRpcError) -> ServiceError:
    if code is Code.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        # gRPC's word for a message over the size limit. Trying again cannot help.
        return InvalidArgumentError(
            Reason.TOO_LARGE, "the message is larger than the peer's or this side's limit"
        )
    reason, message = _UNDETAILED.get(code, (Reason.INTERNAL, "the peer failed"))
    return ERROR_BY_CODE[code](reason, message)


def _from_details(code: Code, message: str, serialised: bytes) -> ServiceError | None:
    status = status_pb2.Status()
    try:
        status.ParseFromString(serialised)
    except DecodeError:
        return None
    reason: Reason | None = None
    kwargs: dict[str, Any] = {}
    for detail in status.details:
        if detail.TypeName() == "google.rpc.ErrorInfo":
            info = _unpack(detail, error_details_pb2.ErrorInfo())
            if info.domain != DOMAIN:
                return None
            kwargs["metadata"] = dict(info.metadata)
            if info.reason in Reason.__members__:
                reason = Reason(info.reason)
            else:  # a newer peer's
                kwargs["metadata"]["reason"] = info.reason
        elif detail.TypeName() == "google.rpc.BadRequest":
            bad = _unpack(detail, error_details_pb2.BadRequest())
            kwargs["violations"] = [
                FieldViolation(violation.field, violation.description)
                for violation in bad.field_violations
            ]
        elif detail.TypeName() == "google.rpc.RetryInfo":
            retry = _unpack(detail, error_details_pb2.RetryInfo())
            kwargs["retry_after_seconds"] = retry.retry_delay.ToMilliseconds() / 1000
    if "metadata" not in kwargs:
        return None
    if reason is None:
        reason = _UNDETAILED.get(code, (Reason.INTERNAL, ""))[0]
    return ERROR_BY_CODE[code](reason, status.message or message, **kwargs)


def _unpack(packed: any_pb2.Any, into: _M) -> _M:
    packed.Unpack(into)
    return into
