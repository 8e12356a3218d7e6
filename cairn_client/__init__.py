"""A client of Cairn's gateway: synchronous and asynchronous, typed, with retries and streams.

    from cairn_client import Client

    with Client("http://127.0.0.1:8080", api_key="crn_…") as cairn:
        answer = cairn.query("How does granite form?")
        for citation in answer.citations:
            print(citation.marker, citation.title, citation.text)

`AsyncClient` has the same methods. Errors are classes (see `cairn_client.errors`).
"""

from cairn_client.async_client import AsyncClient
from cairn_client.client import Client
from cairn_client.errors import (
    ApiError,
    BadRequestError,
    CairnError,
    ConflictError,
    DeadlineError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    StreamBrokenError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from cairn_client.retries import Retry
from cairn_client.types import (
    Answer,
    AnswerDelta,
    Citation,
    Collection,
    Document,
    NewDocument,
    Page,
    Passage,
    PassagesFound,
    ScoredPassage,
    Scores,
    SearchResult,
    Submission,
    Turn,
)

__all__ = [
    "Answer",
    "AnswerDelta",
    "ApiError",
    "AsyncClient",
    "BadRequestError",
    "CairnError",
    "Citation",
    "Client",
    "Collection",
    "ConflictError",
    "DeadlineError",
    "Document",
    "NewDocument",
    "NotFoundError",
    "Page",
    "Passage",
    "PassagesFound",
    "PermissionDeniedError",
    "RateLimitedError",
    "Retry",
    "ScoredPassage",
    "Scores",
    "SearchResult",
    "ServerError",
    "StreamBrokenError",
    "Submission",
    "Turn",
    "UnauthenticatedError",
    "UnavailableError",
    "UnreachableError",
]
