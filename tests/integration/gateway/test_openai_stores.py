"""Files, vector stores and responses with the official OpenAI client, over fake services."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion

from services.rpc.errors import Reason, UnavailableError
from tests.integration.gateway.test_openai import client_of
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway, running_gateway

QUESTION = "How does granite form?"
FILE_SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
ANSWER = "Granite forms when magma cools slowly [1]. Granite is an igneous rock."


async def test_response_has_file_search_and_file_citations(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        response = await client.responses.create(
            model="cairn",
            input=QUESTION,
            tools=[{**FILE_SEARCH, "max_num_results": 3}],
            include=["file_search_call.results"],
            instructions="Be brief.",
        )
    assert response.status == "completed"
    assert response.output_text == ANSWER
    call, message = response.output
    assert call.type == "file_search_call"
    assert call.results is not None
    assert [hit.file_id for hit in call.results] == ["rocks/granite.md"] * 2
    assert call.results[0].filename == "granite.md"
    assert call.results[0].attributes == {"kind": "rock", "year": 1950}
    assert 0 < (call.results[1].score or 0) < (call.results[0].score or 0) < 1
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    (citation,) = part.annotations
    assert citation.type == "file_citation"
    assert citation.file_id == "rocks/granite.md"
    assert part.text[citation.index :].startswith("[1]")
    extra = citation.model_extra or {}
    assert extra["text"] == TEXT[extra["start"] : extra["end"]]
    assert response.usage is not None
    assert response.usage.output_tokens == 12
    assert [m.content for m in gw.down.generation.generate.requests("Generate")[0].messages] == [
        "Be brief.",
        QUESTION,
    ]


async def test_response_streams_semantic_events(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        stream = await client.responses.create(
            model="cairn", input=QUESTION, tools=[FILE_SEARCH], stream=True
        )
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    for kind in (
        "response.output_item.added",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ):
        assert kind in kinds, kind
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == ANSWER == events[-1].response.output_text


async def test_response_of_a_model_alone(gw: RunningGateway) -> None:
    gw.down.generation.pieces = ["Hello", " there"]
    async with client_of(gw) as client:
        response = await client.responses.create(
            model="tiny",
            input=[
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Yes?"}]},
                {"role": "user", "content": [{"type": "input_text", "text": "Say hello"}]},
            ],
            top_p=0.5,
        )
        async with client.responses.stream(model="tiny", input="Say hello") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    assert response.output_text == "Hello there" == final.output_text
    assert "response.file_search_call.searching" not in kinds
    first = gw.down.generation.generate.requests("Generate")[0]
    assert not first.passages
    assert first.sampling.top_p == 0.5
    assert [m.content for m in first.messages] == ["Hi", "Yes?", "Say hello"]
    assert gw.down.retrieval.search.requests("Search") == []


async def test_plain_chat_streams_stops_and_takes_a_schema(gw: RunningGateway) -> None:
    gw.down.generation.pieces = ["Hello", " there"]
    async with client_of(gw) as client:
        plain = await client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "Hi"}],
            stop=["END"],
            seed=7,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}},
            },
        )
        stream = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        text = [c.choices[0].delta.content or "" async for c in stream]
    assert plain.choices[0].message.content == "Hello there" == "".join(text)
    request = gw.down.generation.generate.requests("Generate")[0]
    assert list(request.sampling.stop) == ["END"]
    assert request.sampling.seed == 7
    assert request.structured_output.json_schema == '{"type": "object"}'


async def test_what_responses_do_not_offer_is_said(gw: RunningGateway) -> None:
    wrong = (
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{**FILE_SEARCH, "vector_store_ids": ["a", "b"]}]},
        {"tools": [{**FILE_SEARCH, "filters": {"type": "like", "key": "a", "value": "b"}}]},
        {"input": []},
        {"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]},
        {"text": {"format": {"type": "json_object"}}},
    )
    async with client_of(gw) as client:
        for options in wrong:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.create(**({"model": "cairn", "input": "x"} | options))
            assert caught.value.type == "invalid_request_error", options
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="gpt-9", input="x")
        tool = {**FILE_SEARCH, "vector_store_ids": ["absent"]}
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model="cairn", input="x", tools=[tool], stream=True)


async def test_response_that_breaks_off_says_so(gw: RunningGateway) -> None:
    gw.down.generation.pieces = ["Hello", " there"]
    gw.down.generation.break_after = 1
    async with client_of(gw) as client:
        stream = await client.responses.create(model="tiny", input="x", stream=True)
        events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None


async def test_client_that_leaves_a_response_stops_the_engine(gw: RunningGateway) -> None:
    gw.down.generation.between_seconds = 5
    async with client_of(gw) as client:
        stream = await client.responses.create(model="tiny", input="x", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
    assert await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 3)


async def test_files_are_kept_listed_and_read_back(gw: RunningGateway) -> None:
    content = b"Granite. " * 300_000  # over one piece
    async with client_of(gw) as client:
        files = [
            await client.files.create(
                file=(f"f{i}.txt", content[: 9 * (i + 1)]), purpose="assistants"
            )
            for i in range(3)
        ]
        large = await client.files.create(
            file=("größe.txt", content, "text/plain"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert large.bytes == len(content)
        assert large.expires_at == large.created_at + 3600
        assert (await client.files.content(large.id)).content == content
        assert (await client.files.retrieve(large.id)).filename == "größe.txt"
        listed = [each.id async for each in client.files.list(limit=2)]
        assert listed == [large.id, *reversed([each.id for each in files])]
        upward = [each.id async for each in client.files.list(limit=2, order="asc")]
        assert upward == listed[::-1]
        only = [each.id async for each in client.files.list(purpose="user_data")]
        assert only == [large.id]
        assert (await client.files.delete(large.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(large.id)
        for bad in ({"purpose": "nonsense"}, {"file": ("empty.txt", b"")}):
            with pytest.raises(openai.BadRequestError):
                await client.files.create(
                    **({"file": ("f.txt", b"x"), "purpose": "assistants"} | bad)
                )


async def test_files_are_their_senders_alone(gw: RunningGateway) -> None:
    async with (
        client_of(gw, await gw.make_key(role="editor")) as one,
        client_of(gw, await gw.make_key(role="editor")) as other,
        client_of(gw, await gw.make_key(role="viewer")) as viewer,
        client_of(gw) as admin,
    ):
        file = await one.files.create(file=("mine.txt", b"secret"), purpose="assistants")
        for stranger in (other, viewer):
            assert [each.id async for each in stranger.files.list()] == []
            for call in (
                stranger.files.retrieve(file.id),
                stranger.files.content(file.id),
            ):
                with pytest.raises(openai.NotFoundError):
                    await call
        with pytest.raises(openai.NotFoundError):
            await other.files.delete(file.id)
        with pytest.raises(openai.NotFoundError):
            await other.vector_stores.files.create("default", file_id=file.id)
        with pytest.raises(openai.PermissionDeniedError):
            await viewer.files.create(file=("a.txt", b"x"), purpose="assistants")
        assert (await admin.files.retrieve(file.id)).id == file.id


async def test_file_quota_of_a_tenant_holds(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, max_tenant_file_bytes=10) as gw, client_of(gw) as client:
        await client.files.create(file=("a.txt", b"123456"), purpose="assistants")
        with pytest.raises(openai.RateLimitError) as caught:
            await client.files.create(file=("b.txt", b"123456"), purpose="assistants")
        assert caught.value.code == "quota_exceeded"


async def test_vector_store_is_a_collection(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        file = await client.files.create(file=("notes.md", b"# Notes"), purpose="assistants")
        store = await client.vector_stores.create(
            name="Team notes", metadata={"team": "rocks"}, file_ids=[file.id]
        )
        assert store.id in gw.down.retrieval.collections
        assert store.name == "Team notes"
        changed = await client.vector_stores.update(store.id, name="Our notes")
        assert (changed.name, changed.metadata) == ("Our notes", {"team": "rocks"})
        assert (await client.vector_stores.retrieve(store.id)).name == "Our notes"
        listed = {each.id: each.name async for each in client.vector_stores.list(limit=1)}
        assert listed == {store.id: "Our notes", "default": "default"}
        header = gw.down.ingestion.submit.requests("SubmitDocuments")[0].documents[0].header
        assert (header.document_id, header.file_name) == (file.id, "notes.md")
        assert (await client.vector_stores.delete(store.id)).deleted
        assert store.id not in gw.down.retrieval.collections
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.retrieve(store.id)
        with pytest.raises(openai.BadRequestError):
            await client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})


async def test_files_of_a_vector_store(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        files = [
            await client.files.create(file=(f"{i}.md", b"text"), purpose="assistants")
            for i in range(3)
        ]
        attached = await client.vector_stores.files.create(
            "default", file_id=files[0].id, attributes={"year": 2024, "kind": "rock", "ok": True}
        )
        assert attached.status == "in_progress"
        assert attached.attributes == {"year": 2024, "kind": "rock", "ok": True}
        batch = await client.vector_stores.file_batches.create(
            "default", file_ids=[files[1].id, files[2].id, "file-absent"]
        )
        assert (batch.file_counts.total, batch.file_counts.failed) == (3, 1)
        for job in gw.down.ingestion.jobs.values():
            job.state = ingestion.JOB_STATE_READY
        done = await client.vector_stores.file_batches.poll(batch.id, vector_store_id="default")
        assert (done.status, done.file_counts.completed) == ("completed", 2)
        of_batch = [
            each.id
            async for each in client.vector_stores.file_batches.list_files(
                batch.id, vector_store_id="default"
            )
        ]
        assert set(of_batch) == {files[1].id, files[2].id}
        listed = [each.id async for each in client.vector_stores.files.list("default", limit=2)]
        assert set(listed) == {each.id for each in files}
        assert len(listed) == 3
        upward = [each.id async for each in client.vector_stores.files.list("default", order="asc")]
        assert upward == listed[::-1]
        done_only = client.vector_stores.files.list("default", filter="in_progress")
        assert [each async for each in done_only] == []
        one = await client.vector_stores.files.retrieve(files[0].id, vector_store_id="default")
        assert one.status == "completed"
        gone = await client.vector_stores.files.delete(files[0].id, vector_store_id="default")
        assert gone.deleted
        assert (await client.files.retrieve(files[0].id)).id == files[0].id
        text = await client.vector_stores.files.content(
            "rocks/granite.md", vector_store_id="default"
        )
        assert [part.text async for part in text] == [TEXT]


async def test_search_of_a_vector_store(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        page = client.vector_stores.search(
            "default",
            query="granite",
            filters={
                "type": "and",
                "filters": [
                    {"type": "gte", "key": "year", "value": 1900},
                    {"type": "nin", "key": "kind", "value": ["tree", "bird"]},
                    {"type": "ne", "key": "ok", "value": False},
                ],
            },
            max_num_results=1,
            ranking_options={"ranker": "auto", "score_threshold": 0.1},
        )
        (hit,) = [each async for each in page]
        assert hit.file_id == "rocks/granite.md"
        assert hit.content[0].text == TEXT[: TEXT.index(" Basalt")]
        (request,) = gw.down.retrieval.search.requests("Search")
        operands = request.options.filter.all_of.filters
        assert operands[0].range.gte.integer == 1900
        assert operands[1].negation.one_of.field == "kind"
        assert gw.down.embedding.rerank.calls
        none = client.vector_stores.search(
            "default", query="granite", ranking_options={"score_threshold": 1.0}
        )
        assert [each async for each in none] == []
        for options in (
            {"filters": {"type": "and", "filters": []}},
            {"filters": {"type": "eq", "key": "a", "value": None}},
            {"max_num_results": 51},
            {"query": ""},
        ):
            search = client.vector_stores.search("default", **({"query": "granite"} | options))
            with pytest.raises(openai.BadRequestError):
                await search
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.search("Absent!", query="granite")
        gw.down.retrieval.search.error = UnavailableError(Reason.NOT_READY, "away")
        with pytest.raises(openai.InternalServerError):
            await client.vector_stores.search("default", query="granite")
