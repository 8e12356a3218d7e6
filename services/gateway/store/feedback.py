"""What people think of answers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.gateway.store.tables import feedback, time_text
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from services.gateway.identity import Caller
    from services.sql.writer import GroupWriter

MAX_COMMENT_CHARACTERS = 2_000
_MAX_MARKERS = 100
_RATINGS = ("up", "down")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A rating of an answer. Build with `checked`."""

    trace_id: str
    rating: str
    comment: str = ""
    markers: tuple[int, ...] = ()
    """Citations it is about; empty: the whole answer."""

    @classmethod
    def checked(
        cls, *, trace_id: str, rating: str, comment: str = "", markers: Sequence[int] = ()
    ) -> Feedback:
        """Returns the feedback.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        if len(trace_id) != 32 or any(c not in "0123456789abcdef" for c in trace_id):
            raise InvalidArgumentError.for_field(
                "trace_id", "must be the 32 hex digits that the answer came with"
            )
        if rating not in _RATINGS:
            raise InvalidArgumentError.for_field("rating", "must be 'up' or 'down'")
        check_text("comment", comment, limit=MAX_COMMENT_CHARACTERS)
        if len(markers) > _MAX_MARKERS or any(not 1 <= marker <= 10_000 for marker in markers):
            raise InvalidArgumentError.for_field(
                "markers", f"must be at most {_MAX_MARKERS} numbers of citations, from 1"
            )
        return cls(trace_id, rating, comment, tuple(markers))


class FeedbackStore:
    """Keeps feedback.

    Args:
        writer: For rows.
    """

    def __init__(self, writer: GroupWriter) -> None:
        self._writer = writer

    async def add(self, caller: Caller, given: Feedback) -> str:
        """Stores feedback and returns its identifier."""
        feedback_id = secrets.token_hex(16)
        row = feedback.insert().values(
            feedback_id=feedback_id,
            tenant=caller.scope.tenant,
            key_id=caller.key_id,
            trace_id=given.trace_id,
            rating=given.rating,
            comment=given.comment,
            markers=list(given.markers),
            created_at=time_text(datetime.now(UTC)),
        )
        await self._writer.run(lambda connection: connection.execute(row))
        return feedback_id
