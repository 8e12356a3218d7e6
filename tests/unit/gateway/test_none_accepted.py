"""What a submission is answered with when no document of it was accepted."""

import pytest

from services.gateway.library import Submission
from services.gateway.submissions import check_accepted
from services.rpc.errors import Code, Reason, ServiceError


def refused(*reasons: str) -> list[Submission]:
    return [Submission(None, error_reason=each, error_message="no") for each in reasons]


def none_accepted(submissions: list[Submission]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        check_accepted(submissions)
    return caught.value


def test_bad_documents_are_the_callers_mistake():
    error = none_accepted(refused("EMPTY_TEXT", "STORAGE_FULL"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, Reason.EMPTY_TEXT)
    assert [each.field for each in error.violations] == ["documents[0]", "documents[1]"]


@pytest.mark.parametrize("reason", ["STORAGE_FULL", "OVERLOADED", "QUOTA_EXCEEDED"])
def test_no_room_is_not(reason: str):
    error = none_accepted(refused(reason, reason))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, Reason(reason))
    assert error.retry_after_seconds


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("IDEMPOTENCY_CONFLICT", Code.ALREADY_EXISTS),
        ("ACL_REQUIRED", Code.FAILED_PRECONDITION),
        ("COLLECTION_NOT_FOUND", Code.NOT_FOUND),
        ("FETCH_FAILED", Code.INVALID_ARGUMENT),
    ],
)
def test_what_they_share_is_the_answer(reason: str, code: Code):
    assert none_accepted(refused(reason)).code is code
    assert none_accepted(refused(reason, "EMPTY_TEXT")).code is Code.INVALID_ARGUMENT
