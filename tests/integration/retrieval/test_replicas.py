"""Two replicas over one database: each sees the other's writes soon, its own at once, nobody's half."""

from __future__ import annotations

import asyncio
import random
import time

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.retrieval import (
    create,
    direction,
    document,
    ids,
    retrieval_service,
    scope,
    search,
    upsert,
)


@pytest.fixture
async def replicas(database_url):
    async with retrieval_service(database_url) as one, retrieval_service(database_url) as two:
        await create(one)
        yield one, two


async def eventually(check, seconds: float = 5.0) -> float:
    """Waits until the check holds; returns how long that took."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_a_write_is_seen_by_the_other_replica_soon_and_by_token_at_once(replicas):
    one, two = replicas
    await search(two, "words")  # loads the view: what follows must come through the log
    for number in range(10):
        writer, reader = (one, two) if number % 2 else (two, one)
        written = await upsert(writer, document(f"d{number}", [f"number{number}"]))
        found = await search(reader, f"number{number}", min_seq=written.seq)
        assert ids(found) == [f"d{number}"]
    await upsert(one, document("late", ["latecomer"]))

    async def is_seen():
        return ids(await search(two, "latecomer")) == ["late"]

    assert await eventually(is_seen) < 2.0


async def test_deletes_and_lost_rights_bite_on_every_replica_once_acknowledged(replicas):
    """Views may lag; what is answered with is proven against the truth."""
    one, two = replicas
    await upsert(one, *(document(f"d{n}", [f"number{n}"], acl=["user:a"]) for n in range(12)))
    reader = scope("user:a")
    for number in range(12):
        assert ids(await search(two, f"number{number}", by=reader)) == [f"d{number}"]
    for number in range(12):
        if number % 2:
            await one.stub.Delete(
                pb.DeleteRequest(scope=scope(), collection="docs", document_ids=[f"d{number}"])
            )
        else:
            await upsert(one, document(f"d{number}", [f"number{number}"], acl=["user:b"]))
        found = await search(two, f"number{number}", direction(0), by=reader, top_k=50)
        assert f"d{number}" not in ids(found)
        count = await two.stub.Count(pb.CountRequest(scope=reader, collection="docs"))
        assert count.document_count == 11 - number


async def test_a_history_whose_rights_are_lost_orders_nothing_on_any_replica(replicas):
    one, two = replicas
    reader = scope("user:a")
    await upsert(
        one, *(document(f"d{n}", vectors=[direction(n)], acl=["user:a"]) for n in range(6))
    )

    async def found(history: pb.History | None) -> list[str]:
        request = pb.RecommendRequest(
            scope=reader, collection="docs", positive_ids=["d0"], history=history
        )
        return [each.passage.document_id for each in (await two.stub.Recommend(request)).passages]

    plain = await found(None)
    for number in range(20):
        past = f"past {number}"
        liked = pb.History(liked_ids=[past], weight=1.0)
        near = direction(1 + number % 5)
        written = await upsert(one, document(past, vectors=[near], acl=["user:a"]))
        await search(two, "words", min_seq=written.seq)
        assert (await found(liked))[0] == f"d{1 + number % 5}"
        await upsert(one, document(past, vectors=[near], acl=["user:b"]))
        assert await found(liked) == plain


async def test_collections_and_aliases_made_on_one_replica_work_on_the_other(replicas):
    one, two = replicas
    await create(one, "fresh")
    await upsert(two, document("a"), name="fresh")
    assert ids(await search(one, "words", name="fresh", min_seq=1)) == ["a"]
    await one.stub.SetAlias(
        pb.SetAliasRequest(scope=scope(), alias=pb.Alias(name="live", collection="fresh"))
    )
    assert ids(await search(two, "words", name="live")) == ["a"]
    await one.stub.DeleteCollection(pb.DeleteCollectionRequest(scope=scope(), name="fresh"))

    async def is_gone():
        try:
            return not ids(await search(two, "words", name="fresh"))
        except Exception:  # noqa: BLE001 - NOT_FOUND is the answer waited for
            return True

    await eventually(is_gone)


async def test_replicas_agree_after_random_writes_on_both(replicas):
    rng = random.Random(7)
    documents: dict[str, list[str]] = {}
    last = 0
    for step in range(120):
        service = rng.choice(replicas)
        name = f"d{rng.randint(0, 30)}"
        if rng.random() < 0.3:
            gone = await service.stub.Delete(
                pb.DeleteRequest(scope=scope(), collection="docs", document_ids=[name])
            )
            documents.pop(name, None)
            last = max(last, gone.seq)
        else:
            texts = [f"step{step} common part{n}" for n in range(rng.randint(1, 3))]
            documents[name] = texts
            last = max(last, (await upsert(service, document(name, texts))).seq)
    answers = []
    for service in replicas:
        found = await search(service, "common", top_k=1000, min_seq=last)
        answers.append(
            sorted(
                (e.passage.document_id, e.passage.text, round(e.scores.final, 4))
                for e in found.passages
            )
        )
    assert answers[0] == answers[1]
    expected = sorted((name, text) for name, texts in documents.items() for text in texts)
    assert [(name, text) for name, text, _ in answers[0]] == expected


async def test_readers_see_whole_versions_while_writers_replace_them(replicas):
    """Every version has as many chunks as its number says, all with the same word."""
    one, two = replicas
    stop = asyncio.Event()
    await upsert(one, document("d", ["version1 common"]))

    async def write():
        for version in range(2, 40):
            chunks = 1 + version % 4
            await upsert(one, document("d", [f"version{version} common"] * chunks))
        stop.set()

    async def read(service):
        answers = 0
        while not stop.is_set():
            found = await search(service, "common", top_k=50)
            texts = {each.passage.text for each in found.passages}
            versions = {each.passage.document_version for each in found.passages}
            assert len(texts) <= 1
            assert len(versions) <= 1
            if found.passages:
                version = found.passages[0].passage.document_version
                assert texts == {f"version{version} common"}
                assert len(found.passages) == (1 + version % 4 if version > 1 else 1)
                answers += 1
        return answers

    results = await asyncio.gather(write(), read(one), read(two))
    assert results[1] > 0
    assert results[2] > 0


async def position(replica, name="docs", *, tenant="acme"):
    """The generation of a collection, as one replica knows it."""
    asked = pb.GetPositionRequest(scope=scope(tenant=tenant), collection=name)
    return (await replica.stub.GetPosition(asked)).generation


async def test_a_position_moves_with_every_acknowledged_write_on_whichever_replica(replicas):
    one, two = replicas
    seen = [await position(two)]
    for number in range(6):
        await upsert((one, two)[number % 2], document(f"d{number}", [f"number{number}"]))
        seen.append(await position((two, one)[number % 2]))
        assert await position((one, two)[number % 2]) == seen[-1]
    await one.stub.Delete(pb.DeleteRequest(scope=scope(), collection="docs", document_ids=["d0"]))
    seen.append(await position(two))
    assert seen == sorted(set(seen)), "it rises with each write"
    assert await position(two) == seen[-1], "and stays without one"


async def test_no_two_collections_of_a_tenant_ever_share_a_position(replicas):
    one, two = replicas
    await upsert(one, document("a"))
    first = await position(two)
    await one.stub.DeleteCollection(pb.DeleteCollectionRequest(scope=scope(), name="docs"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await position(two)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    await create(one)
    again = await position(two)
    assert again > first
    await create(one, "other")
    assert await position(two, "other") not in {first, again}
    alias = pb.Alias(name="now", collection="docs")
    await one.stub.SetAlias(pb.SetAliasRequest(scope=scope(), alias=alias))
    assert await position(two, "now") == again
    alias = pb.Alias(name="now", collection="other")
    await one.stub.SetAlias(pb.SetAliasRequest(scope=scope(), alias=alias))
    assert await position(two, "now") == await position(one, "other")


async def test_a_result_says_whether_it_is_the_truth_of_its_position(replicas):
    one, two = replicas
    await search(two, "words")  # its view is there, and falls behind
    for number in range(8):
        await upsert(one, document(f"d{number}", [f"number{number}"]))
        newest = await position(two)
        found = await search(two, f"number{number}")
        assert not found.is_current or found.generation == newest
        if found.is_current:
            assert ids(found) == [f"d{number}"]

    async def is_current():
        return (await search(two, "number1")).is_current

    assert await eventually(is_current) < 2.0
    like = pb.RecommendRequest(scope=scope(), collection="docs", positive_ids=["d1"])
    answer = await two.stub.Recommend(like)
    assert (answer.is_current, answer.generation) == (True, await position(one))


async def test_a_result_says_when_the_next_document_ends(replicas):
    one, _ = replicas
    await upsert(one, document("a", ["stays"]))
    assert not (await search(one, "stays")).HasField("valid_until")
    ending = document("b", ["ends"])
    ending.time_to_live.FromSeconds(3600)
    await upsert(one, ending)
    found = await search(one, "stays")
    assert 3500 < found.valid_until.ToSeconds() - time.time() <= 3600
