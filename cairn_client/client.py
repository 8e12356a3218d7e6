"""The synchronous client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx

from cairn_client import calls
from cairn_client.calls import Call
from cairn_client.errors import CairnError, StreamBrokenError, UnreachableError
from cairn_client.events import EventReader
from cairn_client.options import (
    CollectionOptions,
    DocumentOptions,
    ListOptions,
    PageOptions,
    QueryOptions,
    RecommendOptions,
    SearchOptions,
)
from cairn_client.retries import Retry
from cairn_client.transport import (
    POLL_SECONDS,
    check_settled,
    failure_of,
    headers_of,
    json_of,
    upload_form,
)
from cairn_client.types import (
    Answer,
    AnswerEvent,
    Collection,
    Document,
    NewDocument,
    Page,
    SearchResult,
    Submission,
    read,
)

T = TypeVar("T")


class Client:
    """Calls a gateway. Safe to share between threads.

    Args:
        base_url: Where the gateway is: "http://127.0.0.1:8080".
        api_key: A key, `crn_…`, or another bearer token that the gateway takes.
        timeout_seconds: Deadline of a call that asks for no other; the gateway is told.
        retry: Budget of repeats.
        http: Client to send with; for proxies, certificates and tests. Closed by its owner.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_seconds: float = 60.0,
        retry: Retry | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = headers_of(api_key, timeout_seconds)
        self._retry = retry or Retry()
        self._timeout_seconds = timeout_seconds
        self._http = http or httpx.Client()
        self._is_own = http is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        if self._is_own:
            self._http.close()

    def query(self, text: str, **options: Unpack[QueryOptions]) -> Answer:
        """Answers a question."""
        return self._send(calls.query(text, **options))

    def stream_query(self, text: str, **options: Unpack[QueryOptions]) -> Iterator[AnswerEvent]:
        """Yields passages, pieces of text, then the whole answer. Closing it stops the gateway.

        A stream is not repeated: what was shown cannot be taken back.

        Raises:
            CairnError: it cannot begin, or breaks off.
        """
        call = calls.query(text, **options)
        reader = EventReader()
        with contextlib.closing(self._lines(call)) as lines:
            for line in lines:
                event = reader.take(line)
                if event is not None:
                    yield event
                if isinstance(event, Answer):
                    return
        raise StreamBrokenError("the stream ended before the answer was complete")

    def search(self, text: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Finds passages."""
        return self._send(calls.search(text, **options))

    def recommend(
        self, positive_ids: Sequence[str], **options: Unpack[RecommendOptions]
    ) -> SearchResult:
        """Finds documents like some."""
        return self._send(calls.recommend(positive_ids, **options))

    def submit(
        self, documents: Sequence[NewDocument], *, collection: str = ""
    ) -> tuple[Submission, ...]:
        """Takes documents in, 256 at most; a bad one fails alone."""
        return self._send(calls.submit(documents, collection=collection))

    def upload(self, path: Path | str, *, collection: str = "", **fields: str) -> Submission:
        """Takes a file in; `fields` are those of the form: document_id, title, metadata, acl."""
        with Path(path).open("rb") as file:
            form, parts = upload_form(Path(path).name, file, collection, fields)
            response = self._try("POST", "/v1/documents", data=form, files=parts)
        (submission,) = json_of(response)["submissions"]
        return read(Submission, submission)

    def get_document(self, document_id: str, **options: Unpack[DocumentOptions]) -> Document:
        """Returns a document."""
        return self._send(calls.get_document(document_id, **options))

    def wait_until_settled(
        self, document_ids: Sequence[str], *, collection: str = "", timeout_seconds: float = 300.0
    ) -> tuple[Document, ...]:
        """Waits until documents are ready, or failed for good, and returns them.

        Raises:
            DeadlineError: some were still on their way.
        """
        give_up = time.monotonic() + timeout_seconds
        settled: dict[str, Document] = {}
        while True:
            for each in document_ids:
                if each not in settled:
                    found = self.get_document(each, collection=collection, omit_text=True)
                    if found.is_settled:
                        settled[each] = found
            if check_settled(document_ids, settled, is_late=time.monotonic() >= give_up):
                return tuple(settled[each] for each in document_ids)
            time.sleep(POLL_SECONDS)

    def document_page(self, **options: Unpack[PageOptions]) -> Page[Document]:
        """Returns a page of documents."""
        return self._send(calls.list_documents(**options))

    def list_documents(self, **options: Unpack[ListOptions]) -> Iterator[Document]:
        """Yields every document."""
        token = ""
        while True:
            page = self.document_page(**options, page_token=token)
            yield from page.entries
            token = page.next_page_token
            if not token:
                return

    def delete_document(self, document_id: str, *, collection: str = "") -> None:
        """Deletes a document everywhere."""
        self._send(calls.delete_document(document_id, collection=collection))

    def retry_document(self, document_id: str, *, collection: str = "") -> Document:
        """Runs a failed document again."""
        return self._send(calls.retry_document(document_id, collection=collection))

    def create_collection(self, name: str, **options: Unpack[CollectionOptions]) -> Collection:
        """Creates a collection, or returns the equal one that is there."""
        return self._send(calls.create_collection(name, **options))

    def get_collection(self, name: str) -> Collection:
        """Returns a collection with its figures."""
        return self._send(calls.get_collection(name))

    def list_collections(self, *, page_size: int = 0) -> Iterator[Collection]:
        """Yields every collection."""
        token = ""
        while True:
            page = self._send(calls.list_collections(page_size=page_size, page_token=token))
            yield from page.entries
            token = page.next_page_token
            if not token:
                return

    def update_collection(
        self, name: str, *, index_type: str | None = None, description: str | None = None
    ) -> Collection:
        """Changes a collection's settings; None leaves them."""
        return self._send(
            calls.update_collection(name, index_type=index_type, description=description)
        )

    def delete_collection(self, name: str) -> None:
        """Deletes a collection with everything in it."""
        self._send(calls.delete_collection(name))

    def submit_feedback(
        self, trace_id: str, *, is_good: bool, comment: str = "", markers: Sequence[int] = ()
    ) -> str:
        """Says what a person thinks of an answer; returns the feedback's identifier."""
        return self._send(
            calls.submit_feedback(trace_id, is_good=is_good, comment=comment, markers=markers)
        )

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Any:
        """Makes any other call of the REST API, such as of keys, users, usage and sources."""
        return self._send(calls.anything(method, path, body, parameters))

    def _send(self, call: Call[T]) -> T:
        begun, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                response = self._try(
                    call.method, call.path, json=call.body, params=dict(call.parameters)
                )
            except CairnError as error:
                wait = self._retry.wait_seconds(
                    error, attempt, time.monotonic() - begun, is_repeatable=call.is_repeatable
                )
                if wait is None:
                    raise
                time.sleep(wait)
            else:
                return call.read(json_of(response))

    def _try(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(
                method,
                self._base_url + path,
                headers=self._headers,
                timeout=self._timeout_seconds,
                **options,
            )
        except httpx.HTTPError as error:
            raise UnreachableError(f"no answer from {self._base_url}: {error!r}") from error
        if response.is_error:
            raise failure_of(response)
        return response

    def _lines(self, call: Call[Any]) -> Generator[str]:
        body = {**(call.body or {}), "stream": True}
        try:
            with self._http.stream(
                call.method,
                self._base_url + call.path,
                json=body,
                headers=self._headers,
                timeout=self._timeout_seconds,
            ) as response:
                if response.is_error:
                    response.read()
                    raise failure_of(response)
                yield from response.iter_lines()
        except httpx.HTTPError as error:
            raise UnreachableError(f"no answer from {self._base_url}: {error!r}") from error
