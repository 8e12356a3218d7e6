"""What was written last is answered with from memory, just as the store has it."""

import asyncio

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.retrieval.store.changes import DocumentState
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.store.passages import Wanted, fetch
from services.retrieval.view.recent import RecentDocuments
from tests.kit import retrieval as kit


def state(name: str, text: str = "words") -> DocumentState:
    return DocumentState(name, 1, "", "", text, {}, ("everyone",), None, [], b"\0" * 16)


async def test_passages_written_last_are_those_of_the_store(tmp_path):
    async with kit.retrieval_service(f"sqlite:///{tmp_path}/r.db") as service:
        await service.stub.CreateCollection(
            pb.CreateCollectionRequest(
                scope=kit.scope(),
                name="notes",
                settings=pb.CollectionSettings(dimensions=kit.DIMENSIONS),
            )
        )
        found = await service.stub.Search(
            pb.SearchRequest(
                scope=kit.scope(),
                collection="notes",
                query=pb.Query(vector=kit.vector(kit.direction(1))),
            )
        )
        assert not found.passages, "the view is loaded before anything is written"
        one = kit.document("d1", ["Grüße aus Köln", "zwei 🎈"], title="T", uri="u:1", kind="a", n=3)
        one.chunks[1].heading_path.extend(["Erstes", "Zweites"])
        one.chunks[1].page = 7
        one.metadata["absent"].Clear()
        one.metadata["tags"].tags.values.extend(["b", "a"])
        one.metadata["at"].timestamp.CopyFrom(Timestamp(seconds=5, nanos=7000))
        await service.stub.Upsert(
            pb.UpsertRequest(
                scope=kit.scope(), collection="notes", documents=[one, kit.document("d2")]
            )
        )
        collection = await service.store.resolve("acme", "notes")
        view = service.keeper.loaded(collection.id)
        assert view is not None
        snapshot = view.published.snapshot
        for with_metadata in (True, False):
            for name, ordinal in (("d1", 0), ("d1", 1), ("d2", 0)):
                kept = snapshot.rows.recent.passage(name, 1, ordinal, with_metadata=with_metadata)
                wanted = [Wanted(name, 1, ordinal)]
                (stored,) = await service.store.read(
                    lambda c, wanted=wanted, with_metadata=with_metadata: fetch(
                        c, collection.id, wanted, with_metadata=with_metadata
                    )
                )
                assert kept == stored
        former = snapshot.rows
        service.keeper.rebuild(collection.id)
        async with asyncio.timeout(30):
            while view.published.snapshot.rows is former:
                await asyncio.sleep(0.01)
        anew = view.published.snapshot.rows.recent
        assert anew.passage("d1", 1, 1, with_metadata=True) is not None, "it goes over"


def test_the_oldest_leave_and_vectors_are_let_go():
    recent = RecentDocuments(max_bytes=20_000)
    for first in range(0, 40, 4):
        states = [state(f"d{first + n}", "x" * 100) for n in range(4)]
        recent.add(states)
        assert all(not each.vectors for each in states)
    assert recent.nbytes <= 20_000
    kept = [row for row in range(40) if f"d{row}" in recent._kept]
    assert kept == list(range(40 - len(kept), 40))
    assert 12 <= len(kept) <= 20
    recent.add([state("long", "x" * 10_000)])
    assert "long" not in recent._kept, "one long text does not drive out the others"
    recent.add([])
    assert recent._parts[-1][0], "a write of deletions leaves nothing"
    recent.clear()
    assert not recent.nbytes
    assert not recent._kept


def test_of_a_document_there_is_its_newest_version_only():
    recent = RecentDocuments(max_bytes=4 * 1000)
    older, newer = state("d", "old"), state("d", "new")
    older.chunks = newer.chunks = [ChunkEntry("c0", 0, 3, (), 0)]
    newer.version = 2
    recent.add([older])
    recent.add([newer])
    assert recent.passage("d", 1, 0, with_metadata=True) is None
    found = recent.passage("d", 2, 0, with_metadata=True)
    assert found is not None
    assert found.text == "new"
    for name in "efg":
        recent.add([state(name)])
    assert recent.nbytes < 4 * 1000
    assert recent.passage("d", 2, 0, with_metadata=True) == found, "the older one left, not this"
