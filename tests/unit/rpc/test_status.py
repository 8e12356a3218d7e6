"""Errors to statuses and back."""

from __future__ import annotations

import grpc
import pytest
from cairn.types.v1 import error_reason_pb2
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from services.rpc.errors import (
    ERROR_BY_CODE,
    Code,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.status import (
    DETAILS_KEY,
    STATUS_BY_CODE,
    error_from_rpc,
    grpc_code,
    header_message,
    status_details,
    trailing_metadata,
)


def over_the_wire(error: ServiceError) -> ServiceError:
    return error_from_rpc(
        grpc.aio.AioRpcError(
            grpc_code(error),
            grpc.aio.Metadata(),
            grpc.aio.Metadata(*trailing_metadata(error)),
            details=header_message(error),
        )
    )


def undetailed(code: grpc.StatusCode, details: str = "ipv4:10.0.0.7:9101 /srv/x") -> ServiceError:
    return error_from_rpc(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    )


def _code_of(reason: Reason) -> Code:
    """Reads the code that the contract documents for a reason."""
    number = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")
    ranges = {
        range(1, 20): Code.INVALID_ARGUMENT,
        range(20, 30): Code.NOT_FOUND,
        range(30, 40): Code.ALREADY_EXISTS,
        range(40, 43): Code.FAILED_PRECONDITION,
        range(43, 50): Code.ABORTED,
        range(50, 52): Code.UNAUTHENTICATED,
        range(52, 60): Code.PERMISSION_DENIED,
        range(60, 70): Code.RESOURCE_EXHAUSTED,
        range(70, 72): Code.UNAVAILABLE,
        range(72, 73): Code.DEADLINE_EXCEEDED,
        range(73, 74): Code.CANCELLED,
        range(74, 80): Code.UNIMPLEMENTED,
        range(80, 81): Code.INTERNAL,
        range(81, 90): Code.DATA_LOSS,
    }
    return next(code for numbers, code in ranges.items() if number in numbers)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_survives(reason: Reason) -> None:
    sent = ERROR_BY_CODE[_code_of(reason)](
        reason,
        "größer als erlaubt",
        metadata={"limit": "10", "size": "11"},
        violations=[FieldViolation("options.top_k", "is 11"), FieldViolation("b", "is unset")],
        retry_after_seconds=1.25,
    )
    got = over_the_wire(sent)
    assert type(got) is type(sent)
    assert got.reason is reason
    assert got.message == sent.message
    assert got.metadata == sent.metadata
    assert got.violations == sent.violations
    assert got.retry_after_seconds == 1.25


def test_every_code_has_its_status() -> None:
    assert {code.name: status.name for code, status in STATUS_BY_CODE.items()} == {
        code.name: code.name for code in Code
    }


def test_details_are_standard_ones() -> None:
    error = InvalidArgumentError.for_field("query", "is empty", Reason.EMPTY_TEXT)
    status = status_pb2.Status.FromString(status_details(error))
    assert (status.code, status.message) == (3, "query: is empty")
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, info.domain) == ("EMPTY_TEXT", "cairn")
    assert bad.field_violations[0].field == "query"


def test_huge_error_fits_into_metadata() -> None:
    error = InvalidArgumentError(
        Reason.INVALID_FIELD,
        "ж" * 100_000,
        metadata={"k" * 1000: "v" * 100_000, **{f"key{n}": "v" for n in range(100)}},
        violations=[FieldViolation(f"documents[{n}]", "x" * 10_000) for n in range(5000)],
    )
    assert len(status_details(error)) <= 4096
    assert len(header_message(error).encode()) <= 512
    got = over_the_wire(error)
    assert got.reason is Reason.INVALID_FIELD
    assert got.message.startswith("жжж")
    assert got.violations[0].field == "documents[0]"


def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    error = InvalidArgumentError.for_field("query\udc00", "has a lone surrogate: \ud800")
    assert "lone surrogate: ?" in over_the_wire(error).message


@pytest.mark.parametrize(
    ("code", "expected", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, UnavailableError, Reason.DEPENDENCY_UNAVAILABLE),
        (grpc.StatusCode.UNKNOWN, InternalError, Reason.INTERNAL),
        (grpc.StatusCode.INTERNAL, InternalError, Reason.INTERNAL),
        (grpc.StatusCode.OUT_OF_RANGE, InvalidArgumentError, Reason.INVALID_FIELD),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ResourceExhaustedError, Reason.OVERLOADED),
    ],
)
def test_error_of_grpc_itself_keeps_its_addresses_to_itself(
    code: grpc.StatusCode, expected: type[ServiceError], reason: Reason
) -> None:
    error = undetailed(code)
    assert type(error) is expected
    assert error.reason is reason
    assert "10.0.0.7" not in str(error)
    assert "/srv" not in str(error)


@pytest.mark.parametrize("code", [each for each in grpc.StatusCode if each.name != "OK"])
def test_every_status_of_grpc_has_an_error(code: grpc.StatusCode) -> None:
    assert isinstance(undetailed(code), ServiceError)


def test_message_over_the_size_limit_is_not_worth_a_retry() -> None:
    error = undetailed(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 4)"
    )
    assert isinstance(error, InvalidArgumentError)
    assert error.reason is Reason.TOO_LARGE


def _detailed(details: bytes) -> ServiceError:
    return error_from_rpc(
        grpc.aio.AioRpcError(
            grpc.StatusCode.NOT_FOUND,
            grpc.aio.Metadata(),
            grpc.aio.Metadata((DETAILS_KEY, details)),
            details="no",
        )
    )


def test_reason_of_a_newer_peer_is_kept_as_metadata() -> None:
    status = status_pb2.Status(code=5, message="no such shard")
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="SHARD_NOT_FOUND", domain="cairn"))
    status.details.append(info)
    error = _detailed(status.SerializeToString())
    assert error.code is Code.NOT_FOUND
    assert error.message == "no such shard"
    assert error.metadata == {"reason": "SHARD_NOT_FOUND"}


@pytest.mark.parametrize(
    "details", [b"\xff\xff", b"", status_pb2.Status(code=5).SerializeToString()]
)
def test_details_that_are_not_ours_are_ignored(details: bytes) -> None:
    assert _detailed(details).code is Code.NOT_FOUND
