"""What a submission is answered with when no document of it was accepted."""

import pytest

from services.gateway.library import Submission
from services.gateway.operations import _none_accepted
from services.rpc.errors import Code, Reason


def refused(*reasons: str) -> list[Submission]:
    return [Submission(None, error_reason=each, error_message="no") for each in reasons]


def test_bad_documents_are_the_callers_mistake():
    error = _none_accepted(refused("EMPTY_TEXT", "STORAGE_FULL"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, Reason.EMPTY_TEXT)
    assert [each.field for each in error.violations] == ["documents[0]", "documents[1]"]


@pytest.mark.parametrize("reason", ["STORAGE_FULL", "OVERLOADED", "QUOTA_EXCEEDED"])
def test_no_room_is_not(reason: str):
    error = _none_accepted(refused(reason, reason))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, Reason(reason))
    assert error.retry_after_seconds
