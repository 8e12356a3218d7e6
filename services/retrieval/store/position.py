"""The cheapest question to the database: how far has a collection's log come by now?

A view that stands where the log stands holds the truth: nothing it finds has to be looked up again
to know that it still exists and who may read it. The question is one row by its key, on connections
of its own, without a transaction around it: microseconds on SQLite, a round trip on PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.sql.direct import DirectReads

_QUESTION = (
    "SELECT c.seq, k.version FROM retrieval_collections c, retrieval_catalog k WHERE c.id = "
)
GONE = -1
"""Sequence number of a collection that does not exist any more."""


@dataclass(frozen=True, slots=True)
class Newest:
    """Where the log stands."""

    seq: int
    """Newest committed write of the collection, or GONE."""
    catalog_version: int
    """Rises when any collection, field or alias changes; 0 with GONE."""


class Positions:
    """Asks for positions from any thread.

    Args:
        direct: Reads from the database.
        is_instant: Whether asking takes microseconds, so that the event loop may do it.
    """

    def __init__(self, direct: DirectReads, *, is_instant: bool) -> None:
        self._direct = direct
        self.is_instant = is_instant
        """Whether asking takes microseconds, so that the event loop may do it."""
        self._question = _QUESTION + ("?" if is_instant else "%s")

    def read(self, collection_id: int) -> Newest | None:
        """Returns where the log stands now; None when the database does not say."""
        try:
            row = self._direct.row(self._question, (collection_id,))
        except Exception:  # noqa: BLE001 - drivers differ; whoever asks looks things up instead
            return None
        return Newest(GONE, 0) if row is None else Newest(row[0], row[1])
