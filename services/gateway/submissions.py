"""What is said when not one of several documents was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.rpc.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from services.gateway.library import Submission
    from services.rpc.errors import ServiceError

_RETRY_AFTER_SECONDS = 5.0
_OF_REASON: dict[str, type[ServiceError]] = {
    Reason.STORAGE_FULL: ResourceExhaustedError,
    Reason.OVERLOADED: ResourceExhaustedError,
    Reason.QUOTA_EXCEEDED: ResourceExhaustedError,
    Reason.IDEMPOTENCY_CONFLICT: AlreadyExistsError,
    Reason.ACL_REQUIRED: FailedPreconditionError,
    Reason.COLLECTION_NOT_FOUND: NotFoundError,
    Reason.NOT_READY: UnavailableError,
    Reason.DEPENDENCY_UNAVAILABLE: UnavailableError,
}
"""What a refusal is when it is no fault of the document; else the request is wrong."""


def check_accepted(submissions: Sequence[Submission], field: str = "documents") -> None:
    """Passes when at least one was accepted.

    Raises:
        ServiceError: the error they share, or INVALID_ARGUMENT, with a violation for each.
    """
    if any(each.document is not None for each in submissions):
        return
    first = submissions[0]
    kinds = {_OF_REASON.get(each.error_reason, InvalidArgumentError) for each in submissions}
    kind = kinds.pop() if len(kinds) == 1 else InvalidArgumentError
    is_known = first.error_reason in Reason.__members__
    can_wait = kind in (ResourceExhaustedError, UnavailableError)
    raise kind(
        Reason(first.error_reason) if is_known else Reason.INVALID_FIELD,
        first.error_message or "no document was accepted",
        violations=[
            FieldViolation(f"{field}[{index}]", f"{each.error_reason}: {each.error_message}")
            for index, each in enumerate(submissions)
        ],
        retry_after_seconds=_RETRY_AFTER_SECONDS if can_wait else None,
    )
