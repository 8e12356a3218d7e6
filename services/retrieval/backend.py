"""What finds chunks: the local views, or Milvus. The servicer knows neither.

A backend is a view of the truth in SQL, so whatever asks the truth is the same for all: `Library`,
`Administration` and `Exporter` are subclassed where they ask a view. Searching shares nothing but
its form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.retrieval.administration import Administration
    from services.retrieval.collections import Collection
    from services.retrieval.library import Library
    from services.retrieval.likeness import Likeness
    from services.retrieval.queries import Answer, Query, SearchOptions
    from services.retrieval.search import Reach
    from services.retrieval.snapshots.archive import Archive
    from services.retrieval.transfer import Exporter


class CollectionSearcher(Protocol):
    """Searches collections."""

    async def search(
        self,
        reach: Reach,
        name: str,
        queries: Sequence[Query],
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> list[Answer]:
        """Returns one answer for each query."""
        ...

    async def recommend(
        self,
        reach: Reach,
        name: str,
        likeness: Likeness,
        options: SearchOptions,
        check: Callable[[Collection], None],
    ) -> Answer:
        """Returns the best passage of each document that is like some and unlike others."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """The parts that the servicer calls."""

    library: Library
    searcher: CollectionSearcher
    administration: Administration
    exporter: Exporter
    preload: Callable[[], Awaitable[None]]
    """Makes ready what can be made ready before the first search."""
    archive: Archive | None = None
    """Snapshots; None: there are none."""
