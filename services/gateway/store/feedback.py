"""What people think of answers."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.gateway.store.quality_tables import feedback_origins
from services.gateway.store.tables import feedback, time_text
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.gateway.identity import Caller
    from services.sql.writer import GroupWriter

MAX_COMMENT_CHARACTERS = 2_000
MAX_ORIGINS = 10_000
"""Answers whose origins a replica remembers: people rate soon or not at all. About 4 MB."""
_MAX_MARKERS = 100
_RATINGS = ("up", "down")

_FEEDBACK = Counter("cairn_gateway_feedback_total", "Ratings of answers.", ["rating"])


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


@dataclass(frozen=True, slots=True)
class Origin:
    """What the answer that a rating is about was made of."""

    query_hash: str
    """Keyed: finds ratings of one question, and tells nobody what it was."""
    versions: Mapping[str, str]
    """Program, engine, model and collection."""


class FeedbackStore:
    """Keeps feedback, with what this replica knows of the answer it is about.

    Args:
        writer: For rows.
    """

    def __init__(self, writer: GroupWriter) -> None:
        self._writer = writer
        self._origins: OrderedDict[tuple[str, str], Origin] = OrderedDict()

    def remember(self, tenant: str, trace_id: str, origin: Origin) -> None:
        """Notes what an answer was made of, for as long as there is room; the oldest go first."""
        self._origins[tenant, trace_id] = origin
        if len(self._origins) > MAX_ORIGINS:
            self._origins.popitem(last=False)

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
        origin = self._origins.get((caller.scope.tenant, given.trace_id))

        def run(connection: Connection) -> None:
            connection.execute(row)
            if origin is not None:
                connection.execute(
                    feedback_origins.insert().values(
                        feedback_id=feedback_id,
                        query_hash=origin.query_hash,
                        versions=dict(origin.versions),
                    )
                )

        await self._writer.run(run)
        _FEEDBACK.labels(given.rating).inc()
        return feedback_id
