"""Retrieval over PostgreSQL: late commits, a killed server, killed replicas."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time

import grpc
import numpy as np
import psycopg
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from services.retrieval.collections import CollectionSettings
from services.retrieval.documents import Chunk, Document
from services.retrieval.store import catalog, changes, counts, documents
from services.retrieval.store.checksum import Checksum
from services.retrieval.store.store import Store
from services.sql.engine import WRITES, open_engine
from tests.kit.own_postgres import OwnPostgres
from tests.kit.own_postgres import own_postgres as own_postgres  # noqa: PLC0414 - a fixture
from tests.kit.postgres import postgres_url as postgres_url  # noqa: PLC0414 - a fixture
from tests.kit.retrieval import (
    DIMENSIONS,
    create,
    document,
    ids,
    reason,
    retrieval_service,
    scope,
    search,
    upsert,
)
from tests.kit.retrieval_process import RetrievalProcess, retrieval_process

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
VECTOR = np.ones(4, "<f4").tobytes()


def doc(document_id: str) -> Document:
    return Document(document_id, text="words", chunks=(Chunk("c", 0, 5, VECTOR),))


class Follower(threading.Thread):
    """Reads the log as a replica does, and remembers what it saw."""

    def __init__(self, url: str, collection_id: int, done: threading.Event) -> None:
        super().__init__()
        self._url = url
        self._collection_id = collection_id
        self._done = done
        self.seen: dict[str, int] = {}
        self.checksum = Checksum()
        self.reads_with_news = 0

    def run(self) -> None:
        engine = open_engine(self._url, pool_size=1)
        reading = engine.execution_options(isolation_level="REPEATABLE READ")
        seq = 0
        while True:
            is_last = self._done.is_set()
            with reading.connect() as connection, connection.begin():
                position = changes.positions(connection, [self._collection_id])
                for document_id in changes.deleted_after(connection, self._collection_id, seq):
                    self._forget(document_id)
                for part in changes.written_after(connection, self._collection_id, seq):
                    for each in part:
                        self._forget(each.document_id)
                        self.seen[each.document_id] = each.version
                        self.checksum = self.checksum.add(each.document_id, each.version, 1)
                self.reads_with_news += position[self._collection_id].seq > seq
                seq = position[self._collection_id].seq
            if is_last:
                break
            time.sleep(0.002)
        engine.dispose()

    def _forget(self, document_id: str) -> None:
        version = self.seen.pop(document_id, None)
        if version is not None:
            self.checksum = self.checksum.remove(document_id, version, 1)


async def test_no_follower_misses_a_row_of_writers_that_commit_out_of_order(postgres_url):
    """Beside the log, each transaction draws from a sequence, as the usual design does."""
    async with await Store.open(postgres_url) as store:
        created, _ = await store.change_catalog(
            lambda c: catalog.create(c, "t", "docs", CollectionSettings(4), 1)
        )
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE usual (id BIGSERIAL PRIMARY KEY)")
        done = threading.Event()
        followers = [Follower(postgres_url, created.id, done) for _ in range(3)]
        usual = UsualFollower(postgres_url, done)
        drawn: list[int] = []
        committed: list[int] = []
        writers = [
            threading.Thread(target=write_slowly, args=(postgres_url, writer, drawn, committed))
            for writer in range(6)
        ]
        for each in (*followers, usual, *writers):
            each.start()
        for each in writers:
            await asyncio.to_thread(each.join)
        done.set()
        for each in (*followers, usual):
            await asyncio.to_thread(each.join)
        stored = await store.read(lambda c: counts.read(c, created.id))
    assert committed != sorted(committed), "the transactions were to commit out of order"
    assert usual.seen < set(drawn), "the usual design was to miss rows: the test is too mild"
    for follower in followers:
        assert follower.reads_with_news > 5
        assert follower.checksum == stored.checksum
        assert len(follower.seen) == stored.checksum.documents


def write_slowly(url: str, writer: int, drawn: list[int], committed: list[int]) -> None:
    """Writes and deletes in transactions that dawdle before and after they take their place."""
    rng = random.Random(writer)
    engine = open_engine(url, pool_size=1)
    for step in range(15):
        with engine.execution_options(**WRITES).connect() as connection:
            with connection.begin():
                number = connection.exec_driver_sql(
                    "INSERT INTO usual DEFAULT VALUES RETURNING id"
                ).scalar_one()
                time.sleep(rng.random() * 0.03)
                options = {"check": lambda _: None, "now_micros": 1}
                new = [doc(f"w{writer}-{step}"), doc(f"shared{rng.randint(0, 5)}")]
                documents.upsert(connection, "t", "docs", new, **options)
                if step % 3 == 2:
                    gone = [f"w{writer}-{step - 1}"]
                    documents.delete_by_ids(connection, "t", "docs", gone)
                time.sleep(rng.random() * 0.01)
            committed.append(number)
            drawn.append(number)
    engine.dispose()


class UsualFollower(threading.Thread):
    """Reads "everything after the highest number seen", of numbers drawn from a sequence."""

    def __init__(self, url: str, done: threading.Event) -> None:
        super().__init__()
        self._url = url
        self._done = done
        self.seen: set[int] = set()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            highest = 0
            while True:
                is_last = self._done.is_set()
                for (number,) in connection.execute(
                    "SELECT id FROM usual WHERE id > %s", (highest,)
                ):
                    self.seen.add(number)
                    highest = max(highest, number)
                if is_last:
                    return
                time.sleep(0.002)


async def test_a_notice_wakes_the_other_replica_before_its_next_look(postgres_url):
    async with (
        retrieval_service(postgres_url, poll_seconds=30) as one,
        retrieval_service(postgres_url, poll_seconds=30) as two,
    ):
        await create(one)
        await upsert(one, document("first", ["first"]))
        assert ids(await search(two, "first")) == ["first"]  # loads the view
        view = two.keeper.loaded((await two.store.resolve("acme", "docs")).id)
        for number in range(3):
            written = await upsert(one, document(f"d{number}", [f"number{number}"]))
            async with asyncio.timeout(10):
                while view.published.snapshot.seq < written.seq:
                    await asyncio.sleep(0.005)


async def test_an_outage_of_postgresql_is_said_and_outlived(own_postgres: OwnPostgres):
    url = own_postgres.url
    acked: dict[str, int] = {}
    refused: list[grpc.aio.AioRpcError] = []
    stop = asyncio.Event()

    async def write(service, worker: int) -> None:
        number = 0
        while not stop.is_set():
            name = f"w{worker}-{number}"
            number += 1
            request = pb.UpsertRequest(
                scope=scope(), collection="docs", documents=[document(name, [name])]
            )
            try:
                written = await service.stub.Upsert(request, timeout=30)
                acked[name] = written.versions[0]
            except grpc.aio.AioRpcError as error:
                refused.append(error)
                await asyncio.sleep(0.02)

    async with retrieval_service(url) as service:
        await create(service)
        writers = [asyncio.ensure_future(write(service, worker)) for worker in range(4)]
        while len(acked) < 20:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(own_postgres.kill)
        while len(refused) < 8:
            await asyncio.sleep(0.02)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.GetCollection(
                pb.GetCollectionRequest(scope=scope(), name="docs"), timeout=30
            )
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        before = len(acked)
        await asyncio.to_thread(own_postgres.start)
        async with asyncio.timeout(30):
            while len(acked) < before + 20:
                await asyncio.sleep(0.02)
        stop.set()
        await asyncio.gather(*writers)
        for error in refused:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error.details()
            assert reason(error) == "DEPENDENCY_UNAVAILABLE"
        names = sorted(acked)
        found = {}
        for first in range(0, len(names), 500):
            response = await service.stub.GetDocuments(
                pb.GetDocumentsRequest(
                    scope=scope(), collection="docs", document_ids=names[first : first + 500]
                )
            )
            found |= {each.document_id: each.version for each in response.documents}
        assert found == acked
        assert names[-1] in ids(await search(service, names[-1]))
        check = await service.stub.CheckCollection(
            pb.CheckCollectionRequest(scope=scope(), name="docs")
        )
        assert check.check.is_consistent


@pytest.mark.parametrize(
    ("replicas", "rounds"),
    [
        (2, 1),
        pytest.param(3, 6, marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
async def test_replicas_agree_and_outlive_each_other(postgres_url, tmp_path, replicas, rounds):
    async with contextlib.AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(
                retrieval_process(tmp_path / f"r{n}", database_url=postgres_url)
            )
            for n in range(replicas)
        ]
        settings = pb.CollectionSettings(dimensions=DIMENSIONS)
        await services[0].stub.CreateCollection(
            pb.CreateCollectionRequest(scope=scope(), name="docs", settings=settings)
        )
        await put(services[0], "anchor")
        traffic = Traffic(services[:-1])
        for _ in range(rounds):
            async with traffic.running():
                victim = services[-1]
                await victim.stub.Count(pb.CountRequest(scope=scope(), collection="docs"))
                victim.process.kill()
                await victim.process.wait()
                await asyncio.sleep(0.5)
                services[-1] = await stack.enter_async_context(
                    retrieval_process(tmp_path / f"r{replicas}", database_url=postgres_url)
                )
                # The new one answers with what was written while its predecessor was dead.
                word = f"token{traffic.writes}"
                newest = await put(services[0], "token", word)
                found = await find(services[-1], word, min_seq=newest)
                assert found == ["token"]
            checks = [await checked(each) for each in services]
            assert all(each.is_consistent for each in checks)
            assert (
                len({(each.seq, each.view_hash, each.view_document_count) for each in checks}) == 1
            )
        assert traffic.searches > 20
        assert traffic.writes > 20


class Traffic:
    """Searches and writes that must all succeed, on replicas that live on."""

    def __init__(self, services: list[RetrievalProcess]) -> None:
        self._services = services
        self._rng = random.Random(3)
        self.searches = self.writes = 0

    @contextlib.asynccontextmanager
    async def running(self):
        """Goes on until the block ends."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for each in self._services:
                tasks.create_task(self._search(each, stop))
                tasks.create_task(self._write(each, stop))
            try:
                yield
            finally:
                stop.set()

    async def _search(self, service: RetrievalProcess, stop: asyncio.Event) -> None:
        while not stop.is_set():
            assert await find(service, "anchor") == ["anchor"]
            self.searches += 1

    async def _write(self, service: RetrievalProcess, stop: asyncio.Event) -> None:
        while not stop.is_set():
            name = f"d{self._rng.randint(0, 50)}"
            seq = await put(service, name, f"written{self.writes} common")
            other = self._rng.choice(self._services)
            if self._rng.random() < 0.3:
                await service.stub.Delete(
                    pb.DeleteRequest(scope=scope(), collection="docs", document_ids=[name])
                )
            else:
                assert await find(other, "common", min_seq=seq, top_k=1)
            self.writes += 1
            await asyncio.sleep(0.01)


async def put(service: RetrievalProcess, name: str, text: str = "anchor") -> int:
    written = await service.stub.Upsert(
        pb.UpsertRequest(scope=scope(), collection="docs", documents=[document(name, [text])]),
        timeout=30,
    )
    return written.seq


async def find(service: RetrievalProcess, text: str, **options) -> list[str]:
    return ids(
        await service.stub.Search(
            pb.SearchRequest(
                scope=scope(),
                collection="docs",
                query=pb.Query(text=text),
                options=pb.SearchOptions(**options),
            ),
            timeout=30,
        )
    )


async def checked(service: RetrievalProcess) -> pb.ConsistencyCheck:
    response = await service.stub.CheckCollection(
        pb.CheckCollectionRequest(scope=scope(), name="docs"), timeout=30
    )
    return response.check
