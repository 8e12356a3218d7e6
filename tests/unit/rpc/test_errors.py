"""The error tree and its reasons agree with the contract."""

from __future__ import annotations

import ast
import pathlib
import pickle

import pytest
from cairn.types.v1 import error_reason_pb2

import services.rpc.errors as errors_module
from services.rpc.errors import (
    ERROR_BY_CODE,
    Code,
    FieldViolation,
    InvalidArgumentError,
    Reason,
    ServiceError,
)

PREFIX = "ERROR_REASON_"


def test_reasons_are_those_of_the_contract() -> None:
    contract = {
        name.removeprefix(PREFIX)
        for name in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - an enum wrapper, no dict
    }
    assert {reason.value for reason in Reason} == contract - {"UNSPECIFIED"}
    assert all(reason.name == reason.value for reason in Reason)


def test_each_code_has_one_error_and_each_error_a_row_in_the_table() -> None:
    assert set(ERROR_BY_CODE) == set(Code)
    assert len(ServiceError.__subclasses__()) == len(Code)
    for error_class in ERROR_BY_CODE.values():
        assert f"| {error_class.__name__}" in (errors_module.__doc__ or "")
        assert f"| {error_class.code.name}" in (errors_module.__doc__ or "")


def test_domain_code_can_raise_errors_without_grpc() -> None:
    imported = set()
    for module in ("errors", "deadline", "scope"):
        path = pathlib.Path(errors_module.__file__).with_name(f"{module}.py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert not imported & {"grpc", "google", "cairn"}


def test_error_of_one_field_names_it() -> None:
    error = InvalidArgumentError.for_field("top_k", "is 0; at least 1", Reason.INVALID_FIELD)
    assert str(error) == "top_k: is 0; at least 1"
    assert error.violations == (FieldViolation("top_k", "is 0; at least 1"),)
    with pytest.raises(ServiceError):
        raise error


def test_error_crosses_process_boundaries_whole() -> None:
    sent = InvalidArgumentError(
        Reason.TOO_LARGE,
        "too large",
        metadata={"limit": "1"},
        violations=[FieldViolation("text", "is long")],
        retry_after_seconds=2,
    )
    got = pickle.loads(pickle.dumps(sent))
    assert type(got) is InvalidArgumentError
    assert vars(got) == vars(sent)
