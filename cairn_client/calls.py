"""The gateway's REST calls, once for both clients: what to send and how to read the answer."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from cairn_client.types import (
    Answer,
    Collection,
    Document,
    Mode,
    NewDocument,
    Page,
    SearchResult,
    Submission,
    Turn,
    Verification,
    read,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call."""

    method: str
    path: str
    read: Callable[[Any], T]
    """Makes the result from the body's JSON; None for an empty body."""
    body: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_repeatable: bool = True
    """Whether doing it twice is as doing it once."""


def query(
    text: str,
    *,
    collection: str = "",
    history: Sequence[Turn] = (),
    filter: str = "",  # noqa: A002 - the API's name
    top_k: int = 0,
    mode: Mode = "hybrid",
    rerank: bool = True,
    model: str = "",
    max_tokens: int = 0,
    temperature: float | None = None,
    verification: Verification = "drop",
    explain: bool = False,
    bypass_cache: bool = False,
) -> Call[Answer]:
    """A question."""
    body = {
        "query": text,
        "collection": collection,
        "history": _turns(history),
        "filter": filter,
        "top_k": top_k,
        "mode": mode,
        "rerank": rerank,
        "model": model,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "verification": verification,
        "explain": explain,
        "bypass_cache": bypass_cache,
    }
    return Call("POST", "/v1/query", lambda value: read(Answer, value), body)


def search(
    text: str,
    *,
    collection: str = "",
    history: Sequence[Turn] = (),
    filter: str = "",  # noqa: A002 - the API's name
    top_k: int = 0,
    mode: Mode = "hybrid",
    rerank: bool = False,
    max_per_document: int = 0,
    explain: bool = False,
) -> Call[SearchResult]:
    """A search."""
    body = {
        "query": text,
        "collection": collection,
        "history": _turns(history),
        "filter": filter,
        "top_k": top_k,
        "mode": mode,
        "rerank": rerank,
        "max_per_document": max_per_document,
        "explain": explain,
    }
    return Call("POST", "/v1/search", lambda value: read(SearchResult, value), body)


def recommend(
    positive_ids: Sequence[str],
    *,
    negative_ids: Sequence[str] = (),
    collection: str = "",
    filter: str = "",  # noqa: A002 - the API's name
    top_k: int = 0,
) -> Call[SearchResult]:
    """Documents like some and unlike others."""
    body = {
        "positive_ids": list(positive_ids),
        "negative_ids": list(negative_ids),
        "collection": collection,
        "filter": filter,
        "top_k": top_k,
    }
    return Call("POST", "/v1/recommend", lambda value: read(SearchResult, value), body)


def submit(
    documents: Sequence[NewDocument], *, collection: str = ""
) -> Call[tuple[Submission, ...]]:
    """Documents to take in; each has an idempotency key, so a repeat takes nothing in twice."""
    body = {"documents": [_document(each) for each in documents], "collection": collection}
    return Call(
        "POST",
        "/v1/documents",
        lambda value: tuple(read(Submission, each) for each in value["submissions"]),
        body,
    )


def get_document(
    document_id: str, *, collection: str = "", omit_text: bool = False
) -> Call[Document]:
    """A document."""
    parameters = {"collection": collection, "omit_text": str(omit_text).lower()}
    return Call("GET", _document_path(document_id), _one_document, parameters=parameters)


def list_documents(
    *,
    collection: str = "",
    states: Sequence[str] = (),
    page_size: int = 0,
    page_token: str = "",
) -> Call[Page[Document]]:
    """A page of documents."""
    parameters = {
        "collection": collection,
        "state": list(states),
        "page_size": page_size,
        "page_token": page_token,
    }

    def page(value: Any) -> Page[Document]:
        entries = tuple(read(Document, each) for each in value["documents"])
        return Page(entries, value["next_page_token"])

    return Call("GET", "/v1/documents", page, parameters=parameters)


def delete_document(document_id: str, *, collection: str = "") -> Call[None]:
    """Deletes a document."""
    return Call(
        "DELETE",
        _document_path(document_id),
        lambda _: None,
        parameters={"collection": collection},
        is_repeatable=False,
    )


def retry_document(document_id: str, *, collection: str = "") -> Call[Document]:
    """Runs a failed document again."""
    return Call(
        "POST",
        f"{_document_path(document_id)}/retry",
        _one_document,
        parameters={"collection": collection},
        is_repeatable=False,
    )


def create_collection(
    name: str,
    *,
    embedding_model: str = "",
    fields: Mapping[str, str] | None = None,
    is_acl_required: bool = False,
    language: str = "",
    description: str = "",
    index_type: str = "auto",
) -> Call[Collection]:
    """Creates a collection; creating an equal one again succeeds."""
    body = {
        "name": name,
        "embedding_model": embedding_model,
        "fields": dict(fields or {}),
        "is_acl_required": is_acl_required,
        "language": language,
        "description": description,
        "index_type": index_type,
    }
    return Call("POST", "/v1/collections", _one_collection, body)


def update_collection(
    name: str, *, index_type: str | None = None, description: str | None = None
) -> Call[Collection]:
    """Changes a collection's settings; None leaves them."""
    given = {"index_type": index_type, "description": description}
    body = {key: value for key, value in given.items() if value is not None}
    return Call("PATCH", f"/v1/collections/{_quoted(name)}", _one_collection, body)


def get_collection(name: str) -> Call[Collection]:
    """A collection."""
    return Call("GET", f"/v1/collections/{_quoted(name)}", _one_collection)


def list_collections(*, page_size: int = 0, page_token: str = "") -> Call[Page[Collection]]:
    """A page of collections."""

    def page(value: Any) -> Page[Collection]:
        entries = tuple(read(Collection, each) for each in value["collections"])
        return Page(entries, value["next_page_token"])

    parameters = {"page_size": page_size, "page_token": page_token}
    return Call("GET", "/v1/collections", page, parameters=parameters)


def delete_collection(name: str) -> Call[None]:
    """Deletes a collection with everything in it."""
    path = f"/v1/collections/{_quoted(name)}"
    return Call("DELETE", path, lambda _: None, is_repeatable=False)


def submit_feedback(
    trace_id: str, *, is_good: bool, comment: str = "", markers: Sequence[int] = ()
) -> Call[str]:
    """What a person thinks of an answer."""
    body = {
        "trace_id": trace_id,
        "rating": "up" if is_good else "down",
        "comment": comment,
        "markers": list(markers),
    }
    return Call(
        "POST", "/v1/feedback", lambda value: value["feedback_id"], body, is_repeatable=False
    )


def anything(
    method: str, path: str, body: Mapping[str, Any] | None, parameters: Mapping[str, Any]
) -> Call[Any]:
    """Any other call; the result is the body's JSON."""
    return Call(
        method, path, lambda value: value, body, parameters, is_repeatable=method in {"GET", "PUT"}
    )


def _document(document: NewDocument) -> dict[str, Any]:
    body: dict[str, Any] = {
        "document_id": document.document_id,
        "title": document.title,
        "uri": document.uri,
        "content_type": document.content_type,
        "file_name": document.file_name,
        "metadata": dict(document.metadata),
        "acl": list(document.acl),
        "idempotency_key": document.idempotency_key or uuid.uuid4().hex,
    }
    if document.content is not None:
        body["content_base64"] = base64.b64encode(document.content).decode()
    else:
        body["text"] = document.text or ""
    return body


def _turns(history: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"speaker": turn.speaker, "text": turn.text} for turn in history]


def _document_path(document_id: str) -> str:
    return f"/v1/documents/{_quoted(document_id)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _one_document(value: Any) -> Document:
    return read(Document, value["document"])


def _one_collection(value: Any) -> Collection:
    return read(Collection, value["collection"])
