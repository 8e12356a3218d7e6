"""What the commands send, print and exit with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.fake_gateway import API_KEY, QUOTE, FakeGateway, answer, running_fake_gateway

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shared_gateway() -> Iterator[FakeGateway]:
    with running_fake_gateway() as gateway:
        yield gateway


@pytest.fixture
def gateway(shared_gateway: FakeGateway) -> FakeGateway:
    shared_gateway.requests.clear()
    return shared_gateway


def cairn(
    *arguments: str, gateway: FakeGateway | None = None, cwd: Path = ROOT, **environment: str
):
    known = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
    if gateway:
        known |= {"CAIRN_URL": gateway.url, "CAIRN_API_KEY": API_KEY}
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=known | {"COLUMNS": "100"} | environment,
        timeout=60,
        check=False,
    )


def test_ask_prints_the_answer_and_its_citations(gateway: FakeGateway):
    done = cairn(
        "ask",
        "How long?",
        "--collection",
        "hr",
        "--top-k",
        "3",
        "--filter",
        "a = 1",
        gateway=gateway,
    )
    assert done.returncode == 0, done.stderr
    assert f"{QUOTE} [1]" in done.stdout
    assert "[1] docs/keys.md  characters 10–30" in done.stdout
    assert f"“{QUOTE}”" in done.stdout
    expected = {"query": "How long?", "collection": "hr", "top_k": 3, "filter": "a = 1"}
    assert gateway.bodies("/v1/query") == [expected]


def test_ask_json_is_exactly_the_response(gateway: FakeGateway):
    done = cairn("ask", "How long?", "--json", gateway=gateway)
    assert json.loads(done.stdout) == answer("How long?")


def test_ask_json_stream_is_the_whole_response(gateway: FakeGateway):
    done = cairn("ask", "How long?", "--json", "--stream", gateway=gateway)
    assert json.loads(done.stdout) == answer("How long?")
    assert gateway.bodies("/v1/query")[0]["stream"] is True


def test_ask_stream_prints_the_answer_once(gateway: FakeGateway):
    done = cairn("ask", "How long?", "--stream", gateway=gateway)
    assert done.stdout.count(f"{QUOTE} [1]") == 1
    assert "docs/keys.md" in done.stdout


def test_ask_tells_refusal_and_degradation(gateway: FakeGateway):
    done = cairn("ask", "please refuse and degrade", gateway=gateway)
    assert done.returncode == 0
    assert "The documents do not say." in done.stdout
    assert "degraded: rerank_skipped" in done.stdout


def test_ask_fails_with_the_gateways_words(gateway: FakeGateway):
    done = cairn("ask", "x", "--collection", "missing", gateway=gateway)
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'cairn: there is no collection "missing"' in done.stderr
    assert "COLLECTION_NOT_FOUND" in done.stderr


def test_ask_stream_that_breaks_off_fails(gateway: FakeGateway):
    done = cairn("ask", "break", "--stream", gateway=gateway)
    assert done.returncode == 1
    assert "the engine is gone" in done.stderr


def test_search(gateway: FakeGateway):
    done = cairn("search", "keys", "--mode", "keyword", gateway=gateway)
    assert done.returncode == 0
    assert "docs/keys.md  Keys  1.200" in done.stdout
    assert gateway.bodies("/v1/search") == [{"query": "keys", "mode": "keyword"}]
    parsed = json.loads(cairn("search", "keys", "--json", gateway=gateway).stdout)
    assert parsed["passages"][0]["passage"]["chunk_id"] == "c1"


def test_wrong_key(gateway: FakeGateway):
    done = cairn("ask", "x", gateway=gateway, CAIRN_API_KEY="crn_wrong")
    assert done.returncode == 1
    assert "the API key is not valid" in done.stderr


def test_url_without_key_is_refused(gateway: FakeGateway):
    done = cairn("ask", "x", CAIRN_URL=gateway.url)
    assert done.returncode == 1
    assert "set CAIRN_API_KEY" in done.stderr
    assert gateway.requests == []


@pytest.mark.parametrize(
    "command", [["ask", "x"], ["search", "x"], ["status"], ["collections", "list"]]
)
def test_nothing_runs(tmp_path: Path, command: list[str]):
    done = cairn(*command, "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "no suite runs on" in done.stderr
    assert "`cairn up`" in done.stderr
    assert not list(tmp_path.iterdir()), "a command that only asks leaves nothing"


def test_status_json_when_nothing_runs(tmp_path: Path):
    done = cairn("status", "--json", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"is_running": False}


def test_down_when_nothing_runs(tmp_path: Path):
    done = cairn("down", "--data-dir", str(tmp_path))
    assert done.returncode == 0
    assert "No suite runs" in done.stderr


def test_gateway_is_away():
    done = cairn("ask", "x", CAIRN_URL="http://127.0.0.1:9", CAIRN_API_KEY="k")
    assert done.returncode == 1
    assert "no gateway answers at http://127.0.0.1:9" in done.stderr


def test_ingest_folder(gateway: FakeGateway, tmp_path: Path):
    (tmp_path / "docs" / ".git").mkdir(parents=True)
    (tmp_path / "docs" / "a.md").write_text("# A")
    (tmp_path / "docs" / "b.html").write_text("<p>B")
    (tmp_path / "docs" / "skip.bin").write_bytes(b"\0")
    (tmp_path / "docs" / ".git" / "c.md").write_text("hidden")
    options = [
        "--collection",
        "hr",
        "--acl",
        "group:hr",
        "--acl",
        "anna",
        "--metadata",
        "year=2026",
        "--metadata",
        "kind=a b",
    ]
    done = cairn("ingest", "docs", "docs/a.md", *options, gateway=gateway, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 files: 2 ready, 1 of other types passed over; 2 chunks" in done.stdout
    sent = {body["name"]: body for body in gateway.bodies("/v1/documents")}
    assert set(sent) == {"a.md", "b.html"}
    assert sent["a.md"]["uri"] == ["docs/a.md"]
    assert sent["a.md"]["collection"] == ["hr"]
    assert sent["a.md"]["acl"] == ["group:hr", "anna"]
    assert json.loads(sent["a.md"]["metadata"][0]) == {"year": 2026, "kind": "a b"}
    assert sent["a.md"]["content"] == b"# A"
    again = cairn("ingest", "docs", gateway=gateway, cwd=tmp_path)
    assert "2 files: 2 unchanged" in again.stdout


def test_ingest_tells_each_failure_and_exits_with_one(gateway: FakeGateway, tmp_path: Path):
    (tmp_path / "good.md").write_text("fine")
    (tmp_path / "bad.pdf").write_text("unreadable")
    (tmp_path / "empty.txt").write_text("")
    done = cairn("ingest", ".", "--json", gateway=gateway, cwd=tmp_path)
    assert done.returncode == 1
    outcomes = {outcome["uri"]: outcome for outcome in json.loads(done.stdout)["files"]}
    assert outcomes["good.md"]["state"] == "ready"
    assert outcomes["bad.pdf"]["reason"] == "parse: PARSE_FAILED: the file is damaged"
    assert outcomes["empty.txt"]["reason"] == "EMPTY_TEXT: documents[0].content: must not be empty"
    assert "failed: bad.pdf: parse: PARSE_FAILED: the file is damaged" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes and pipes: Linux")
def test_ingest_passes_by_what_it_cannot_send(gateway: FakeGateway, tmp_path: Path):
    (tmp_path / "sound.md").write_text("fine")
    (tmp_path / os.fsdecode(b"bad\xff.md")).write_text("no name for JSON")
    os.mkfifo(tmp_path / "pipe.md")
    done = cairn("ingest", ".", "--json", gateway=gateway, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    reasons = {each["uri"]: each["reason"] for each in json.loads(done.stdout)["files"]}
    assert reasons == {
        "bad?.md": "its name is not UTF-8; rename it",
        "sound.md": "",
        "pipe.md": "is not a regular file",
    }


def test_ingest_waits_for_a_busy_gateway(gateway: FakeGateway, tmp_path: Path):
    (tmp_path / "a.md").write_text("patience")
    gateway.busy_count = 2
    done = cairn("ingest", "a.md", gateway=gateway, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    attempts = gateway.bodies("/v1/documents")
    assert len(attempts) == 3
    assert len({attempt["idempotency_key"][0] for attempt in attempts}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["."], "no document in ."),
        (["f.md", "--metadata", "novalue"], "is not of the form key=value"),
    ],
)
def test_ingest_refuses(gateway: FakeGateway, tmp_path: Path, arguments: list[str], message: str):
    (tmp_path / "x.bin").touch()
    done = cairn("ingest", *arguments, gateway=gateway, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert gateway.requests == []


def test_keys(gateway: FakeGateway):
    done = cairn("keys", "create", "ci", "--role", "editor", "--principal", "ops", gateway=gateway)
    assert done.stdout == "crn_k1_secret\n", "the secret alone: a shell can catch it"
    assert gateway.bodies("/v1/keys") == [{"name": "ci", "role": "editor", "principals": ["ops"]}]
    assert "k1" in cairn("keys", "list", gateway=gateway).stdout
    assert cairn("keys", "revoke", "k1", gateway=gateway).returncode == 0
    assert gateway.requests[-1][:2] == ("DELETE", "/v1/keys/k1")


def test_collections(gateway: FakeGateway):
    done = cairn("collections", "create", "hr", "--field", "year=integer", gateway=gateway)
    assert done.returncode == 0
    assert gateway.bodies("/v1/collections") == [{"name": "hr", "fields": {"year": "integer"}}]
    assert "all-MiniLM-L6-v2" in cairn("collections", "list", gateway=gateway).stdout
    assert cairn("collections", "delete", "hr", "--yes", gateway=gateway).returncode == 0
    assert gateway.requests[-1][:2] == ("DELETE", "/v1/collections/hr")


def test_documents(gateway: FakeGateway):
    assert "docs/keys.md" in cairn("documents", "list", gateway=gateway).stdout
    assert QUOTE in cairn("documents", "get", "docs/keys.md", gateway=gateway).stdout
    missing = cairn("documents", "get", "docs/missing.md", gateway=gateway)
    assert missing.returncode == 1
    assert "there is no document" in missing.stderr


def test_documents_cannot_steer_the_terminal(gateway: FakeGateway):
    gateway.documents["evil"] = gateway.documents["docs/keys.md"] | {
        "text": "a\x1b]0;owned\x07b\x9bc"
    }
    done = cairn("documents", "get", "evil", gateway=gateway)
    assert done.stdout == "a]0;ownedbc\n"
    del gateway.documents["evil"]


def test_version():
    assert cairn("--version").stdout.strip()
