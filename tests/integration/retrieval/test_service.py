"""The service through real gRPC, on both databases."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2
from google.protobuf.timestamp_pb2 import Timestamp as ProtoTimestamp

from services.filters.values import Timestamp
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.retrieval import (
    condition,
    create,
    direction,
    document,
    ids,
    reason,
    retrieval_service,
    scope,
    search,
    upsert,
    vector,
)


@pytest.fixture
async def service(database_url):
    async with retrieval_service(database_url) as running:
        yield running


async def test_an_acknowledged_write_is_found_by_the_next_search(service):
    await create(service)
    for number in range(10):
        await upsert(service, document(f"d{number}", [f"granite number{number}"]))
        assert ids(await search(service, f"number{number}")) == [f"d{number}"]


async def test_a_passage_is_the_documents_text_between_its_offsets(service):
    await create(service)
    texts = ["Zürich 🏔️ liegt in der Schweiz", "naïve café – 東京", "e\u0301 combining"]
    await upsert(service, document("d", texts, title="T", uri="u/x.md"))
    found = await search(service, numbers=direction(1), top_k=3)
    stored = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(scope=scope(), collection="docs", document_ids=["d"])
    )
    text = stored.documents[0].text
    assert len(found.passages) == 3
    for each in found.passages:
        passage = each.passage
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == texts[passage.ordinal]
        assert (passage.title, passage.uri, passage.collection) == ("T", "u/x.md", "docs")


async def test_creating_an_equal_collection_again_succeeds_and_another_is_refused(service):
    first = await create(service, language="german", embedding_model="m")
    again = await create(service, language="german", embedding_model="m", description="other")
    assert not first.already_existed
    assert again.already_existed
    assert again.collection.created_at == first.collection.created_at
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(service, dimensions=16, language="german", embedding_model="m")
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason(caught.value) == "COLLECTION_EXISTS"


async def test_creating_again_after_fields_were_inferred_succeeds(service):
    await create(service)
    await upsert(service, document("d", year=2020))
    assert (await create(service)).already_existed


async def test_tenants_do_not_see_each_others_collections(service):
    await create(service, tenant="acme")
    await create(service, tenant="other")
    await upsert(service, document("mine"))
    response = await search(service, "words", by=scope(tenant="other"))
    assert ids(response) == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await search(service, "words", by=scope(tenant="third"))
    assert reason(caught.value) == "COLLECTION_NOT_FOUND"


async def test_a_principal_removed_cannot_read_from_the_next_search_on(service):
    await create(service)
    alice = scope("user:alice")
    await upsert(service, document("d", acl=["user:alice", "user:bob"]))
    assert ids(await search(service, "words", by=alice)) == ["d"]
    await upsert(service, document("d", acl=["user:bob"]))
    for mode in ("words", ""):
        response = await search(service, mode, direction(0), by=alice)
        assert ids(response) == []
    got = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(scope=alice, collection="docs", document_ids=["d"])
    )
    assert not got.documents
    assert ids(await search(service, "words", by=scope("user:bob"))) == ["d"]


async def test_no_principals_read_nothing(service):
    await create(service)
    await upsert(service, document("d"))
    nobody = scope()
    del nobody.principals[:]
    assert ids(await search(service, "words", by=nobody)) == []
    count = await service.stub.Count(pb.CountRequest(scope=nobody, collection="docs"))
    assert (count.document_count, count.chunk_count) == (0, 0)
    page = await service.stub.Scroll(pb.ScrollRequest(scope=nobody, collection="docs"))
    assert not page.documents


async def test_versions_rise_and_expected_versions_guard(service):
    await create(service)
    first = await upsert(service, document("d"), expected_version=-1)
    second = await upsert(service, document("d"), expected_version=1)
    assert (list(first.versions), list(second.versions)) == ([1], [2])
    assert second.seq > first.seq
    for expected in (-1, 1, 7):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upsert(service, document("d"), document("e"), expected_version=expected)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        assert reason(caught.value) == "CONFLICT"
    await service.stub.Delete(
        pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["d"])
    )
    third = await upsert(service, document("d"), expected_version=-1)
    assert list(third.versions) == [3]
    count = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert count.document_count == 1


async def test_deleted_documents_are_gone_everywhere(service):
    await create(service)
    await upsert(service, *(document(f"d{n}", n=n) for n in range(6)))
    by_id = await service.stub.Delete(
        pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["d0", "unknown"])
    )
    assert by_id.deleted_count == 1
    by_filter = await service.stub.Delete(
        pb.DeleteRequest(scope=scope(), collection="docs", filter=condition("n >= 4"))
    )
    assert by_filter.deleted_count == 2
    assert by_filter.seq > by_id.seq
    left = ["d1", "d2", "d3"]
    assert sorted(ids(await search(service, "words"))) == left
    page = await service.stub.Scroll(pb.ScrollRequest(scope=scope(), collection="docs"))
    assert [each.document_id for each in page.documents] == left
    got = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(scope=scope(), collection="docs", document_ids=["d0", "d1", "d5"])
    )
    assert [each.document_id for each in got.documents] == ["d1"]


async def test_a_deleted_collection_is_gone_and_its_name_is_free(service):
    await create(service)
    await upsert(service, document("old"))
    before = await search(service, "words")
    await service.stub.DeleteCollection(pb.DeleteCollectionRequest(scope=scope(), name="docs"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await search(service, "words")
    assert reason(caught.value) == "COLLECTION_NOT_FOUND"
    await create(service, dimensions=4)
    await upsert(service, document("new", vectors=[[1, 2, 3, 4]]))
    after = await search(service, "words")
    assert ids(after) == ["new"]
    assert after.generation > before.generation


async def test_aliases_stand_for_collections(service):
    await create(service, "blue")
    await create(service, "green")
    await upsert(service, document("b"), name="blue")
    await upsert(service, document("g"), name="green")

    async def point(target):
        request = pb.SetAliasRequest(scope=scope(), alias=pb.Alias(name="live", collection=target))
        return await service.stub.SetAlias(request)

    assert (await point("blue")).former_collection == ""
    found = await search(service, "words", name="live")
    assert ids(found) == ["b"]
    assert found.passages[0].passage.collection == "blue"
    assert (await point("green")).former_collection == "blue"
    assert ids(await search(service, "words", name="live")) == ["g"]
    listed = await service.stub.ListAliases(pb.ListAliasesRequest(scope=scope()))
    assert [(each.name, each.collection) for each in listed.aliases] == [("live", "green")]
    for attempt, expected in [
        (point("nowhere"), "COLLECTION_NOT_FOUND"),
        (create(service, "live"), "COLLECTION_EXISTS"),
        (
            service.stub.DeleteCollection(pb.DeleteCollectionRequest(scope=scope(), name="live")),
            "STATE_CONFLICT",
        ),
        (
            service.stub.DeleteAlias(pb.DeleteAliasRequest(scope=scope(), name="blue")),
            "ALIAS_NOT_FOUND",
        ),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attempt
        assert reason(caught.value) == expected
    await service.stub.DeleteAlias(pb.DeleteAliasRequest(scope=scope(), name="live"))
    with pytest.raises(grpc.aio.AioRpcError):
        await search(service, "words", name="live")


async def test_expired_documents_are_invisible(service):
    await create(service)
    soon = document("soon")
    soon.expires_at.CopyFrom(ProtoTimestamp(seconds=int(time.time()) - 5))
    later = document("later")
    later.expires_at.CopyFrom(ProtoTimestamp(seconds=int(time.time()) + 3600))
    await upsert(service, soon, later, document("never"))
    assert sorted(ids(await search(service, "words"))) == ["later", "never"]
    count = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert count.document_count == 2
    got = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(scope=scope(), collection="docs", document_ids=["soon", "later"])
    )
    assert [each.document_id for each in got.documents] == ["later"]


async def test_pages_walk_over_everything_once(service):
    await create(service)
    names = [f"d{n:03}" for n in range(23)]
    await upsert(
        service,
        *(document(name, ["a", "b", "c"][: 1 + n % 3], n=n) for n, name in enumerate(names)),
    )
    for unit in (pb.SCROLL_UNIT_DOCUMENT, pb.SCROLL_UNIT_CHUNK):
        found, token, pages = [], "", 0
        while True:
            page = await service.stub.Scroll(
                pb.ScrollRequest(
                    scope=scope(), collection="docs", unit=unit, page_size=5, page_token=token
                )
            )
            found += [each.document_id for each in page.documents]
            found += [(each.document_id, each.ordinal) for each in page.passages]
            pages += 1
            token = page.next_page_token
            if not token:
                break
            # What is written between pages disturbs nothing that was there before.
            await upsert(service, document(f"zz{pages}", acl=["user:x"]))
        if unit == pb.SCROLL_UNIT_DOCUMENT:
            assert found == names
        else:
            assert found == [(name, i) for n, name in enumerate(names) for i in range(1 + n % 3)]
    first = await service.stub.Scroll(
        pb.ScrollRequest(scope=scope(), collection="docs", page_size=5)
    )
    for wrong in ("x", "é", "W10=", first.next_page_token[:-4]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.Scroll(
                pb.ScrollRequest(scope=scope(), collection="docs", page_token=wrong)
            )
        assert reason(caught.value) == "INVALID_PAGE_TOKEN"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Scroll(
            pb.ScrollRequest(
                scope=scope(),
                collection="docs",
                filter=condition("n > 1"),
                page_token=first.next_page_token,
            )
        )
    assert reason(caught.value) == "INVALID_PAGE_TOKEN"


async def test_collections_are_listed_page_by_page(service):
    names = [f"c{n}" for n in range(5)]
    for name in names:
        await create(service, name)
    found, token = [], ""
    while True:
        page = await service.stub.ListCollections(
            pb.ListCollectionsRequest(scope=scope(), page_size=2, page_token=token)
        )
        found += [each.name for each in page.collections]
        token = page.next_page_token
        if not token:
            break
    assert found == names
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.ListCollections(
            pb.ListCollectionsRequest(scope=scope(), page_token="nonsense")
        )
    assert reason(caught.value) == "INVALID_PAGE_TOKEN"


async def test_facets_count_what_may_be_read(service):
    await create(service)
    await upsert(
        service,
        document("a", kind="x", tags=frozenset({"t", "u"}), ok=True, n=1),
        document("b", kind="x", tags=frozenset({"t"}), ok=False, n=1),
        document("c", kind="y", n=2),
        document("secret", kind="y", acl=["user:bob"]),
    )

    async def facet(field, **more):
        request = pb.FacetRequest(scope=scope(), collection="docs", field=field, **more)
        response = await service.stub.Facet(request)
        return [
            (getattr(each.value, each.value.WhichOneof("kind")), each.document_count)
            for each in response.values
        ]

    assert await facet("kind") == [("x", 2), ("y", 1)]
    assert await facet("tags") == [("t", 2), ("u", 1)]
    assert await facet("ok") == [(False, 1), (True, 1)]
    assert await facet("n", filter=condition('kind = "x"')) == [(1, 2)]
    assert await facet("kind", limit=1) == [("x", 2)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await facet("nothing")
    assert reason(caught.value) == "INVALID_FILTER"


async def test_type_conflicts_are_refused_and_nothing_is_half_written(service):
    await create(service, fields={"n": metadata_pb2.FIELD_TYPE_FLOAT})
    await upsert(service, document("a", n=1, year=2020))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upsert(service, document("b", n=2.5), document("c", year="2020", fresh=1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(caught.value) == "TYPE_CONFLICT"
    count = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert count.document_count == 1
    got = await service.stub.GetCollection(pb.GetCollectionRequest(scope=scope(), name="docs"))
    assert "fresh" not in got.collection.settings.fields
    stored = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(scope=scope(), collection="docs", document_ids=["a"])
    )
    assert stored.documents[0].metadata["n"].WhichOneof("kind") == "float"


async def test_a_collection_that_requires_access_lists_refuses_documents_without(service):
    await create(service, acl_policy=pb.ACL_POLICY_REQUIRED)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upsert(service, document("a"))
    assert reason(caught.value) == "ACL_REQUIRED"
    await upsert(service, document("a", acl=["user:x"]))


async def test_min_seq_waits_and_then_gives_up_with_the_deadline(service):
    await create(service)
    written = await upsert(service, document("a"))
    assert ids(await search(service, "words", min_seq=written.seq)) == ["a"]
    request = pb.SearchRequest(
        scope=scope(),
        collection="docs",
        query=pb.Query(text="words"),
        options=pb.SearchOptions(min_seq=written.seq + 1),
    )
    waiting = asyncio.ensure_future(service.stub.Search(request, timeout=10))
    await upsert(service, document("b"))
    assert sorted(ids(await waiting)) == ["a", "b"]
    request.options.min_seq = 10**15
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Search(request, timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_hybrid_search_fuses_and_explains(service):
    await create(service)
    await upsert(
        service,
        document("near", ["nothing alike"], vectors=[direction(5)]),
        document("words", ["igneous granite"], vectors=[direction(6)]),
        document("both", ["granite rock"], vectors=[direction(5)]),
    )
    response = await search(service, "granite", direction(5), explain=True, top_k=2)
    assert ids(response)[0] == "both"
    assert len(response.passages) == 2
    scores = response.passages[0].scores
    assert scores.HasField("dense")
    assert scores.HasField("keyword")
    assert scores.final == pytest.approx(scores.fused)
    plans = {step.plan for step in response.explanation.steps}
    assert plans == {"exact", "bm25"}
    assert response.explanation.allowed_count == 3
    assert response.usage.vectors_scanned == 3


async def test_at_most_so_many_passages_of_a_document_and_a_threshold(service):
    await create(service)
    many = document("many", [f"granite {n}" for n in range(300)], vectors=[direction(1)] * 300)
    await upsert(service, many, document("one", ["other"], vectors=[direction(2)]))
    response = await search(service, numbers=direction(1), max_per_document=2, top_k=10)
    assert ids(response) == ["many", "many", "one"]
    high = await search(service, numbers=direction(1), score_threshold=0.99, top_k=500)
    assert set(ids(high)) == {"many"}
    assert len(high.passages) == 300


async def test_diversity_puts_unlike_passages_first(service):
    await create(service)
    twins = [[1, 0.1, 0, 0, 0, 0, 0, 0], [1, 0.11, 0, 0, 0, 0, 0, 0], [0.8, -0.6, 0, 0, 0, 0, 0, 0]]
    await upsert(service, *(document(f"d{n}", vectors=[v]) for n, v in enumerate(twins)))
    query = [1, 0.05, 0, 0, 0, 0, 0, 0]
    plain = await search(service, numbers=query, top_k=2)
    assert ids(plain) == ["d0", "d1"]
    diverse = await search(service, numbers=query, top_k=2, diversity=pb.Diversity(strength=0.7))
    assert ids(diverse) == ["d0", "d2"]


async def test_mixed_queries_weigh_their_parts(service):
    await create(service)
    await upsert(
        service,
        document("a", ["alpha"], vectors=[[1, 0, 0, 0, 0, 0, 0, 0]]),
        document("b", ["beta"], vectors=[[0, 1, 0, 0, 0, 0, 0, 0]]),
    )

    async def mixed(weight):
        query = pb.Query(
            text="alpha",
            vector=vector([2, 0, 0, 0, 0, 0, 0, 0]),
            mixed_vectors=[
                pb.WeightedVector(vector=vector([0, 3, 0, 0, 0, 0, 0, 0]), weight=weight)
            ],
            mixed_texts=[pb.WeightedText(text="beta", weight=weight)],
        )
        responses = []
        for mode in (pb.SEARCH_MODE_DENSE, pb.SEARCH_MODE_KEYWORD):
            request = pb.SearchRequest(
                scope=scope(),
                collection="docs",
                query=query,
                options=pb.SearchOptions(mode=mode),
            )
            responses.append(await service.stub.Search(request))
        return responses

    dense, words = await mixed(0.3)
    assert ids(dense) == ids(words) == ["a", "b"]
    assert [each.scores.final for each in dense.passages] == pytest.approx([0.7, 0.3])
    dense, words = await mixed(0.8)
    assert ids(dense) == ids(words) == ["b", "a"]


async def test_a_batch_answers_as_single_searches_do(service):
    await create(service)
    await upsert(
        service,
        *(document(f"d{n}", [f"word{n} common"], vectors=[direction(n)]) for n in range(40)),
    )
    queries = [
        pb.Query(text=f"word{n} common", vector=vector(direction(100 + n))) for n in range(12)
    ]
    batch = await service.stub.BatchSearch(
        pb.BatchSearchRequest(scope=scope(), collection="docs", queries=queries)
    )
    for query, response in zip(queries, batch.responses, strict=True):
        single = await service.stub.Search(
            pb.SearchRequest(scope=scope(), collection="docs", query=query)
        )
        assert ids(response) == ids(single)


async def test_a_stream_acknowledges_each_message_in_order(service):
    await create(service)

    async def messages():
        for number in range(5):
            yield pb.UpsertStreamRequest(
                batch_id=100 + number,
                request=pb.UpsertRequest(
                    scope=scope(), collection="docs", documents=[document(f"d{number}")]
                ),
            )

    acks = [each async for each in service.stub.UpsertStream(messages())]
    assert [each.batch_id for each in acks] == [100, 101, 102, 103, 104]
    seqs = [each.response.seq for each in acks]
    assert seqs == sorted(set(seqs))
    assert len(ids(await search(service, "words"))) == 5


async def test_filters_work_through_the_contract(service):
    await create(service)
    await upsert(
        service,
        document("a", year=2020, at=Timestamp(1_600_000_000_000_000), uri="x/a.md"),
        document("b", year=2021, tags=frozenset({"p", "q"}), uri="x/b.md"),
        document("c", uri="y/c.md", year=None),
    )
    for text, expected in {
        "year = 2020": ["a"],
        "year > 2020.5": ["b"],
        "NOT year = 2020": ["b", "c"],
        "EXISTS year": ["a", "b"],
        'tags CONTAINS ALL ("p", "q")': ["b"],
        'tags CONTAINS ANY ("q", "z")': ["b"],
        "at >= 2020-09-13": ["a"],
        'uri STARTS WITH "x/"': ["a", "b"],
        'source = "y/c.md"': ["c"],
        'document_id IN ("a", "c", "nope")': ["a", "c"],
    }.items():
        response = await search(service, "words", filter=condition(text))
        assert sorted(ids(response)) == expected, text


async def test_a_restart_keeps_everything(database_url):
    async with retrieval_service(database_url) as service:
        await create(service)
        await upsert(
            service,
            *(
                document(f"d{n}", [f"granite {n}"], year=n, tags=frozenset({"t"}))
                for n in range(20)
            ),
        )
        await service.stub.Delete(
            pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["d3"])
        )
        await service.stub.SetAlias(
            pb.SetAliasRequest(scope=scope(), alias=pb.Alias(name="live", collection="docs"))
        )
        before = await search(service, "granite", direction(0), top_k=50)
    async with retrieval_service(database_url) as service:
        after = await search(service, "granite", direction(0), top_k=50, name="live")
        assert sorted(ids(after)) == sorted(ids(before))
        by_id = {e.passage.document_id: e.scores.final for e in after.passages}
        assert by_id == pytest.approx(
            {e.passage.document_id: e.scores.final for e in before.passages}
        )
        assert len(after.passages) == 19
        narrowed = await search(service, "granite", filter=condition('year < 2 AND tags = "t"'))
        assert sorted(ids(narrowed)) == ["d0", "d1"]
