"""Every form of search and of reading, over gRPC: groups, vectors, token codes, streams, batches,
export and import, settings that change, quotas, schemas."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import numpy as np
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from services.sql.engine import sqlite_url
from tests.kit.retrieval import (
    DIMENSIONS,
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
async def service(tmp_path):
    async with retrieval_service(sqlite_url(tmp_path / "a.db")) as running:
        yield running


@contextlib.contextmanager
def refused(with_reason: str):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield caught
    assert reason(caught.value) == with_reason, caught.value.details()


def near(target: int, distance: float, seed: int) -> list[float]:
    """A vector as far from a direction as told."""
    wide = np.array(direction(target)) + distance * np.array(direction(10_000 + seed))
    return wide.tolist()


async def fill(service) -> None:
    """One document with 300 chunks around a direction, thirty with three chunks each farther off."""
    await create(service)
    await upsert(
        service,
        document(
            "large",
            [f"granite part {n}" for n in range(300)],
            vectors=[near(0, 0.01 * n / 300, n) for n in range(300)],
        ),
    )
    await upsert(
        service,
        *(
            document(
                f"small{d:02}",
                [f"granite {d} {n}" for n in range(3)],
                vectors=[near(0, 0.3 + 0.02 * d + 0.3 * n, 1000 + 3 * d + n) for n in range(3)],
            )
            for d in range(30)
        ),
    )


MODES = {
    "dense": {"numbers": direction(0)},
    "keyword": {"text": "granite"},
    "hybrid": {"text": "granite", "numbers": direction(0)},
}


@pytest.mark.parametrize("mode", list(MODES))
async def test_share_of_a_document_is_filled_from_far_below(service, mode):
    await fill(service)
    found = await search(service, top_k=20, max_per_document=1, **MODES[mode])
    assert len(ids(found)) == len(set(ids(found))) == 20
    found = await search(service, top_k=100, max_per_document=2, **MODES[mode])
    assert len(found.passages) == 2 * 31


@pytest.mark.parametrize("mode", list(MODES))
async def test_groups_are_full_and_in_order(service, mode):
    await fill(service)
    found = await search(service, top_k=12, group_size=3, **MODES[mode])
    assert [each.passage_count for each in found.groups] == [3] * 12
    names = ids(found)
    for place, group in enumerate(found.groups):
        first = group.first_passage
        assert first == 3 * place
        assert set(names[first : first + 3]) == {group.document_id}
    best = [found.passages[each.first_passage].scores.final for each in found.groups]
    assert best == sorted(best, reverse=True)
    assert len({each.document_id for each in found.groups}) == 12


async def test_groups_hold_the_best_passages_of_their_documents(service):
    await fill(service)
    found = await search(service, numbers=direction(0), top_k=5, group_size=2)
    query = np.array(direction(0)) / np.linalg.norm(direction(0))
    for group in found.groups[1:]:
        d = int(group.document_id.removeprefix("small"))
        rows = np.array([near(0, 0.3 + 0.02 * d + 0.3 * n, 1000 + 3 * d + n) for n in range(3)])
        truth = sorted((rows @ query / np.linalg.norm(rows, axis=1)).tolist(), reverse=True)
        got = [found.passages[group.first_passage + n].scores.final for n in range(2)]
        assert got == pytest.approx(truth[:2], abs=1e-5)


async def test_text_is_left_out_and_vectors_and_codes_come_when_asked_for(service):
    await create(service)
    one = document("one", ["some words", "more words"], title="T", uri="u", kind="a")
    one.chunks[0].token_codes = b"\x01" * 96
    one.chunks[1].token_codes = b"\x02" * 96
    await upsert(service, one)
    query = direction(0)
    bare = await search(service, numbers=query, omit_text=True)
    [first, second] = [each.passage for each in bare.passages]
    assert (first.text, first.title, first.uri) == ("", "", "")
    assert (first.document_id, first.chunk_id, first.end) == ("one", "c0", 10)
    assert not first.HasField("vector")
    assert first.token_codes == b""
    rich = await search(
        service, numbers=query, include_vectors=True, token_codes_top_k=1, include_metadata=True
    )
    [first, second] = [each.passage for each in rich.passages]
    assert first.text == "some words"
    assert first.metadata["kind"].keyword == "a"
    expected = np.array(query, "f4") / np.linalg.norm(query)
    assert np.frombuffer(first.vector.data, "<f4") == pytest.approx(expected, abs=1e-6)
    assert (first.token_codes, second.token_codes) == (b"\x01" * 96, b"")
    read = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(
            scope=scope(), collection="docs", document_ids=["one"], include_chunks=True
        )
    )
    assert [each.token_codes for each in read.documents[0].chunks] == [b"", b""]
    read = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(
            scope=scope(),
            collection="docs",
            document_ids=["one"],
            include_chunks=True,
            include_token_codes=True,
            include_vectors=True,
        )
    )
    assert read.documents[0].chunks[1].token_codes == b"\x02" * 96
    assert read.documents[0].chunks[1].vector.dimensions == DIMENSIONS


async def test_scroll_returns_vectors(service):
    await create(service)
    await upsert(service, document("a", ["x", "y"]), document("b", ["z"], vectors=[direction(5)]))
    request = pb.ScrollRequest(
        scope=scope(), collection="docs", unit=pb.SCROLL_UNIT_CHUNK, include_vectors=True,
        omit_text=True, page_size=2,
    )  # fmt: skip
    page = await service.stub.Scroll(request)
    request.page_token = page.next_page_token
    rest = await service.stub.Scroll(request)
    passages = [*page.passages, *rest.passages]
    assert [(each.document_id, each.ordinal) for each in passages] == [("a", 0), ("a", 1), ("b", 0)]
    for passage, seed in zip(passages, (0, 1, 5), strict=True):
        expected = np.array(direction(seed)) / np.linalg.norm(direction(seed))
        assert np.frombuffer(passage.vector.data, "<f4") == pytest.approx(expected, abs=1e-6)
        assert passage.text == ""
    documents = await service.stub.Scroll(
        pb.ScrollRequest(scope=scope(), collection="docs", include_vectors=True)
    )
    assert [len(each.chunks) for each in documents.documents] == [2, 1]
    assert documents.documents[1].chunks[0].vector.data == vector(direction(5)).data


async def test_stream_and_batch_answer_as_single_searches_do(service):
    await fill(service)
    queries = [pb.Query(vector=vector(direction(n)), text="granite") for n in range(5)]
    options = pb.SearchOptions(top_k=4, explain=True)

    def request(query: pb.Query) -> pb.SearchRequest:
        return pb.SearchRequest(scope=scope(), collection="docs", query=query, options=options)

    singles = [await service.stub.Search(request(each)) for each in queries]
    batch = await service.stub.BatchSearch(
        pb.BatchSearchRequest(scope=scope(), collection="docs", queries=queries, options=options)
    )

    async def messages():
        for number, each in enumerate(queries):
            yield pb.SearchStreamRequest(search_id=number + 7, request=request(each))

    streamed = [each async for each in service.stub.SearchStream(messages())]
    assert [each.search_id for each in streamed] == [7, 8, 9, 10, 11]
    for one, other, third in zip(singles, batch.responses, streamed, strict=True):
        assert one.passages == other.passages == third.response.passages
        assert one.explanation.allowed_count == 390
        assert one.usage.vectors_scanned > 0
        assert one.generation == other.generation == third.response.visible_seq


async def test_recommendation_moves_away_from_disliked_vectors(service):
    await create(service)
    await upsert(service, *(document(f"d{n}", vectors=[direction(n)]) for n in range(20)))

    async def recommended(**more) -> list[str]:
        response = await service.stub.Recommend(
            pb.RecommendRequest(
                scope=scope(),
                collection="docs",
                positive_vectors=[vector(direction(3))],
                options=pb.SearchOptions(top_k=20),
                **more,
            )
        )
        return [each.passage.document_id for each in response.passages]

    plain = await recommended()
    assert plain[0] == "d3"
    away = await recommended(negative_vectors=[vector(direction(7))])
    assert away.index("d7") > plain.index("d7") or away[-1] == "d7"
    with_ids = await recommended(negative_ids=["d7"])
    assert "d7" not in with_ids


async def test_document_lives_as_long_as_it_was_told(service):
    await create(service)
    brief, lasting = document("brief"), document("lasting")
    brief.time_to_live.CopyFrom(Duration(nanos=300_000_000))
    lasting.time_to_live.CopyFrom(Duration(seconds=3600))
    await upsert(service, brief, lasting)
    assert set(ids(await search(service, "words"))) == {"brief", "lasting"}
    await asyncio.sleep(0.35)
    for options in ({}, {"max_per_document": 1}):
        assert ids(await search(service, "words", **options)) == ["lasting"]
        assert ids(await search(service, numbers=direction(0), **options)) == ["lasting"]
    counted = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert counted.document_count == 1


async def test_versions_are_expected_of_each_document(service):
    await create(service)
    await upsert(service, document("a"))
    written = await upsert(service, document("a"), document("b"), expected_versions=[1, -1])
    assert list(written.versions) == [2, 1]
    with refused("CONFLICT"):
        await upsert(service, document("a"), document("b"), expected_versions=[2, -1])
    with refused("INVALID_FIELD"):
        await upsert(service, document("a"), expected_versions=[2, 1])
    with refused("INVALID_FIELD"):
        await upsert(service, document("a"), expected_versions=[2], expected_version=2)


async def update(service, *paths: str, **settings) -> pb.Collection:
    response = await service.stub.UpdateCollection(
        pb.UpdateCollectionRequest(
            scope=scope(),
            name="docs",
            settings=pb.CollectionSettings(**settings),
            update_mask=FieldMask(paths=paths),
        )
    )
    return response.collection


async def test_settings_change_where_they_may(service):
    await create(service, fields={"year": metadata_pb2.FIELD_TYPE_INTEGER})
    changed = await update(
        service,
        "index_type",
        "index_parameters",
        "fields",
        "description",
        index_type=pb.INDEX_TYPE_FLAT,
        index_parameters=pb.IndexParameters(links=8),
        fields={"kind": metadata_pb2.FIELD_TYPE_KEYWORD},
        description="rocks",
        tier=pb.TIER_WARM,
    )
    assert changed.settings.index_type == pb.INDEX_TYPE_FLAT
    assert changed.settings.index_parameters.links == 8
    assert changed.settings.tier == pb.TIER_UNSPECIFIED, "the mask did not name it"
    assert dict(changed.settings.fields) == {"year": 2, "kind": 1}
    again = await create(service, fields={"year": metadata_pb2.FIELD_TYPE_INTEGER})
    assert again.already_existed
    with refused("TYPE_CONFLICT"):
        await update(service, "fields", fields={"year": metadata_pb2.FIELD_TYPE_KEYWORD})
    for paths in ((), ("dimensions",), ("nonsense",)):
        with refused("INVALID_FIELD"):
            await update(service, *paths, dimensions=4)
    with refused("INVALID_FIELD"):
        await update(service, "index_parameters", index_parameters=pb.IndexParameters(links=999))


async def test_only_declared_fields_are_accepted_where_so_declared(service):
    await create(
        service,
        fields={"year": metadata_pb2.FIELD_TYPE_INTEGER},
        schema_policy=pb.SCHEMA_POLICY_DECLARED_ONLY,
    )
    await upsert(service, document("a", year=2020))
    with refused("INVALID_FIELD") as caught:
        await upsert(service, document("b", kind="x"))
    assert "declared" in caught.value.details()
    with refused("TYPE_CONFLICT"):
        await upsert(service, document("b", year="x"))
    await update(service, "fields", fields={"kind": metadata_pb2.FIELD_TYPE_KEYWORD})
    await upsert(service, document("b", kind="x"))


async def test_quota_holds_and_frees(service):
    await create(service)
    await upsert(service, document("a", ["x", "y"]))
    limit = pb.Quota(max_vectors=3)
    await service.stub.SetQuota(pb.SetQuotaRequest(scope=scope(), quota=limit))
    with refused("QUOTA_EXCEEDED"):
        await upsert(service, document("b", ["x", "y"]))
    await upsert(service, document("b", ["x"]))
    state = await service.stub.GetQuota(pb.GetQuotaRequest(scope=scope()))
    assert (state.quota.max_vectors, state.vector_count) == (3, 3)
    assert not state.quota.HasField("max_bytes")
    assert state.stored_bytes >= 3 * 4 * DIMENSIONS
    await service.stub.Delete(
        pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["a"])
    )
    await upsert(service, document("c", ["x", "y"]))
    await service.stub.SetQuota(pb.SetQuotaRequest(scope=scope(), quota=pb.Quota(max_bytes=1)))
    with refused("QUOTA_EXCEEDED"):
        await upsert(service, document("d"))
    with refused("INVALID_FIELD"):
        await service.stub.SetQuota(pb.SetQuotaRequest(scope=scope(), quota=pb.Quota(max_bytes=-1)))
    await service.stub.SetQuota(pb.SetQuotaRequest(scope=scope(), quota=pb.Quota()))
    await upsert(service, document("d"))
    other = scope(tenant="other")
    assert (await service.stub.GetQuota(pb.GetQuotaRequest(scope=other))).vector_count == 0


async def exported(service, **more) -> list[pb.ExportCollectionResponse]:
    more.setdefault("scope", scope())
    request = pb.ExportCollectionRequest(collection="docs", **more)
    return [each async for each in service.stub.ExportCollection(request)]


async def test_collection_goes_out_and_in_again_whole(service):
    await create(service, language="german", description="rocks")
    for start in range(0, 60, 20):
        some = [
            document(
                f"d{n:02}", [f"text {n}", "more"], vectors=[direction(n), direction(100 + n)],
                acl=["user:a"] if n % 3 == 0 else [], n=n, tags=frozenset({"a", f"t{n}"}),
            )
            for n in range(start, start + 20)
        ]  # fmt: skip
        for each in some:
            each.chunks[1].token_codes = f"codes of {each.document_id}".encode()
        await upsert(service, *some)
    readable = await exported(service, batch_size=7)
    names = [each.document_id for message in readable for each in message.documents]
    assert names == [f"d{n:02}" for n in range(60) if n % 3]
    whole = await exported(service, batch_size=7, all_documents=True)
    assert whole[0].collection.settings.language == "german"
    assert [each.is_last for each in whole] == [False] * (len(whole) - 1) + [True]
    # A broken stream goes on where it left off.
    rest = await exported(
        service, batch_size=7, all_documents=True, resume_token=whole[3].resume_token
    )
    assert [e.document_id for m in rest for e in m.documents] == [
        e.document_id for m in whole[4:] for e in m.documents
    ]

    async def messages():
        yield pb.ImportCollectionRequest(
            scope=scope(), collection="copy", settings=whole[0].collection.settings
        )
        for message in whole:
            if message.documents:
                yield pb.ImportCollectionRequest(documents=message.documents)

    acknowledged = [each async for each in service.stub.ImportCollection(messages())]
    assert acknowledged[-1].document_count == 60
    assert acknowledged[-1].seq > 0
    for by in (scope(), scope("user:a")):
        for number in (3, 4, 150):
            one = await search(service, numbers=direction(number), by=by, include_metadata=True)
            other = await search(
                service, numbers=direction(number), by=by, include_metadata=True, name="copy"
            )
            assert ids(one) == ids(other)
            for left, right in zip(one.passages, other.passages, strict=True):
                assert left.passage.metadata == right.passage.metadata
                assert left.passage.text == right.passage.text
    copied = await service.stub.GetDocuments(
        pb.GetDocumentsRequest(
            scope=scope(),
            collection="copy",
            document_ids=["d07"],
            include_chunks=True,
            include_token_codes=True,
        )
    )
    codes = [each.token_codes for each in copied.documents[0].chunks]
    assert codes == [b"", b"codes of d07"]
    with refused("INVALID_PAGE_TOKEN"):
        await exported(service, resume_token="nonsense")
    filtered = await exported(service, filter=condition("n < 5"))
    assert [e.document_id for m in filtered for e in m.documents] == ["d01", "d02", "d04"]


async def test_large_documents_go_out_a_few_at_a_time(service):
    await create(service)
    for n in range(6):
        # Much text, or many chunks with token codes: none of them small, all of them 28 MB.
        long = document(f"d{n}a", ["word " * 250_000])
        coded = document(f"d{n}b", ["word"] * 400)
        for chunk in coded.chunks:
            chunk.token_codes = b"c" * 8000
        await upsert(service, long, coded, document(f"d{n}c"))
    messages = await exported(service)
    assert [e.document_id for m in messages for e in m.documents] == [
        f"d{n}{kind}" for n in range(6) for kind in "abc"
    ]
    assert max(each.ByteSize() for each in messages) < 6 << 20
    rest = await exported(service, resume_token=messages[3].resume_token)
    assert [e.document_id for m in rest for e in m.documents] == [
        e.document_id for m in messages[4:] for e in m.documents
    ]
    assert [each.is_last for each in messages] == [False] * (len(messages) - 1) + [True]


async def test_optimization_tells_how_far_it_is_and_figures_follow(service):
    await fill(service)
    progress = [
        each
        async for each in service.stub.OptimizeCollection(
            pb.OptimizeCollectionRequest(scope=scope(), name="docs", index_type=pb.INDEX_TYPE_FLAT)
        )
    ]
    fractions = [each.fraction for each in progress]
    assert fractions == sorted(fractions)
    assert progress[-1].stage == pb.OPTIMIZE_STAGE_DONE
    assert progress[-1].fraction == 1.0
    assert progress[-1].stats.chunk_count == 390
    got = await service.stub.GetCollection(pb.GetCollectionRequest(scope=scope(), name="docs"))
    assert got.collection.settings.index_type == pb.INDEX_TYPE_FLAT
    assert sum(each.row_count for each in got.stats.indexes) == 390
    assert got.stats.bytes_per_vector > 0
    assert got.stats.tier == pb.TIER_HOT
    checked = await service.stub.CheckCollection(
        pb.CheckCollectionRequest(scope=scope(), name="docs")
    )
    assert checked.check.is_consistent
    assert checked.check.stored_chunk_count == checked.check.view_chunk_count == 390
    assert checked.check.stored_hash == checked.check.view_hash


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"group_size": 2, "max_per_document": 1}, "INVALID_FIELD"),
        ({"group_size": 2, "diversity": pb.Diversity(strength=0.5)}, "INVALID_FIELD"),
        ({"group_size": 1000, "top_k": 1000}, "TOO_LARGE"),
        ({"group_size": 2000}, "INVALID_FIELD"),
        ({"token_codes_top_k": 101}, "INVALID_FIELD"),
        ({"fusion": pb.Fusion(rank_constant=5000)}, "INVALID_FIELD"),
    ],
)
async def test_options_that_make_no_sense_are_refused(service, options, why):
    await create(service)
    with refused(why):
        await search(service, numbers=direction(0), **options)


async def test_snapshots_are_written_listed_restored_and_deleted(service):
    await create(service)
    await upsert(service, document("a", ["granite"]), document("b", ["basalt"]))
    named = {"scope": scope(), "collection": "docs"}
    taken = await service.stub.CreateSnapshot(
        pb.CreateSnapshotRequest(**named, retention=Duration(seconds=3600))
    )
    snapshot = taken.snapshot
    assert (snapshot.collection, snapshot.retention.seconds) == ("docs", 3600)
    assert snapshot.size_bytes > 0
    assert snapshot.checksum
    await upsert(service, document("a", ["marble"]))
    await service.stub.Delete(pb.DeleteRequest(**named, document_ids=["b"]))
    listed = await service.stub.ListSnapshots(pb.ListSnapshotsRequest(**named))
    assert [each.snapshot_id for each in listed.snapshots] == [snapshot.snapshot_id]
    which = {**named, "snapshot_id": snapshot.snapshot_id}
    restored = await service.stub.RestoreSnapshot(pb.RestoreSnapshotRequest(**which))
    assert restored.replayed_delete_count == 1
    assert ids(await search(service, "granite")) == ["a"]
    assert ids(await search(service, "marble")) == []
    assert ids(await search(service, "basalt")) == []
    await service.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(**which))
    for call, request in (
        (service.stub.RestoreSnapshot, pb.RestoreSnapshotRequest(**which)),
        (service.stub.DeleteSnapshot, pb.DeleteSnapshotRequest(**which)),
    ):
        with refused("SNAPSHOT_NOT_FOUND"):
            await call(request)
    with refused("INVALID_FIELD"):
        await service.stub.DeleteSnapshot(pb.DeleteSnapshotRequest(**named))


async def test_a_search_that_had_to_load_the_index_says_so(tmp_path):
    url = sqlite_url(tmp_path / "a.db")
    async with retrieval_service(url) as service:
        await fill(service)
    request = pb.SearchRequest(
        scope=scope(),
        collection="docs",
        query=pb.Query(vector=vector(direction(1))),
        options=pb.SearchOptions(top_k=1, explain=True),
    )
    async with retrieval_service(url) as service:
        cold = await service.stub.Search(request)
        hot = await service.stub.Search(request)
    assert cold.passages == hot.passages
    assert cold.explanation.steps[0].tier == pb.TIER_COLD
    assert cold.explanation.steps[0].load_ms > 0
    assert hot.explanation.steps[0].tier == pb.TIER_HOT
    assert hot.explanation.steps[0].load_ms == 0


async def test_the_figures_of_a_collection_tell_what_is_stored_and_whether_the_view_agrees(service):
    await fill(service)
    query = pb.Query(vector=vector(direction(1)))
    await service.stub.Search(pb.SearchRequest(scope=scope(), collection="docs", query=query))
    request = pb.GetCollectionRequest(scope=scope(), name="docs")
    async with asyncio.timeout(20):
        while True:
            stats = (await service.stub.GetCollection(request)).stats
            if stats.HasField("consistency") and stats.consistency.seq == stats.committed_seq:
                break
            await asyncio.sleep(0.05)
    assert stats.consistency.is_consistent
    assert stats.consistency.view_document_count == stats.document_count
    assert stats.stored_bytes > 4 * stats.chunk_count
