"""The same question through every surface of the whole suite gives the same chunks, those written
here; and OpenAI's way from a file to a cited answer works with the real services."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc.aio
import httpx
import openai
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb

from tests.kit.suite import Suite
from tests.kit.surfaces import ANSWERS, Caller, Case, chunks_of

COLLECTION = "golden-surfaces"
DOCUMENTS = {
    "granite": "Granite is an igneous rock. It forms when magma cools slowly deep below the ground.",
    "basalt": "Basalt cools quickly at the surface. It is dark and fine grained.",
    "marble": "Marble is limestone that was changed by heat and pressure.",
    "slate": "Slate splits into thin sheets and covers roofs.",
}
QUESTIONS = {
    "How does granite form?": ["granite", "marble", "basalt"],
    "What covers roofs?": ["slate", "basalt", "granite"],
    "Which rock was limestone before?": ["marble", "granite", "basalt"],
}
"""Golden: the documents that answers are written from, best first."""


@pytest.fixture(scope="module")
def golden(suite: Suite) -> Suite:
    with suite.client() as client:
        client.delete(f"/v1/collections/{COLLECTION}")
        made = client.post("/v1/collections", json={"name": COLLECTION})
        assert made.status_code == 201, made.text
        body = {
            "collection": COLLECTION,
            "documents": [
                {"document_id": name, "title": name.title(), "text": text}
                for name, text in DOCUMENTS.items()
            ],
        }
        assert client.post("/v1/documents", json=body).status_code == 202
        for name in DOCUMENTS:
            while True:
                path = f"/v1/documents/{name}?collection={COLLECTION}"
                state = client.get(path).json()["document"]["state"]
                assert state in {"queued", "running", "ready"}, state
                if state == "ready":
                    break
    return suite


@pytest.fixture
async def caller(golden: Suite) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {golden.api_key}", "X-Cairn-Cache": "off"}
    async with (
        httpx.AsyncClient(
            base_url=golden.http_url, headers=headers, timeout=60, trust_env=False
        ) as http,
        grpc.aio.insecure_channel(golden.grpc_target) as channel,
    ):
        yield Caller(http, channel, golden.api_key)


@pytest.mark.parametrize("question", list(QUESTIONS))
async def test_every_surface_gives_the_same_chunks(caller: Caller, question: str) -> None:
    case = Case(question, COLLECTION, "", "", top_k=3)
    found = {}
    for surface, ask in ANSWERS.items():
        answer = await ask(caller, case)
        found[surface] = chunks_of(surface, answer)
    chunks = found["rest"]
    assert found == dict.fromkeys(ANSWERS, chunks)
    whole = json.loads(await ANSWERS["rest"](caller, case))
    documents = [each["passage"]["document_id"] for each in whole["passages"]]
    assert documents == QUESTIONS[question]


async def test_every_surface_gives_the_same_chunks_unless_told_how_many(caller: Caller) -> None:
    case = Case("Which rocks are there?", COLLECTION, "", "", top_k=0)
    rest = chunks_of("rest", await ANSWERS["rest"](caller, case))
    mcp = chunks_of("mcp ask", await ANSWERS["mcp ask"](caller, case))
    body = {
        "model": f"cairn/{COLLECTION}",
        "input": case.query,
        "include": ["file_search_call.results"],
    }
    responses = chunks_of("responses", await caller.post("/openai/v1/responses", body))
    assert len(rest) == len(DOCUMENTS)
    assert rest == mcp == responses


async def test_lists_are_paged_alike(caller: Caller) -> None:
    over_rest: list[str] = []
    token = ""
    while True:
        parameters = {"collection": COLLECTION, "page_size": 1, "page_token": token}
        page = json.loads(await caller.get("/v1/documents", **parameters))
        over_rest += [each["document_id"] for each in page["documents"]]
        token = page["next_page_token"]
        if not token:
            break
    over_grpc: list[str] = []
    request = pb.ListDocumentsRequest(collection=COLLECTION, page_size=1)
    while True:
        answer = await caller.call("ListDocuments", request)
        found = pb.ListDocumentsResponse.FromString(answer)
        over_grpc += [each.document_id for each in found.documents]
        request.page_token = found.next_page_token
        if not found.next_page_token:
            break
    assert sorted(over_rest) == sorted(DOCUMENTS)
    assert over_grpc == over_rest


async def test_from_a_file_to_a_cited_answer_by_openais_client(golden: Suite) -> None:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        openai.AsyncOpenAI(
            base_url=f"{golden.http_url}/openai/v1",
            api_key=golden.api_key,
            http_client=http,
            max_retries=0,
        ) as client,
    ):
        store = await client.vector_stores.create(name="Quarries")
        try:
            batch = await client.vector_stores.file_batches.upload_and_poll(
                store.id,
                files=[
                    ("riga.md", b"# Riga\n\nThe quarry of Riga sells 250 tons of granite a year."),
                    ("oslo.md", b"# Oslo\n\nThe quarry of Oslo was closed in the year 1998."),
                ],
                poll_interval_ms=200,
            )
            assert (batch.status, batch.file_counts.completed) == ("completed", 2)
            third = await client.files.create(
                file=("bergen.txt", b"The quarry of Bergen sells 90 tons of slate a year."),
                purpose="assistants",
            )
            attached = await client.vector_stores.files.create_and_poll(
                third.id,
                vector_store_id=store.id,
                attributes={"year": 2024, "rock": "slate", "open": True},
                poll_interval_ms=200,
            )
            assert attached.status == "completed"
            filters = {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "rock", "value": "slate"},
                    {"type": "gte", "key": "year", "value": 2020},
                    {"type": "eq", "key": "open", "value": True},
                ],
            }
            page = await client.vector_stores.search(store.id, query="quarry", filters=filters)
            assert {hit.file_id for hit in page.data} == {third.id}
            assert page.data[0].attributes == {"year": 2024, "rock": "slate", "open": True}
            response = await client.responses.create(
                model="cairn",
                input="How many tons does the quarry of Riga sell?",
                tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
            )
            assert "250 tons" in response.output_text
            citation = response.output[1].content[0].annotations[0]
            assert citation.filename == "riga.md"
            text = client.vector_stores.files.content(citation.file_id, vector_store_id=store.id)
            assert "250 tons" in "".join([part.text async for part in text])
            shown = await client.vector_stores.retrieve(store.id)
            assert shown.file_counts.completed == 3
            listed = [each.id async for each in client.vector_stores.files.list(store.id, limit=1)]
            assert len(listed) == 3
        finally:
            await client.vector_stores.delete(store.id)
