"""The asynchronous client: the synchronous one with `await`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
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


class AsyncClient:
    """Calls a gateway. One event loop at a time.

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
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = headers_of(api_key, timeout_seconds)
        self._retry = retry or Retry()
        self._timeout_seconds = timeout_seconds
        self._http = http or httpx.AsyncClient()
        self._is_own = http is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections."""
        if self._is_own:
            await self._http.aclose()

    async def query(self, text: str, **options: Unpack[QueryOptions]) -> Answer:
        """Answers a question."""
        return await self._send(calls.query(text, **options))

    async def stream_query(
        self, text: str, **options: Unpack[QueryOptions]
    ) -> AsyncGenerator[AnswerEvent]:
        """Yields passages, pieces of text, then the whole answer. Closing it stops the gateway.

        A stream is not repeated: what was shown cannot be taken back.

        Raises:
            CairnError: it cannot begin, or breaks off.
        """
        call = calls.query(text, **options)
        reader = EventReader()
        async with contextlib.aclosing(self._lines(call)) as lines:
            async for line in lines:
                event = reader.take(line)
                if event is not None:
                    yield event
                if isinstance(event, Answer):
                    return
        raise StreamBrokenError("the stream ended before the answer was complete")

    async def search(self, text: str, **options: Unpack[SearchOptions]) -> SearchResult:
        """Finds passages."""
        return await self._send(calls.search(text, **options))

    async def recommend(
        self, positive_ids: Sequence[str], **options: Unpack[RecommendOptions]
    ) -> SearchResult:
        """Finds documents like some."""
        return await self._send(calls.recommend(positive_ids, **options))

    async def submit(
        self, documents: Sequence[NewDocument], *, collection: str = ""
    ) -> tuple[Submission, ...]:
        """Takes documents in, 256 at most; a bad one fails alone."""
        return await self._send(calls.submit(documents, collection=collection))

    async def upload(self, path: Path | str, *, collection: str = "", **fields: str) -> Submission:
        """Takes a file in; `fields` are those of the form: document_id, title, metadata, acl."""
        # Read at once: an asynchronous body of a form cannot come from a plain file.
        content = await asyncio.to_thread(Path(path).read_bytes)
        form, parts = upload_form(Path(path).name, content, collection, fields)
        response = await self._try("POST", "/v1/documents", data=form, files=parts)
        (submission,) = json_of(response)["submissions"]
        return read(Submission, submission)

    async def get_document(self, document_id: str, **options: Unpack[DocumentOptions]) -> Document:
        """Returns a document."""
        return await self._send(calls.get_document(document_id, **options))

    async def wait_until_settled(
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
                    found = await self.get_document(each, collection=collection, omit_text=True)
                    if found.is_settled:
                        settled[each] = found
            if check_settled(document_ids, settled, is_late=time.monotonic() >= give_up):
                return tuple(settled[each] for each in document_ids)
            await asyncio.sleep(POLL_SECONDS)

    async def document_page(self, **options: Unpack[PageOptions]) -> Page[Document]:
        """Returns a page of documents."""
        return await self._send(calls.list_documents(**options))

    async def list_documents(self, **options: Unpack[ListOptions]) -> AsyncGenerator[Document]:
        """Yields every document."""
        token = ""
        while True:
            page = await self.document_page(**options, page_token=token)
            for each in page.entries:
                yield each
            token = page.next_page_token
            if not token:
                return

    async def delete_document(self, document_id: str, *, collection: str = "") -> None:
        """Deletes a document everywhere."""
        await self._send(calls.delete_document(document_id, collection=collection))

    async def retry_document(self, document_id: str, *, collection: str = "") -> Document:
        """Runs a failed document again."""
        return await self._send(calls.retry_document(document_id, collection=collection))

    async def create_collection(
        self, name: str, **options: Unpack[CollectionOptions]
    ) -> Collection:
        """Creates a collection, or returns the equal one that is there."""
        return await self._send(calls.create_collection(name, **options))

    async def get_collection(self, name: str) -> Collection:
        """Returns a collection with its figures."""
        return await self._send(calls.get_collection(name))

    async def list_collections(self, *, page_size: int = 0) -> AsyncGenerator[Collection]:
        """Yields every collection."""
        token = ""
        while True:
            page = await self._send(calls.list_collections(page_size=page_size, page_token=token))
            for each in page.entries:
                yield each
            token = page.next_page_token
            if not token:
                return

    async def update_collection(
        self, name: str, *, index_type: str | None = None, description: str | None = None
    ) -> Collection:
        """Changes a collection's settings; None leaves them."""
        return await self._send(
            calls.update_collection(name, index_type=index_type, description=description)
        )

    async def delete_collection(self, name: str) -> None:
        """Deletes a collection with everything in it."""
        await self._send(calls.delete_collection(name))

    async def submit_feedback(
        self, trace_id: str, *, is_good: bool, comment: str = "", markers: Sequence[int] = ()
    ) -> str:
        """Says what a person thinks of an answer; returns the feedback's identifier."""
        return await self._send(
            calls.submit_feedback(trace_id, is_good=is_good, comment=comment, markers=markers)
        )

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Any:
        """Makes any other call of the REST API, such as of keys, users, usage and sources."""
        return await self._send(calls.anything(method, path, body, parameters))

    async def _send(self, call: Call[T]) -> T:
        begun, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                response = await self._try(
                    call.method, call.path, json=call.body, params=dict(call.parameters)
                )
            except CairnError as error:
                wait = self._retry.wait_seconds(
                    error, attempt, time.monotonic() - begun, is_repeatable=call.is_repeatable
                )
                if wait is None:
                    raise
                await asyncio.sleep(wait)
            else:
                return call.read(json_of(response))

    async def _try(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(
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

    async def _lines(self, call: Call[Any]) -> AsyncGenerator[str]:
        body = {**(call.body or {}), "stream": True}
        try:
            async with self._http.stream(
                call.method,
                self._base_url + call.path,
                json=body,
                headers=self._headers,
                timeout=self._timeout_seconds,
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise failure_of(response)
                async for line in response.aiter_lines():
                    yield line
        except httpx.HTTPError as error:
            raise UnreachableError(f"no answer from {self._base_url}: {error!r}") from error
