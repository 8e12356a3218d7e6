"""What agents may do: search, ask, ingest, get, list collections. Knows nothing of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client import Counter
from pydantic import Field, ValidationError

from services.gateway.audit.trail import note_outcome
from services.gateway.edge.bodies import Body, SubmitDocumentsBody
from services.gateway.edge.render import (
    render_answer,
    render_collection,
    render_document,
    render_search,
    render_submission,
)
from services.gateway.edge.validation import validation_error
from services.gateway.requests import Mode, Question, SearchAsk
from services.rpc.errors import InternalError, Reason, ServiceError
from services.rpc.logs import exception_fields, get_logger
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from services.gateway.answer import Answer, SearchResult
    from services.gateway.identity import Caller
    from services.gateway.library import Document
    from services.gateway.operations import Operations

_CALLS = Counter("cairn_mcp_tool_calls_total", "Tools that agents called.", ["tool", "outcome"])

ModeName = Literal["hybrid", "dense", "keyword"]


class SearchArguments(Body):
    """A search."""

    query: str
    """What to look for."""
    collection: str = ""
    """Collection or alias; empty: "default"."""
    top_k: int = Field(default=0, ge=0, le=100)
    """Passages at most; 0: 10."""
    filter: str = ""
    """Condition on metadata: doc_type = "policy" AND year >= 2024."""
    mode: ModeName = "hybrid"
    """By meaning, by words, or both."""
    rerank: bool = False


class AskArguments(Body):
    """A question."""

    query: str
    """The question."""
    collection: str = ""
    """Collection or alias; empty: "default"."""
    top_k: int = Field(default=0, ge=0, le=50)
    """Passages to answer from; 0: 5."""
    filter: str = ""
    """Condition on metadata: doc_type = "policy" AND year >= 2024."""
    mode: ModeName = "hybrid"
    """By meaning, by words, or both."""


class GetArguments(Body):
    """A document."""

    document_id: str
    collection: str = ""
    """Collection; empty: "default"."""
    omit_text: bool = False


class ListArguments(Body):
    """A page of collections."""

    page_size: int = Field(default=0, ge=0, le=1_000)
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool gives back: for programs, and for a model to read."""

    value: dict[str, Any]
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """A tool as it is announced."""

    name: str
    title: str
    description: str
    arguments: type[Body]
    is_read_only: bool


DESCRIPTIONS = (
    ToolDescription(
        "search",
        "Search documents",
        "Finds passages of the documents you may read, best first, with scores and exact places.",
        SearchArguments,
        is_read_only=True,
    ),
    ToolDescription(
        "ask",
        "Ask a question",
        "Answers a question from the documents you may read. Markers such as [1] stand for "
        "citations: verbatim spans of documents. `refused` says that they do not answer it.",
        AskArguments,
        is_read_only=True,
    ),
    ToolDescription(
        "ingest",
        "Add documents",
        "Takes documents in: each has `text`, or `content_base64` for files. They can be searched "
        "once `get` tells the state `ready`, mostly after seconds.",
        SubmitDocumentsBody,
        is_read_only=False,
    ),
    ToolDescription(
        "get",
        "Get a document",
        "Returns a document: how far it is and, once ready, its text.",
        GetArguments,
        is_read_only=True,
    ),
    ToolDescription(
        "list_collections",
        "List collections",
        "Lists the collections with their figures and the types of their metadata fields.",
        ListArguments,
        is_read_only=True,
    ),
)


class Tools:
    """Runs tools on behalf of callers.

    Args:
        operations: What the gateway does.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._arguments = {each.name: each.arguments for each in DESCRIPTIONS}
        self._runs: dict[str, Callable[[Caller, Any], Awaitable[Outcome]]] = {
            "search": self._search,
            "ask": self._ask,
            "ingest": self._ingest,
            "get": self._get,
            "list_collections": self._list_collections,
        }

    def knows(self, name: str) -> bool:
        """Whether there is such a tool."""
        return name in self._runs

    async def call(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Outcome:
        """Runs a known tool; what goes wrong is an outcome, for a model to read and mend."""
        with span(f"tools/call {name}", attributes={"cairn.mcp.tool": name}):
            try:
                given = self._arguments[name].model_validate(dict(arguments))
                outcome = await self._runs[name](caller, given)
            except ValidationError as error:
                outcome = _failure(validation_error(error.errors(include_url=False)))
            except ServiceError as error:
                outcome = _failure(error)
            except Exception as error:  # noqa: BLE001 - the SDK would log its text
                get_logger().error("tool failed", tool=name, **exception_fields(error))
                outcome = _failure(
                    InternalError(Reason.INTERNAL, "a fault of ours; the trace id finds it")
                )
        _CALLS.labels(name, "error" if outcome.is_error else "ok").inc()
        return outcome

    async def _search(self, caller: Caller, given: SearchArguments) -> Outcome:
        ask = SearchAsk.checked(
            given.query,
            collection=given.collection,
            filter_text=given.filter,
            top_k=given.top_k,
            mode=Mode(given.mode),
            rerank=given.rerank,
        )
        result = await self._operations.search(caller, ask)
        return Outcome(render_search(result), _passages_text(result))

    async def _ask(self, caller: Caller, given: AskArguments) -> Outcome:
        question = Question.checked(
            given.query,
            collection=given.collection,
            filter_text=given.filter,
            top_k=given.top_k,
            mode=Mode(given.mode),
        )
        answer = await self._operations.query(caller, question)
        return Outcome(render_answer(answer), _answer_text(answer))

    async def _ingest(self, caller: Caller, given: SubmitDocumentsBody) -> Outcome:
        documents = [
            each.document(f"documents[{index}]") for index, each in enumerate(given.documents)
        ]
        submissions = await self._operations.submit(caller, given.collection, documents)
        value = {"submissions": [render_submission(each) for each in submissions]}
        lines = [
            f"{each.document.document_id}: {each.document.state}"
            if each.document is not None
            else f"refused: {each.error_reason}: {each.error_message}"
            for each in submissions
        ]
        return Outcome(value, "\n".join(lines))

    async def _get(self, caller: Caller, given: GetArguments) -> Outcome:
        document = await self._operations.get_document(
            caller, given.collection, given.document_id, with_text=not given.omit_text
        )
        return Outcome({"document": render_document(document)}, _document_text(document))

    async def _list_collections(self, caller: Caller, given: ListArguments) -> Outcome:
        page = await self._operations.collections.list(caller, given.page_size, given.page_token)
        value = {
            "collections": [render_collection(each) for each in page.entries],
            "next_page_token": page.next_page_token,
        }
        lines = [
            f"{each.name}: {each.document_count} documents. {each.description}".strip()
            for each in page.entries
        ]
        return Outcome(value, "\n".join(lines))


def _failure(error: ServiceError) -> Outcome:
    note_outcome(error.reason.value)  # the transport knows of success only
    value = {
        "reason": error.reason.value,
        "message": error.message,
        "violations": [
            {"field": each.field, "description": each.description} for each in error.violations
        ],
        "retry_after_seconds": error.retry_after_seconds,
    }
    return Outcome(value, f"{error.reason.value}: {error.message}", is_error=True)


def _passages_text(result: SearchResult) -> str:
    if not result.passages:
        return "No passages."
    parts = [
        f"[{number}] {each.passage.title or each.passage.document_id} "
        f"({each.passage.document_id}, characters {each.passage.start}-{each.passage.end})\n"
        f"{each.passage.text}"
        for number, each in enumerate(result.passages, 1)
    ]
    return "\n\n".join(parts)


def _answer_text(answer: Answer) -> str:
    sources = [
        f"[{each.marker}] {each.title or each.document_id} "
        f"({each.document_id}, characters {each.start}-{each.end})"
        for each in answer.citations
    ]
    return "\n".join([answer.answer, *(["", "Sources:"] if sources else []), *sources])


def _document_text(document: Document) -> str:
    failure = f" {document.failure_reason}: {document.failure_message}"
    state = f"{document.document_id}: {document.state}" + (
        failure if document.failure_reason else ""
    )
    return f"{state}\n\n{document.text}" if document.text else state
