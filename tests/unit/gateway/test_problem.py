"""The HTTP status of an error."""

from __future__ import annotations

from services.gateway.edge.problem import headers_of, status_of
from services.rpc.errors import InvalidArgumentError, Reason, ResourceExhaustedError


def test_a_full_disk_is_no_rate_limit_and_no_bad_request() -> None:
    for error in (
        ResourceExhaustedError(Reason.STORAGE_FULL, "no space is left"),
        InvalidArgumentError(Reason.STORAGE_FULL, "no document could be accepted"),
    ):
        assert status_of(error) == 507
        assert "retry-after" not in headers_of(error)
    assert status_of(ResourceExhaustedError(Reason.OVERLOADED, "later")) == 429
