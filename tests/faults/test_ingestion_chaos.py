"""Everything dies and freezes while documents come in: none is lost, stuck, half there or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

import psycopg
import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from cairn.types.v1 import scope_pb2

from services.ingestion.failpoint import Failpoint
from services.ingestion.stages.embed import BATCH_TEXTS
from services.rpc.errors import ServiceError
from tests.kit.ingestion_fleet import World, running_fleet
from tests.kit.ingestion_service import document
from tests.kit.mortal_postgres import MortalPostgres, mortal_postgres
from tests.kit.tiny_bert import WORDS
from tests.kit.valkey import running_valkey

SCOPE = scope_pb2.Scope(tenant="t", principals=["everyone"], actor="service:test")
Blow = tuple[str, str]
VICTIMS = ("embedding", "retrieval", "valkey", "postgres", "worker0", "worker1", "api")
FROZEN = ("embedding", "retrieval", "valkey", "postgres", "worker0")
LEASE_SECONDS = 1.5
FROZEN_SECONDS = LEASE_SECONDS + 0.5
LATE_SECONDS, LATE_SECONDS_ALONE = 4.0, 1.0
"""How long after the end of a lost lease another worker may have the job: none of this time is the
design's, all of it is a machine's on which processes start all the time, among other tests or not."""
PAUSE_SECONDS = 0.3
SECONDS_PER_BLOW = 1.2
POISON_EVERY = 20


def documents(count: int, seed: int) -> list[pb.DocumentInput]:
    """Documents of one to four chunks; every twentieth is a PDF that is none."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        name = f"d{number}"
        if number % POISON_EVERY == POISON_EVERY // 2:
            data = b"%PDF-1.4\n" + dice.randbytes(200)
            made.append(document(name, data, file_name="a.pdf", idempotency_key=name))
            continue
        words = dice.choices(WORDS[:9], k=dice.randint(40, 400))
        lines = [" ".join(words[at : at + 12]) for at in range(0, len(words), 12)]
        text = f"# {name}\n\n" + ". ".join(lines) + ".\n"
        made.append(document(name, text.encode(), idempotency_key=name))
    return made


async def submit_all(
    world: World, wanted: list[pb.DocumentInput], jobs: dict[str, str], seconds: float
) -> None:
    """Submits documents over a time, as a client does that comes back until each is accepted."""
    for start in range(0, len(wanted), 10):
        part = wanted[start : start + 10]
        request = pb.SubmitDocumentsRequest(scope=SCOPE, collection="docs", documents=part)
        while True:
            try:
                answer = await world.ingestion.SubmitDocuments(request, timeout=5)
            except ServiceError:
                await asyncio.sleep(0.1)
                continue
            if not any(each.error.reason for each in answer.submissions):
                break
            await asyncio.sleep(0.1)
        for each, sent in zip(answer.submissions, part, strict=True):
            jobs[sent.header.document_id] = each.job.job_id
        await asyncio.sleep(seconds * len(part) / len(wanted))


async def torment(
    world: World, postgres: MortalPostgres, valkey: Any, patrol: Patrol, victims: list[Blow]
) -> None:
    """Kills and freezes one after the other."""
    for name, how in victims:
        if name == "postgres":
            patrol.pause()
        await _hit(world, postgres, valkey, name, how)
        if name == "postgres":
            patrol.resume()
        await asyncio.sleep(PAUSE_SECONDS)


async def _hit(world: World, postgres: MortalPostgres, valkey: Any, name: str, how: str) -> bool:
    if name == "postgres" and how == "kill":
        await asyncio.to_thread(postgres.kill)
    elif name == "postgres":
        postgres.freeze()
        await asyncio.sleep(FROZEN_SECONDS)
        postgres.thaw()
    elif name == "valkey" and how == "kill":
        valkey.process.kill()
    elif name == "valkey":
        with contextlib.suppress(ProcessLookupError):
            valkey.freeze()
            await asyncio.sleep(FROZEN_SECONDS)
            valkey.thaw()
    elif how == "kill":
        await world.fleet.kill(name)
    else:
        await world.fleet.freeze(name, FROZEN_SECONDS)
    return True


class Patrol:
    """Looks for jobs that nobody works on although their lease has run out."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._resumes_at = 0.0
        self.longest_overrun_seconds = 0.0

    def pause(self) -> None:
        """While the database is ill nobody can take over."""
        self._resumes_at = float("inf")

    def resume(self) -> None:
        """Goes on, once the services have connected again."""
        self._resumes_at = time.monotonic() + 5.0

    async def watch(self) -> None:
        """Samples until cancelled."""
        while True:
            await asyncio.sleep(0.25)
            if time.monotonic() < self._resumes_at:
                continue
            with contextlib.suppress(psycopg.Error):
                overrun = await asyncio.to_thread(self._overrun)
                if time.monotonic() >= self._resumes_at:
                    self.longest_overrun_seconds = max(self.longest_overrun_seconds, overrun)

    def _overrun(self) -> float:
        query = "SELECT min(lease_until_us) FROM ingestion_jobs WHERE state = 2"
        with psycopg.connect(self._url, connect_timeout=2) as connection:
            row = connection.execute(query).fetchone()
        until_us = row[0] if row else None
        if until_us is None:
            return 0.0
        # The table's leases end early by the time that taking a job over takes.
        early = LEASE_SECONDS * 0.25
        return max(0.0, time.time() - until_us / 1e6 - early)


async def ended(world: World, job_ids: list[str], seconds: float) -> dict[str, pb.Job]:
    """Waits until all jobs have ended."""
    give_up = time.monotonic() + seconds
    while True:
        last: dict[str, pb.Job] = {}
        with contextlib.suppress(ServiceError):
            token = ""
            while True:
                page = await world.ingestion.ListJobs(
                    pb.ListJobsRequest(scope=SCOPE, page_size=1000, page_token=token), timeout=10
                )
                last |= {job.job_id: job for job in page.jobs}
                token = page.next_page_token
                if not token:
                    break
            open_states = {pb.JOB_STATE_QUEUED, pb.JOB_STATE_RUNNING}
            if set(job_ids) <= set(last) and not any(
                last[each].state in open_states for each in job_ids
            ):
                return last
        assert time.monotonic() < give_up, Counter(job.state for job in last.values())
        await asyncio.sleep(0.2)


async def held_chunks(world: World) -> dict[str, list[tuple[int, int, str]]]:
    """Returns the chunks that retrieval holds, by document."""
    held: dict[str, list[tuple[int, int, str]]] = {}
    token = ""
    while True:
        page = await world.retrieval.Scroll(
            retrieval_pb.ScrollRequest(
                scope=SCOPE,
                collection="docs",
                unit=retrieval_pb.SCROLL_UNIT_CHUNK,
                page_size=1000,
                page_token=token,
            ),
            timeout=20,
        )
        for each in page.passages:
            held.setdefault(each.document_id, []).append((each.start, each.end, each.chunk_id))
        token = page.next_page_token
        if not token:
            return held


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    ("count", "rounds", "late_seconds"),
    [
        pytest.param(100, 1, LATE_SECONDS, marks=pytest.mark.timeout(240)),
        pytest.param(
            1000, 4, LATE_SECONDS_ALONE, marks=[pytest.mark.long, pytest.mark.timeout(1800)]
        ),
    ],
)
async def test_whatever_dies_each_document_is_there_once_or_says_why_not(
    tmp_path, count, rounds, late_seconds, capsys
):
    wanted = documents(count, seed=rounds)
    dice = random.Random(rounds)
    places = sorted(Failpoint.PLACES - {"received"}) * rounds
    dice.shuffle(places)
    victims = [(name, "kill") for name in VICTIMS for _ in range(rounds)]
    victims += [
        (name, "freeze") for name in (VICTIMS if rounds > 1 else FROZEN) for _ in range(rounds)
    ]
    dice.shuffle(victims)
    with mortal_postgres() as postgres, running_valkey(tmp_path) as valkey:
        async with running_fleet(
            tmp_path,
            postgres.url,
            valkey.url,
            lease_seconds=LEASE_SECONDS,
            failpoints=places,
        ) as world:
            jobs: dict[str, str] = {}
            patrol = Patrol(postgres.url)
            patrol.resume()
            watching = asyncio.create_task(patrol.watch())
            started = time.monotonic()
            submitting = asyncio.create_task(
                submit_all(world, wanted, jobs, len(victims) * SECONDS_PER_BLOW)
            )
            await torment(world, postgres, valkey, patrol, victims)
            await submitting
            last = await ended(world, list(jobs.values()), 120.0 * rounds)
            seconds = time.monotonic() - started
            watching.cancel()
            held = await held_chunks(world)
            # Each died over a batch at most: doomed workers, frozen ones whose leases ran out, and
            # all three when the database went.
            deaths = world.fleet.deaths["worker0"] + world.fleet.deaths["worker1"]
            frozen = sum(how == "freeze" and name.startswith("worker") for name, how in victims)
            databases = sum(name == "postgres" for name, _ in victims)
            most_repeated = deaths + frozen + 3 * databases
            counting = world.counting
    with capsys.disabled():
        print(
            f"\n{count} documents, {seconds:.0f} s, {deaths} workers died, "
            f"{len(victims)} further blows, {len(world.failpoints)} failpoints not reached, "
            f"{sum(counting.answered.values())} texts embedded, {counting.repeated_texts} of them "
            f"again, in {counting.repeated_calls} calls; a lease overrun by "
            f"{patrol.longest_overrun_seconds:.2f} s at most"
        )
    poison = {each.header.document_id for each in wanted if each.header.file_name == "a.pdf"}
    by_name = {name: last[job_id] for name, job_id in jobs.items()}
    assert set(by_name) == {each.header.document_id for each in wanted}
    for name, job in by_name.items():
        if name in poison:
            assert job.state == pb.JOB_STATE_DEAD_LETTER
            assert (job.failure.reason, job.failure.stage) == ("PARSE_FAILED", pb.STAGE_PARSED)
        else:
            assert job.state == pb.JOB_STATE_READY, job.failure
            assert len(held[name]) == len(set(held[name])) == job.chunk_count
    assert set(held) == set(by_name) - poison
    assert counting.repeated_texts <= most_repeated * BATCH_TEXTS
    assert patrol.longest_overrun_seconds <= late_seconds
