"""Worker processes are killed with -9 at every stage boundary: no document is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import scope_pb2

from services.rpc.channel import open_channel
from tests.kit.fake_embedding import FakeEmbedding
from tests.kit.fake_retrieval import FakeRetrieval
from tests.kit.grpc_server import serve
from tests.kit.ingestion_service import document
from tests.kit.ports import free_port
from tests.kit.postgres import new_postgres_database

SCOPE = scope_pb2.Scope(tenant="t", principals=["everyone"])
TEXT = "\n\n".join(f"# Part {n}\n\n" + f"Words of part {n} stand here. " * 12 for n in range(60))
ROOT = Path(__file__).parents[2]


class World:
    """Fakes of the services that ingestion needs, and ingestion processes over one database."""

    def __init__(self, embedding, retrieval, targets, data_dir: Path, url: str) -> None:
        self.embedding: FakeEmbedding = embedding
        self.retrieval: FakeRetrieval = retrieval
        self._targets = targets
        self._data_dir = data_dir
        self._url = url
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, role: str, port: int = 0, **settings: str):
        """Starts a process of the service."""
        environment = {
            "CAIRN_INGESTION_ROLE": role,
            "CAIRN_INGESTION_PORT": str(port),
            "CAIRN_INGESTION_METRICS_PORT": "0",
            "CAIRN_INGESTION_DATA_DIR": str(self._data_dir),
            "CAIRN_INGESTION_DATABASE_URL": self._url,
            "CAIRN_INGESTION_EMBEDDING_TARGET": self._targets[0],
            "CAIRN_INGESTION_RETRIEVAL_TARGET": self._targets[1],
            "CAIRN_INGESTION_LEASE_SECONDS": "1",
            "CAIRN_INGESTION_POLL_SECONDS": "0.1",
            "CAIRN_INGESTION_DRAIN_DELAY_SECONDS": "0",
            "CAIRN_INGESTION_LOG_LEVEL": "error",
        }
        environment |= {f"CAIRN_INGESTION_{name}": value for name, value in settings.items()}
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingestion", cwd=ROOT, env=kept | environment
        )
        self._processes.append(process)
        return process

    async def close(self) -> None:
        """Ends all processes."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def new_world(tmp_path: Path, url: str = "") -> AsyncIterator[World]:
    """Runs the fakes for the block, in this process."""
    embedding, retrieval = FakeEmbedding(), FakeRetrieval()
    async with (
        serve(lambda s: embedding_rpc.add_EmbeddingServiceServicer_to_server(embedding, s)) as one,
        serve(lambda s: retrieval_rpc.add_RetrievalServiceServicer_to_server(retrieval, s)) as two,
    ):
        world = World(embedding, retrieval, (one.target, two.target), tmp_path, url)
        try:
            yield world
        finally:
            await world.close()


@contextlib.asynccontextmanager
async def api_of(world: World):
    """Starts a process that takes documents in, and yields its stub."""
    port = free_port()
    await world.start("api", port)
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub = rpc.IngestionServiceStub(channel)
        while True:
            with contextlib.suppress(Exception):
                await stub.GetQueueStats(pb.GetQueueStatsRequest(scope=SCOPE), timeout=1)
                break
            await asyncio.sleep(0.05)
        yield stub


async def submit(stub, *documents) -> list[str]:
    response = await stub.SubmitDocuments(
        pb.SubmitDocumentsRequest(scope=SCOPE, collection="docs", documents=documents)
    )
    return [submission.job.job_id for submission in response.submissions]


async def finish(stub, job_ids) -> list[pb.Job]:
    last: dict[str, pb.Job] = {}
    async for message in stub.WatchJobs(
        pb.WatchJobsRequest(scope=SCOPE, job_ids=job_ids), timeout=60
    ):
        last.update({job.job_id: job for job in message.jobs})
    return [last[job_id] for job_id in job_ids]


STAGES = ["parsed", "chunked", "embedded", "indexed"]


@pytest.mark.slow
async def test_a_job_whose_worker_is_killed_at_every_boundary_ends_ready_once(tmp_path):
    async with new_world(tmp_path) as world, api_of(world) as stub:
        (job_id,) = await submit(stub, document("d", TEXT.encode()))
        places = [
            "after-received",
            *(prefix + each for each in STAGES for prefix in ("", "after-")),
        ]
        for place in places:
            doomed = await world.start("worker", FAILPOINT=f"{place}:crash")
            async with asyncio.timeout(60):
                assert await doomed.wait() == -signal.SIGKILL, place
        (job,) = await finish(stub, [job_id])
        assert job.state == pb.JOB_STATE_READY
        stored = world.retrieval.document("d")
        assert stored.text == TEXT
        assert len(stored.chunks) == job.chunk_count > 32
        assert stored.version == job.document_version
        embedded = [each for batch in world.embedding.batches for each in batch]
        assert len(embedded) == len(set(embedded))


@pytest.mark.slow
async def test_a_worker_told_to_stop_ends_in_order(tmp_path):
    async with new_world(tmp_path) as world, api_of(world) as stub:
        worker = await world.start("worker")
        (job,) = await finish(stub, await submit(stub, document("d")))
        assert job.state == pb.JOB_STATE_READY
        worker.terminate()
        assert await worker.wait() == 0


@pytest.mark.slow
@pytest.mark.postgres
async def test_workers_killed_at_random_over_postgres_lose_nothing(tmp_path):
    url = new_postgres_database()
    async with new_world(tmp_path, url) as world, api_of(world) as stub:
        documents = [document(f"d{n}", f"# D{n}\n\nWords of {n}.".encode()) for n in range(40)]
        documents[7] = document("d7", b"%PDF-1.4\n" + b"\x00" * 100, file_name="a.pdf")
        job_ids = await submit(stub, *documents)
        for place in ("after-chunked", "indexed"):
            pair = [
                await world.start("worker", FAILPOINT=f"{place}:crash", WORKER_CONCURRENCY="3")
                for _ in range(2)
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*(process.wait() for process in pair))
        await world.start("worker")
        await world.start("worker")
        jobs = await finish(stub, job_ids)
        states = [job.state for job in jobs]
        assert states.pop(7) == pb.JOB_STATE_DEAD_LETTER
        assert set(states) == {pb.JOB_STATE_READY}
        held = world.retrieval.documents["t", "docs"]
        assert sorted(held) == sorted(f"d{n}" for n in range(40) if n != 7)
        assert all(len(stored.chunks) == 1 for stored in held.values())


@pytest.mark.slow
async def test_a_document_that_kills_every_worker_ends_as_a_dead_letter(tmp_path):
    async with new_world(tmp_path) as world, api_of(world) as stub:
        (job_id,) = await submit(stub, document("poison"))
        for _ in range(5):
            doomed = await world.start("worker", FAILPOINT="parsed:crash")
            async with asyncio.timeout(60):
                assert await doomed.wait() == -signal.SIGKILL
        await world.start("worker")
        (job,) = await finish(stub, [job_id])
        assert job.state == pb.JOB_STATE_DEAD_LETTER
        assert (job.failure.reason, job.failure.stage) == ("WORKER_LOST", pb.STAGE_PARSED)


@pytest.mark.slow
async def test_a_worker_frozen_while_it_writes_changes_nothing_when_it_wakes(tmp_path):
    async with new_world(tmp_path) as world, api_of(world) as stub:
        world.retrieval.write_gate.clear()
        (old_id,) = await submit(stub, document("d", b"# Old\n\nOld words."))
        frozen = await world.start("worker")
        async with asyncio.timeout(60):
            await world.retrieval.write_waiting.wait()
        frozen.send_signal(signal.SIGSTOP)
        (new_id,) = await submit(stub, document("d", b"# New\n\nNew words."))
        world.retrieval.write_gate.set()
        await world.start("worker")
        frozen.send_signal(signal.SIGCONT)
        jobs = await finish(stub, [old_id, new_id])
        assert jobs[1].state == pb.JOB_STATE_READY
        assert world.retrieval.document("d").text == "# New\n\nNew words."


@pytest.mark.slow
async def test_wrong_settings_are_named_and_end_the_process(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ingestion",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "CAIRN_INGESTION_PORT": "0",
            "CAIRN_INGESTION_METRICS_PORT": "0",
            "CAIRN_INGESTION_DATABASE_URL": "mysql://nowhere/x",
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"unsupported database" in stderr
