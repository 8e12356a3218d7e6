"""Bad input on every RPC of retrieval: precise errors, and nothing half written."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import grpc
import numpy as np
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2, vector_pb2

from services.sql.engine import sqlite_url
from tests.kit.hostile_messages import hostile_variants
from tests.kit.postgres import postgres_url as postgres_url  # noqa: PLC0414 - a fixture
from tests.kit.retrieval import (
    DIMENSIONS,
    condition,
    create,
    direction,
    document,
    reason,
    retrieval_service,
    scope,
    upsert,
    vector,
)
from tests.kit.valid_requests import retrieval_requests

_SERVICE = pb.DESCRIPTOR.services_by_name["RetrievalService"]
FAULTS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}


@pytest.fixture
async def service(tmp_path):
    async with retrieval_service(sqlite_url(tmp_path / "a.db")) as running:
        await create(running)
        await upsert(
            running,
            document("there", year=2020, kind="x", tags=frozenset({"t"}), ok=True),
        )
        yield running


async def refused(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason(caught.value)


@pytest.mark.postgres
@pytest.mark.slow
async def test_hostile_fields_never_make_a_fault(postgres_url):
    """On PostgreSQL, the pickier of the two; the running suite gets the same sweep on SQLite."""
    async with retrieval_service(postgres_url) as service:
        await sweep(service)


async def sweep(service) -> None:
    complaints: list[str] = []
    codes: Counter[str] = Counter()
    gate = asyncio.Semaphore(8)

    async def attempt(method: str, what: str, message) -> None:
        # A number that never comes is waited for until the deadline.
        timeout = 0.5 if "min_seq" in what else 30
        async with gate:
            try:
                descriptor = _SERVICE.methods_by_name[method]
                argument = iter([message]) if descriptor.client_streaming else message
                running = getattr(service.stub, method)(argument, timeout=timeout)
                if descriptor.server_streaming:
                    async for _ in running:
                        pass
                else:
                    await running
                codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
                is_late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                if error.code() in FAULTS or (is_late and "min_seq" not in what):
                    complaints.append(f"{method} {what}: {error.code().name} {error.details()}")
                elif not is_late and not reason(error):
                    complaints.append(f"{method} {what}: no reason")

    for method, valid in retrieval_requests().items():
        async with asyncio.TaskGroup() as group:
            for what, message in hostile_variants(valid):
                group.create_task(attempt(method, what, message))
    assert not complaints, "\n".join(complaints[:40])
    assert codes["INVALID_ARGUMENT"] > 300
    assert codes["OK"] > 100


def wrong_document(**changes) -> pb.Document:
    wrong = document("wrong", ["some words"])
    for name, value in changes.items():
        setattr(wrong.chunks[0], name, value)
    return wrong


def wrong_vector(numbers) -> pb.Document:
    wrong = document("wrong")
    wrong.chunks[0].vector.CopyFrom(vector(numbers))
    return wrong


def with_metadata(name: str, value: metadata_pb2.MetadataValue) -> pb.Document:
    wrong = document("wrong")
    wrong.metadata[name].CopyFrom(value)
    return wrong


def twice_the_chunk_id() -> pb.Document:
    wrong = document("wrong", ["a", "b"])
    wrong.chunks[1].chunk_id = "c0"
    return wrong


NAN_VALUE = metadata_pb2.MetadataValue(float=math.nan)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: wrong_vector([math.nan] * DIMENSIONS), "VECTOR_NOT_FINITE"),
        (lambda: wrong_vector([math.inf] + [0] * (DIMENSIONS - 1)), "VECTOR_NOT_FINITE"),
        (lambda: wrong_vector([1.0] * (DIMENSIONS + 1)), "DIMENSION_MISMATCH"),
        (lambda: wrong_vector([0.0] * DIMENSIONS), "INVALID_FIELD"),
        (lambda: wrong_document(start=5, end=3), "INVALID_FIELD"),
        (lambda: wrong_document(end=11), "INVALID_FIELD"),
        (lambda: wrong_document(start=-1), "INVALID_FIELD"),
        (lambda: wrong_document(page=-1), "INVALID_FIELD"),
        (lambda: wrong_document(chunk_id=""), "INVALID_FIELD"),
        (lambda: wrong_document(token_codes=b"x" * 8193), "TOO_LARGE"),
        (twice_the_chunk_id, "INVALID_FIELD"),
        (lambda: document(""), "INVALID_FIELD"),
        (lambda: document("x" * 513), "TOO_LARGE"),
        (lambda: document("a\0b"), "INVALID_TEXT"),
        (lambda: document("wrong", ["text \0"]), "INVALID_TEXT"),
        (lambda: document("wrong", acl=[""]), "INVALID_FIELD"),
        (lambda: document("wrong", acl=["p"] * 1001), "TOO_LARGE"),
        (lambda: document("wrong", year="2020"), "TYPE_CONFLICT"),
        (lambda: document("wrong", year=2.5), "TYPE_CONFLICT"),
        (lambda: document("wrong", tags="t"), "TYPE_CONFLICT"),
        (lambda: with_metadata("f", NAN_VALUE), "INVALID_FIELD"),
        (lambda: with_metadata("", NAN_VALUE), "INVALID_FIELD"),
        (lambda: document("wrong", uri="u" * 9000), "TOO_LARGE"),
        (
            lambda: with_metadata("uri", metadata_pb2.MetadataValue(bool=True)),
            "INVALID_FIELD",
        ),
    ],
)
async def test_wrong_documents_are_refused_with_their_batch(service, make, expected):
    code, why = await refused(upsert(service, document("good"), make()))
    assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, expected)
    count = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert (count.document_count, count.chunk_count) == (1, 1)


async def test_wrong_batches_are_refused(service):
    for documents, expected in [
        ([], "INVALID_FIELD"),
        ([document("a"), document("a")], "INVALID_FIELD"),
        ([document(f"d{n}", []) for n in range(1001)], "TOO_LARGE"),
    ]:
        code, why = await refused(upsert(service, *documents))
        assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, expected)
    code, why = await refused(upsert(service, document("a"), expected_version=-2))
    assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    code, why = await refused(upsert(service, document("a"), name="nowhere"))
    assert (code, why) == (grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND")
    unscoped = pb.UpsertRequest(collection="docs", documents=[document("a")])
    code, why = await refused(service.stub.Upsert(unscoped))
    assert (code, why) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


GOOD = vector(direction(1))


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        (pb.Query(), {}, "EMPTY_TEXT"),
        (pb.Query(text="  \n "), {}, "EMPTY_TEXT"),
        (pb.Query(text="a" * 40_000), {}, "TOO_LARGE"),
        (pb.Query(vector=vector_pb2.Vector()), {}, "INVALID_FIELD"),
        (pb.Query(vector=vector([math.nan] * DIMENSIONS)), {}, "VECTOR_NOT_FINITE"),
        (pb.Query(vector=vector([1.0] * 3)), {}, "DIMENSION_MISMATCH"),
        (
            pb.Query(vector=vector_pb2.Vector(data=b"1234567", dimensions=8, element_type=1)),
            {},
            "DIMENSION_MISMATCH",
        ),
        (
            pb.Query(vector=vector_pb2.Vector(data=b"12345678", dimensions=8, element_type=3)),
            {},
            "INVALID_FIELD",
        ),
        (
            pb.Query(vector=vector_pb2.Vector(data=b"12345678", dimensions=8, element_type=77)),
            {},
            "INVALID_FIELD",
        ),
        (pb.Query(text="a"), {"mode": pb.SEARCH_MODE_HYBRID}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"mode": pb.SEARCH_MODE_DENSE}, "INVALID_FIELD"),
        (pb.Query(vector=GOOD), {"mode": pb.SEARCH_MODE_KEYWORD}, "EMPTY_TEXT"),
        (pb.Query(text="a"), {"mode": 99}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"top_k": 1001}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"min_seq": -1}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"recall_class": 9}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"score_threshold": math.nan}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"diversity": pb.Diversity(strength=1.5)}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"fusion": pb.Fusion(dense_weight=math.nan)}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"fusion": pb.Fusion(method=7)}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"fusion": pb.Fusion(candidates=100_000)}, "INVALID_FIELD"),
        (pb.Query(text="a"), {"filter": metadata_pb2.Filter()}, "INVALID_FILTER"),
        (pb.Query(text="a"), {"filter": condition("unknown = 1")}, "INVALID_FILTER"),
        (pb.Query(text="a"), {"filter": condition('year = "x"')}, "INVALID_FILTER"),
        (pb.Query(text="a"), {"filter": condition("ok > true")}, "INVALID_FILTER"),
        (pb.Query(text="a"), {"filter": condition('year STARTS WITH "2"')}, "INVALID_FILTER"),
        (pb.Query(text="a"), {"filter": condition('kind CONTAINS ALL ("x")')}, "INVALID_FILTER"),
        (
            pb.Query(vector=GOOD, mixed_vectors=[pb.WeightedVector(vector=GOOD, weight=math.nan)]),
            {},
            "INVALID_FIELD",
        ),
        (
            pb.Query(vector=GOOD, mixed_vectors=[pb.WeightedVector(vector=GOOD, weight=0.6)] * 2),
            {},
            "INVALID_FIELD",
        ),
        (
            pb.Query(
                vector=GOOD, mixed_vectors=[pb.WeightedVector(vector=vector([1.0]), weight=0.5)]
            ),
            {},
            "DIMENSION_MISMATCH",
        ),
    ],
)
async def test_wrong_queries_get_precise_errors(service, query, options, expected):
    request = {"scope": scope(), "collection": "docs"}
    options = pb.SearchOptions(**options)
    single = pb.SearchRequest(**request, query=query, options=options)
    batch = pb.BatchSearchRequest(
        **request, queries=[pb.Query(text="good", vector=GOOD), query], options=options
    )
    code, why = await refused(service.stub.Search(single))
    assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, expected)
    code, _ = await refused(service.stub.BatchSearch(batch))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_vectors_of_another_model_are_refused(service):
    await create(service, "modelled", embedding_model="minilm")
    query = pb.Query(vector=GOOD)
    request = pb.SearchRequest(
        scope=scope(),
        collection="modelled",
        query=query,
        options=pb.SearchOptions(embedding_model="other"),
    )
    code, why = await refused(service.stub.Search(request))
    assert (code, why) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
    request.options.embedding_model = "minilm"
    assert not (await service.stub.Search(request)).passages


async def test_every_element_type_finds_the_same(service):
    numbers = np.array(direction(0), np.float32)
    largest = float(np.abs(numbers).max())
    forms = [
        vector_pb2.Vector(data=numbers.tobytes(), dimensions=DIMENSIONS),
        vector_pb2.Vector(
            data=numbers.astype("<f2").tobytes(), dimensions=DIMENSIONS, element_type=2
        ),
        vector_pb2.Vector(
            data=np.round(numbers / largest * 127).astype(np.int8).tobytes(),
            dimensions=DIMENSIONS,
            element_type=3,
            scale=largest / 127,
        ),
    ]
    for form in forms:
        request = pb.SearchRequest(scope=scope(), collection="docs", query=pb.Query(vector=form))
        found = await service.stub.Search(request)
        assert found.passages[0].scores.dense == pytest.approx(1, abs=1e-3)
    bits = vector_pb2.Vector(
        data=np.packbits(numbers > 0).tobytes(), dimensions=DIMENSIONS, element_type=4
    )
    request = pb.SearchRequest(scope=scope(), collection="docs", query=pb.Query(vector=bits))
    expected = float(np.abs(numbers).sum() / np.linalg.norm(numbers) / DIMENSIONS**0.5)
    found = await service.stub.Search(request)
    assert found.passages[0].scores.dense == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"dimensions": 0}, "INVALID_ARGUMENT"),
        ({"dimensions": 10_000}, "INVALID_ARGUMENT"),
        ({"language": "klingon"}, "INVALID_ARGUMENT"),
        ({"index_type": 99}, "INVALID_ARGUMENT"),
        ({"acl_policy": 99}, "INVALID_ARGUMENT"),
        ({"tier": 99}, "INVALID_ARGUMENT"),
        ({"fields": {"a": 99}}, "INVALID_ARGUMENT"),
        ({"fields": {"uri": 1}}, "INVALID_ARGUMENT"),
        ({"index_parameters": pb.IndexParameters(links=3)}, "INVALID_ARGUMENT"),
        ({"index_parameters": pb.IndexParameters(code_bytes=3)}, "INVALID_ARGUMENT"),
        ({"schema_policy": 99}, "INVALID_ARGUMENT"),
        ({"tier_policy": pb.TierPolicy(warm_after={"seconds": -1})}, "INVALID_ARGUMENT"),
    ],
)
async def test_wrong_settings_are_refused(service, settings, code):
    found, why = await refused(create(service, "new", **{"dimensions": 4, **settings}))
    assert found.name == code
    assert why


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a" * 65, "é", "a/b", "a\0"])
async def test_wrong_names_are_refused(service, name):
    for call in (
        create(service, name),
        service.stub.GetCollection(pb.GetCollectionRequest(scope=scope(), name=name)),
        service.stub.Count(pb.CountRequest(scope=scope(), collection=name)),
    ):
        code, why = await refused(call)
        assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_delete_says_what_to_delete(service):
    for request in (
        pb.DeleteRequest(scope=scope(), collection="docs"),
        pb.DeleteRequest(
            scope=scope(),
            collection="docs",
            document_ids=["there"],
            filter=condition("year = 2020"),
        ),
    ):
        code, _ = await refused(service.stub.Delete(request))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
    count = await service.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
    assert count.document_count == 1


async def test_too_many_queries_at_once_are_refused_with_a_time_to_come_back(tmp_path):
    url = sqlite_url(tmp_path / "a.db")
    async with retrieval_service(url, max_queries=3) as service:
        await create(service)
        await upsert(service, document("a"))
        queries = [pb.Query(text="words")] * 3
        request = pb.BatchSearchRequest(scope=scope(), collection="docs", queries=queries)
        results = await asyncio.gather(
            *(service.stub.BatchSearch(request) for _ in range(30)), return_exceptions=True
        )
        refusals = [each for each in results if isinstance(each, grpc.aio.AioRpcError)]
        assert 0 < len(refusals) < 30
        assert {each.code() for each in refusals} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {reason(each) for each in refusals} == {"OVERLOADED"}
        request.queries.add(text="one more")
        code, why = await refused(service.stub.BatchSearch(request))
        assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_LARGE")
