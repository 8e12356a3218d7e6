"""Questions through the program, against the real services."""

import json
from pathlib import Path

import pytest

from tests.kit.suite import Suite, ingest_text, run_cairn

pytestmark = pytest.mark.timeout(180)

FIELDS = {
    "answer", "citations", "passages", "refused", "grounded", "degraded", "timings_ms", "usage",
    "cost", "trace_id", "cached",
}  # fmt: skip
CITATION_FIELDS = {"marker", "document_id", "chunk_id", "start", "end", "text", "uri"}

# Characters outside the basic plane, combining marks and a script without spaces before the facts.
LIGHTHOUSE = (
    "# Der Leuchtturm 🗼🌊 e\u0301\n\n灯塔守护着海岸。 "
    "The lighthouse of Vardholm was finished in 1887. Its lamp burns 40 litres of oil a night.\n\n"
    "The keeper of the Vardholm lighthouse is called Ingrid Sole.\n"
)


@pytest.fixture(scope="module")
def ready(suite: Suite) -> Suite:
    ingest_text(
        suite, lighthouse=LIGHTHOUSE, bread="# Bread\n\nSourdough rests for twelve hours.\n"
    )
    return suite


def test_json_has_every_field(ready: Suite):
    done = ready.cairn("ask", "Who is the keeper of the Vardholm lighthouse?", "--json")
    assert done.returncode == 0, done.stderr
    response = json.loads(done.stdout)
    assert set(response) >= FIELDS
    assert not response["refused"]
    assert "Ingrid Sole" in response["answer"]
    assert response["citations"]
    assert all(set(citation) >= CITATION_FIELDS for citation in response["citations"])
    assert len(response["trace_id"]) == 32
    assert response["timings_ms"]["total"] > 0


@pytest.mark.parametrize(
    "question",
    [
        "Who is the keeper of the Vardholm lighthouse?",
        "When was the lighthouse of Vardholm finished?",
        "How long does sourdough rest?",
    ],
)
def test_each_citation_is_a_slice_of_the_document(ready: Suite, question: str):
    response = ready.query(question)
    assert response["citations"]
    for citation in response["citations"]:
        done = ready.cairn("documents", "get", citation["document_id"], "--json")
        text = json.loads(done.stdout)["document"]["text"]
        assert citation["text"] == text[citation["start"] : citation["end"]]
        assert citation["text"]
    for found in response["passages"]:
        passage = found["passage"]
        done = ready.cairn("documents", "get", passage["document_id"], "--json")
        text = json.loads(done.stdout)["document"]["text"]
        assert passage["text"] == text[passage["start"] : passage["end"]]


def test_streamed_answer_is_the_same(ready: Suite):
    question = "When was the lighthouse of Vardholm finished?"
    streamed = json.loads(ready.cairn("ask", question, "--json", "--stream").stdout)
    assert "1887" in streamed["answer"]
    assert streamed["answer"] == ready.query(question)["answer"]


def test_search_finds_by_words_and_by_meaning(ready: Suite):
    for mode in ("keyword", "dense", "hybrid"):
        done = ready.cairn("search", "keeper of the lighthouse", "--mode", mode, "--json")
        assert done.returncode == 0, done.stderr
        best = json.loads(done.stdout)["passages"][0]["passage"]
        assert "Ingrid" in best["text"], mode


def test_errors_are_precise(ready: Suite):
    for arguments, reason in (
        (["ask", "x", "--collection", "nothing-here"], "COLLECTION_NOT_FOUND"),
        (["ask", "x", "--filter", "year >="], "INVALID_FILTER"),
        (["ask", " "], "EMPTY_TEXT"),
        (["documents", "get", "no/such/document"], "DOCUMENT_NOT_FOUND"),
    ):
        done = ready.cairn(*arguments)
        assert done.returncode == 1, arguments
        assert reason in done.stderr, done.stderr


def test_damaged_file_is_told_with_its_reason_and_can_be_retried(ready: Suite, tmp_path: Path):
    (tmp_path / "good.txt").write_text("The ferry to Vardholm leaves at noon.")
    (tmp_path / "damaged.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<</Type/Catalog")
    done = ready.cairn("ingest", str(tmp_path), "--json")
    assert done.returncode == 1
    outcomes = {Path(one["uri"]).name: one for one in json.loads(done.stdout)["files"]}
    assert outcomes["good.txt"]["state"] == "ready"
    assert outcomes["damaged.pdf"]["state"] == "failed"
    assert outcomes["damaged.pdf"]["reason"]
    assert "damaged.pdf" in done.stderr
    document_id = outcomes["damaged.pdf"]["document"]["document_id"]
    listed = json.loads(ready.cairn("documents", "list", "--state", "dead_letter", "--json").stdout)
    assert document_id in [document["document_id"] for document in listed["documents"]]
    assert ready.cairn("documents", "retry", document_id).returncode == 0
    assert ready.cairn("documents", "delete", document_id).returncode == 0
    assert ready.cairn("documents", "get", document_id).returncode == 1


def test_key_of_a_viewer_reads_what_its_principals_may(ready: Suite, tmp_path: Path):
    secret = tmp_path / "secret.md"
    secret.write_text("# Vault\n\nThe vault code of Vardholm is written on the third bell.\n")
    assert ready.cairn("ingest", str(secret), "--acl", "group:wardens").returncode == 0
    question = "Where is the vault code of Vardholm written?"
    for principals, may_read in ((["--principal", "group:wardens"], True), ([], False)):
        done = ready.cairn("keys", "create", "reader", *principals)
        assert done.returncode == 0, done.stderr
        environment = {"CAIRN_URL": ready.http_url, "CAIRN_API_KEY": done.stdout.strip()}
        asked = run_cairn("ask", question, "--json", data_dir=tmp_path, **environment)
        assert asked.returncode == 0, asked.stderr
        assert ("third bell" in asked.stdout) is may_read
        refused = run_cairn("ingest", str(secret), data_dir=tmp_path, **environment)
        assert refused.returncode == 1, "a viewer may not write"


def test_documents_of_an_unknown_collection_are_not_found(suite: Suite):
    with suite.client() as client:
        unknown = client.get("/v1/documents", params={"collection": "no-such"})
        default = client.get("/v1/documents")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")
    assert default.status_code == 200
