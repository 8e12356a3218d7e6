"""`cairn eval` and `cairn bench` as programs: what they send, print, write and exit with."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.connection import Connection
from cli.errors import CliError
from cli.evaluation import loading
from cli.evaluation.dataset import CorpusDocument
from cli.gateway_client import GatewayClient
from tests.kit.fake_gateway import API_KEY, TEXTS, FakeGateway, running_fake_gateway

ROOT = Path(__file__).parents[3]


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with running_fake_gateway() as gateway:
        gateway.documents.clear()
        yield gateway


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    text = TEXTS["docs/keys.md"]
    write(folder / "corpus.jsonl", {"_id": "docs/keys.md", "title": "Keys", "text": text})
    write(
        folder / "queries.jsonl",
        {"_id": "q1", "text": "How long?", "answers": ["90 days"]},
        {"_id": "q2", "text": "please refuse", "answerable": False},
    )
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tdocs/keys.md\t1\n")
    return folder


def write(path: Path, *rows: dict) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def cairn(*arguments: str, gateway: FakeGateway | None = None):
    known = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
    if gateway:
        known |= {"CAIRN_URL": gateway.url, "CAIRN_API_KEY": API_KEY}
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=known | {"COLUMNS": "120"},
        timeout=60,
        check=False,
    )


def test_a_ranking_is_measured_and_the_collection_deleted(
    gateway: FakeGateway, data: Path, tmp_path: Path
):
    run = tmp_path / "out.run"
    gateway.busy_count = 1
    done = cairn(
        "eval", str(data), "--mode", "keyword", "--json", "--run", str(run), gateway=gateway
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["metrics"]["ndcg@10"] == 1.0
    assert report["metrics"]["mrr@10"] == 1.0
    assert report["queries"] == {"in_data": 2, "asked": 1, "failed": 0}
    assert run.read_text() == "q1 Q0 docs/keys.md 1 1.200000 cairn-keyword\n"
    (sent,) = gateway.bodies("/v1/documents")[1:2]
    assert sent["collection"] == report["collection"]
    assert sent["documents"][0]["document_id"] == "docs/keys.md"
    assert gateway.requests[-1][:2] == ("DELETE", f"/v1/collections/{report['collection']}")
    assert gateway.collections == set()


def test_answers_are_measured(gateway: FakeGateway, data: Path, tmp_path: Path):
    run = tmp_path / "answers.jsonl"
    done = cairn(
        "eval", str(data), "--mode", "answer", "--json", "--run", str(run), "--keep",
        gateway=gateway,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["metrics"]["answer_containment"] == 1.0
    assert report["metrics"]["refusal_rate_unanswerable"] == 1.0
    assert report["metrics"]["refusal_rate_answerable"] == 0.0
    assert report["metrics"]["citations"] == 1
    assert report["metrics"]["citation_validity"] == 1.0
    lines = [json.loads(line) for line in run.read_text().splitlines()]
    assert [(line["query_id"], line["refused"]) for line in lines] == [("q1", False), ("q2", True)]
    assert gateway.collections == {report["collection"]}


def test_a_collection_that_exists_is_measured_as_it_is(gateway: FakeGateway, data: Path):
    gateway.collections.add("mine")
    done = cairn("eval", str(data), "--collection", "mine", gateway=gateway)
    assert done.returncode == 0, done.stderr
    assert "measured as it is" in done.stderr
    assert "ndcg@10" in done.stdout
    assert gateway.bodies("/v1/documents") == []
    assert gateway.collections == {"mine"}


def test_a_failed_query_fails_the_whole(gateway: FakeGateway, data: Path):
    write(data / "queries.jsonl", {"_id": "q1", "text": "break"}, {"_id": "q2", "text": "fine"})
    (data / "qrels.tsv").write_text("q1\tdocs/keys.md\t1\nq2\tdocs/keys.md\t1\n")
    done = cairn("eval", str(data), "--json", gateway=gateway)
    assert done.returncode == 1
    assert "failed: query q1: the query is broken" in done.stderr
    report = json.loads(done.stdout)
    assert report["queries"] == {"in_data": 2, "asked": 2, "failed": 1}
    assert gateway.collections == set()


def test_a_failed_document_fails_the_whole_and_cleans_up(gateway: FakeGateway, data: Path):
    (data / "corpus.jsonl").write_text('{"_id": "bad", "text": "unreadable"}\n')
    done = cairn("eval", str(data), gateway=gateway)
    assert done.returncode == 1
    assert "document 'bad' failed: the file is damaged" in done.stderr
    assert gateway.collections == set()


def test_wrong_calls_are_refused_before_anything_is_sent(gateway: FakeGateway, data: Path):
    for arguments, message in (
        ([str(data), "--mode", "magic"], "is none of dense, keyword, hybrid, rerank, answer"),
        ([str(data / "nowhere")], "corpus.jsonl does not exist"),
        ([str(data), "--run", "/nowhere/at/all/x"], "is not a folder"),
    ):
        done = cairn("eval", *arguments, gateway=gateway)
        assert done.returncode == 1
        assert message in " ".join(done.stderr.split())
    assert gateway.requests == []


async def test_batches_are_bounded(gateway: FakeGateway):
    documents = [CorpusDocument(f"d{number}", "", "x", {}) for number in range(130)]
    seen: list[int] = []
    async with GatewayClient(Connection(gateway.url, API_KEY)) as client:
        await asyncio.wait_for(loading.load(client, "c", documents, seen.append), 30)
    sent = [body for body in gateway.bodies("/v1/documents") if body]
    assert [len(body["documents"]) for body in sent] == [64, 64, 2]
    assert seen[-1] == 130


async def test_busy_for_too_long_is_an_error(gateway: FakeGateway):
    gateway.busy_count = 5
    async with GatewayClient(Connection(gateway.url, API_KEY)) as client:
        body = {"collection": "c", "documents": []}
        with pytest.raises(CliError, match="too many documents"):
            await loading.retried(lambda: client.post("/v1/documents", body), 2)
    assert gateway.busy_count == 3


def test_bench_lists_and_refuses_unknown_names():
    listed = json.loads(cairn("bench", "--json").stdout)["benchmarks"]
    assert "embedding" in [each["name"] for each in listed]
    done = cairn("bench", "nothing")
    assert done.returncode == 1
    assert "there is no benchmark 'nothing'" in done.stderr


@pytest.mark.parametrize("wrong", ["an id with a space", "a folder"])
def test_a_run_that_cannot_be_written_is_refused_before_anything_is_asked(
    gateway: FakeGateway, data: Path, tmp_path: Path, wrong: str
):
    run = tmp_path / "out.run"
    if wrong == "a folder":
        run.mkdir()
    else:
        write(
            data / "corpus.jsonl",
            {"_id": "docs/keys.md", "text": "x"},
            {"_id": "two words", "text": "y"},
        )
    done = cairn("eval", str(data), "--mode", "keyword", "--run", str(run), gateway=gateway)
    assert done.returncode == 1
    assert "--run" in done.stderr
    assert ("is a folder" if wrong == "a folder" else "'two words'") in done.stderr
    assert not gateway.bodies("/v1/documents")
    assert not gateway.bodies("/v1/search")
