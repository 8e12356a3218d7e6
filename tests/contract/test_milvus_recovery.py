"""What becomes of Milvus' rows when Milvus is down, is emptied, or has seen more than the truth."""

from __future__ import annotations

import pytest

from services.filters.parser import parse
from services.retrieval.collections import CollectionSettings
from services.rpc.errors import Reason, UnavailableError
from tests.contract.test_retrieval_backends import EVERYONE, WIDTH, count, doc, find, ids, put
from tests.kit.milvus import milvus_backend
from tests.kit.milvus import milvus_lite as milvus_lite  # noqa: PLC0414 - a fixture


@pytest.fixture
async def backend(tmp_path, milvus_lite):
    async with milvus_backend(f"sqlite:///{tmp_path / 'truth.db'}", milvus_lite) as found:
        await found.library.create("acme", "docs", CollectionSettings(WIDTH))
        yield found


async def test_a_write_stands_while_milvus_is_down_and_is_found_when_it_is_back(
    backend, monkeypatch
):
    await put(backend, doc("before", "x", seed=1))

    def down(*_, **__):
        raise UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down")

    monkeypatch.setattr(backend.server, "write", down)
    written = await put(backend, doc("during", "x", seed=2))
    assert written.versions == (1,)  # committed, which is what the answer promises
    monkeypatch.undo()
    assert ids(await find(backend, seed=2))[0] == "during"
    assert await count(backend) == (2, 2)


async def test_emptied_rows_are_written_anew(backend):
    await put(backend, doc("d", "x", seed=1, kind="a"))
    collection = backend.follower.known(1).collection
    backend.server.drop(collection)
    backend.follower._applied.clear()  # as a process that starts
    assert ids(await find(backend, seed=1, filter=parse('kind = "a"'))) == ["d"]


async def test_rows_ahead_of_a_database_put_back_are_written_anew(backend):
    await put(backend, doc("d", "x", seed=1))
    collection = backend.follower.known(1).collection
    ghost = {
        **backend.server._client.query(
            backend.server.name_of(collection), filter="ordinal == 0", output_fields=["*"]
        )[0]
    }
    ghost.pop("bm25", None)
    ghost |= {"pk": "ghost", "document": "ghost", "document_key": "0" * 32}
    backend.server.write(collection, [ghost])
    backend.server.set_position(collection, 10_000)
    backend.follower._applied.clear()
    documents, _ = await backend.library.count(EVERYONE, "docs", None)
    assert documents == 1
    assert backend.server.position(collection) < 10_000
