"""Asks the gateway every query of a data set and keeps what is measured or written to a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli.errors import CliError
from cli.evaluation.loading import each_of, retried

if TYPE_CHECKING:
    from cli.evaluation.dataset import EvalQuery
    from cli.gateway_client import GatewayClient

MODES = ("dense", "keyword", "hybrid", "rerank", "answer")

DEPTH = 100
"""Documents of a ranking."""

_CONCURRENCY = {"rerank": 2, "answer": 2}
_DEFAULT_CONCURRENCY = 4
"""Requests at once. Few: a stage that waits too long is skipped, and quality is measured here."""

_ATTEMPTS = 4
"""Times a query is sent to a gateway that is busy: a few seconds, then it has failed."""

_DEGRADED_ATTEMPTS = 3
"""Times a query is asked whose answer is less than the mode, for lack of time or of a service."""

_MAX_TURNS = 50


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a search found: documents by their best passage."""

    query_id: str
    documents: tuple[tuple[str, float], ...]
    """Ids with scores, best first."""
    degraded: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a question got."""

    query_id: str
    answer: str
    citations: tuple[Mapping[str, Any], ...]
    is_refused: bool
    grounded: float
    passages: tuple[str, ...]
    """Texts the answer was written from, best first."""
    degraded: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A query without a result."""

    query_id: str
    problem: str


def by_document(passages: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Returns document ids with the score of their best passage, best first.

    Args:
        passages: Scored passages as the API gives them, best first.
    """
    best: dict[str, float] = {}
    for found in passages:
        best.setdefault(found["passage"]["document_id"], found["scores"]["final"])
    return tuple(best.items())


async def ask_all(
    gateway: GatewayClient,
    collection: str,
    queries: Sequence[EvalQuery],
    mode: str,
    on_done: Callable[[Ranked | Answered | Failed], None],
) -> list[Ranked | Answered | Failed]:
    """Returns one result per query, in order; a query's failure is its own."""

    async def one(query: EvalQuery) -> Ranked | Answered | Failed:
        try:
            return await _ask(gateway, collection, query, mode)
        except CliError as error:
            return Failed(query.query_id, str(error))

    return await each_of(queries, one, _CONCURRENCY.get(mode, _DEFAULT_CONCURRENCY), on_done)


async def _ask(
    gateway: GatewayClient, collection: str, query: EvalQuery, mode: str
) -> Ranked | Answered:
    path, body = request_of(query, collection, mode)
    attempt = 0
    while True:
        attempt += 1
        began = time.perf_counter()
        content = (await retried(lambda: gateway.post(path, body), _ATTEMPTS)).content
        milliseconds = (time.perf_counter() - began) * 1000
        if not content["degraded"] or attempt == _DEGRADED_ATTEMPTS:
            break
    if mode != "answer":
        return Ranked(
            query.query_id,
            by_document(content["passages"]),
            tuple(content["degraded"]),
            milliseconds,
        )
    return Answered(
        query_id=query.query_id,
        answer=content["answer"],
        citations=tuple(content["citations"]),
        is_refused=content["refused"],
        grounded=content["grounded"],
        passages=tuple(found["passage"]["text"] for found in content["passages"]),
        degraded=tuple(content["degraded"]),
        milliseconds=milliseconds,
    )


def request_of(query: EvalQuery, collection: str, mode: str) -> tuple[str, dict[str, Any]]:
    """Returns the path and the body that ask a query."""
    body: dict[str, Any] = {"query": query.text, "collection": collection}
    if query.filter:
        body["filter"] = query.filter
    turns = [{"speaker": speaker, "text": text} for speaker, text in query.history[-_MAX_TURNS:]]
    if turns:
        body["history"] = turns
    if mode == "answer":
        return "/v1/query", body | {"bypass_cache": True}
    is_reranked = mode == "rerank"
    return "/v1/search", body | {
        "mode": "hybrid" if is_reranked else mode,
        "rerank": is_reranked,
        "top_k": DEPTH,
        "max_per_document": 1,
    }


class Sources:
    """The stored texts that citations are checked against."""

    def __init__(self, gateway: GatewayClient, collection: str) -> None:
        """Looks documents up in one collection."""
        self._gateway = gateway
        self._collection = collection
        self._documents: dict[str, Mapping[str, Any]] = {}

    async def holds(self, citation: Mapping[str, Any]) -> bool:
        """Returns whether the citation's text stands where it says, in the version it names."""
        document_id = citation["document_id"]
        document = self._documents.get(document_id)
        if document is None:
            path = f"/v1/documents/{quote(document_id, safe='')}"
            reply = await retried(lambda: self._gateway.get(path, collection=self._collection))
            document = self._documents[document_id] = reply.content["document"]
        start, end = citation["start"], citation["end"]
        return (
            document["version"] == citation["document_version"]
            and bool(citation["text"])
            and document["text"][start:end] == citation["text"]
        )
