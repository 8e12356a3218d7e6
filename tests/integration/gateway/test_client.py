"""The Python client, synchronous and asynchronous, against the gateway over fake services."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion

import cairn_client
from cairn_client import (
    Answer,
    AnswerDelta,
    AsyncClient,
    BadRequestError,
    Client,
    DeadlineError,
    NewDocument,
    NotFoundError,
    PassagesFound,
    PermissionDeniedError,
    Retry,
    StreamBrokenError,
    Turn,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from cairn_client.types import Citation, Collection, Document, Passage, Scores, Submission, Usage
from services.rpc.errors import Reason
from services.rpc.errors import UnavailableError as Away
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway

QUESTION = "How does granite form?"
ANSWER = "Granite forms when magma cools slowly [1]. Granite is an igneous rock."


@contextlib.contextmanager
def sync_client(gw: RunningGateway, key: str = "", **options: Any) -> Iterator[Client]:
    with (
        httpx.Client(trust_env=False) as http,
        Client(gw.url, key or gw.key, http=http, **options) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def async_client(
    gw: RunningGateway, key: str = "", **options: Any
) -> AsyncIterator[AsyncClient]:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        AsyncClient(gw.url, key or gw.key, http=http, **options) as client,
    ):
        yield client


async def in_thread(gw: RunningGateway, work: Callable[[Client], Any], **options: Any) -> Any:
    """Runs `work` with a synchronous client: the gateway needs this loop."""

    def run() -> Any:
        with sync_client(gw, **options) as client:
            return work(client)

    return await asyncio.to_thread(run)


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def methods(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Answer, pb.QueryResponse),
        (Citation, pb.Citation),
        (Document, pb.Document),
        (Submission, pb.Submission),
        (Collection, pb.Collection),
    ],
)
def test_types_have_the_fields_of_the_contract(kind: Any, message: Any) -> None:
    assert is_dataclass(kind)
    assert {each.name for each in fields(kind)} == {f.name for f in message.DESCRIPTOR.fields}


async def test_questions_and_streams(gw: RunningGateway) -> None:
    history = [Turn("user", "What is granite?"), Turn("assistant", "A rock.")]
    async with async_client(gw) as client:
        answer = await client.query(QUESTION, history=history, explain=True)
        events = [event async for event in client.stream_query(QUESTION)]
    assert answer.answer == ANSWER
    (citation,) = answer.citations
    assert citation.text == TEXT[citation.start : citation.end]
    assert answer.passages[0].passage.metadata == {"kind": "rock", "year": 1950}
    assert isinstance(answer.passages[0].passage, Passage)
    assert isinstance(answer.passages[0].scores, Scores)
    assert isinstance(answer.usage, Usage)
    assert answer.explanation
    assert isinstance(events[0], PassagesFound)
    assert isinstance(events[-1], Answer)
    assert "".join(e.text for e in events if isinstance(e, AnswerDelta)) == ANSWER
    again = await in_thread(gw, lambda client: list(client.stream_query(QUESTION)))
    assert [type(each) for each in again] == [type(each) for each in events]
    assert (await in_thread(gw, lambda client: client.query(QUESTION))).answer == ANSWER


async def test_documents_and_collections(gw: RunningGateway, tmp_path: Path) -> None:
    path = tmp_path / "basalt.md"
    path.write_text("# Basalt", "utf-8")

    def work(client: Client) -> None:
        new = [
            NewDocument(text="x", document_id="a"),
            NewDocument(content=b"\x00", document_id="b"),
        ]
        submitted = client.submit(new)
        assert [each.document.state for each in submitted if each.document] == ["queued"] * 2
        assert client.upload(path, title="Basalt").document
        assert client.get_document("rocks/granite.md").text == TEXT
        assert {each.document_id for each in client.list_documents(page_size=1)} == {
            "a",
            "b",
            "basalt.md",
        }
        client.delete_document("a")
        assert client.create_collection("fresh", fields={"year": "integer"}).name == "fresh"
        assert client.get_collection("default").document_count == 1
        assert "fresh" in [each.name for each in client.list_collections(page_size=1)]
        client.delete_collection("fresh")
        assert client.search("granite", top_k=1).passages[0].passage.document_id
        assert client.recommend(["rocks/granite.md"]).passages
        assert client.submit_feedback(client.query("x").trace_id, is_good=True, markers=[1])
        assert client.request("GET", "/v1/usage")["rows"] is not None

    await in_thread(gw, work)
    keys = [
        j.idempotency_key
        for r in gw.down.ingestion.submit.requests("SubmitDocuments")
        for j in (d.header for d in r.documents)
    ]
    assert len(set(keys)) >= 2


async def test_waiting_for_documents(gw: RunningGateway) -> None:
    async with async_client(gw) as client:
        await client.submit([NewDocument(text="x", document_id="a")])
        with pytest.raises(DeadlineError, match="still on their way"):
            await client.wait_until_settled(["a"], timeout_seconds=0)
        gw.down.ingestion.jobs["a"].state = ingestion.JOB_STATE_READY
        (document,) = await client.wait_until_settled(["a"])
        assert document.state == "ready"


async def test_errors_are_classes(gw: RunningGateway) -> None:
    async with async_client(gw) as client:
        with pytest.raises(NotFoundError) as absent:
            await client.query("x", collection="absent")
        assert absent.value.reason == "COLLECTION_NOT_FOUND"
        assert len(absent.value.trace_id) == 32
        with pytest.raises(BadRequestError) as bad:
            await client.search("x", top_k=5_000)
        assert bad.value.violations[0].field == "top_k"
        stream = client.stream_query("x", collection="absent")
        with pytest.raises(NotFoundError):
            await anext(stream)
    async with async_client(gw, "crn_wrong") as client:
        with pytest.raises(UnauthenticatedError):
            await client.query("x")
    async with async_client(gw, await gw.make_key(role="viewer")) as client:
        with pytest.raises(PermissionDeniedError):
            await client.delete_collection("default")
    async with AsyncClient("http://127.0.0.1:9", "crn_x", retry=Retry(max_attempts=1)) as client:
        with pytest.raises(UnreachableError):
            await client.query("x")


async def test_what_is_away_is_tried_again_within_the_budget(gw: RunningGateway) -> None:
    gw.down.retrieval.search.error = Away(Reason.NOT_READY, "away")
    async with async_client(gw, retry=Retry(first_wait_seconds=0.01)) as client:
        call = asyncio.create_task(client.search("granite"))
        while len(gw.down.retrieval.search.requests("Search")) < 1:
            await asyncio.sleep(0.01)
        gw.down.retrieval.search.error = None
        assert (await call).passages
    gw.down.retrieval.search.error = Away(Reason.NOT_READY, "away")
    async with async_client(gw, retry=Retry(max_attempts=1)) as client:
        with pytest.raises(UnavailableError) as away:
            await client.search("basalt")
    assert away.value.retry_after_seconds


async def test_a_stream_that_fails_or_ends_early_is_an_error(gw: RunningGateway) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text='event: delta\ndata: {"text":"x"}\n\n')

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    async with http, AsyncClient("http://gateway", "crn_x", http=http) as client:
        with pytest.raises(StreamBrokenError):
            assert [event async for event in client.stream_query("x")]


async def test_closing_a_stream_stops_the_engine(gw: RunningGateway) -> None:
    gw.down.generation.between_seconds = 5
    async with async_client(gw) as client:
        stream = client.stream_query(QUESTION)
        async for event in stream:
            if isinstance(event, AnswerDelta):
                break
        await stream.aclose()
    assert await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 3)


def test_package_says_what_it_exports() -> None:
    assert all(hasattr(cairn_client, name) for name in cairn_client.__all__)
    assert (Path(cairn_client.__file__).parent / "py.typed").exists()
