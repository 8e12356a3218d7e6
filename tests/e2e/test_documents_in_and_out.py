"""Documents in and out of the running suite: followed folders, bad input, deletes by condition."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.kit.suite import ROOT, Suite, environment

MIB = 1 << 20


def wait_for(check: Any, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come")


@pytest.mark.timeout(300)
def test_watch_follows_files_until_it_is_stopped(suite: Suite, tmp_path: Path) -> None:
    collection = f"watched-{uuid.uuid4().hex[:8]}"
    folder, lines = tmp_path / "notes", tmp_path / "lines"
    folder.mkdir()
    (folder / "a.md").write_text("# Granite\n\nGranite is an igneous rock.")
    command = [sys.executable, "-m", "cli", "ingest", str(folder), "--watch", "--json"]
    with lines.open("w") as out:
        process = subprocess.Popen(
            [*command, "--delete-removed", "--collection", collection, "--metadata", "year=2026"],
            cwd=ROOT,
            env=environment(suite.data_dir),
            stdout=out,
            stderr=subprocess.PIPE,
        )

        def outcomes(count: int) -> list[dict[str, Any]] | None:
            found = [json.loads(line) for line in lines.read_text().splitlines()]
            return found if len(found) >= count else None

        try:
            assert [each["state"] for each in wait_for(lambda: outcomes(1))] == ["ready"]
            (folder / "a.md").write_text("# Gneiss\n\nGneiss is a metamorphic rock.")
            (folder / "b.md").write_text("# Basalt\n\nBasalt is dark.")
            assert {each["state"] for each in wait_for(lambda: outcomes(3))} == {"ready"}
            (folder / "b.md").unlink()
            assert wait_for(lambda: outcomes(4))[3]["state"] == "deleted"
            (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
            failed = wait_for(lambda: outcomes(5))[4]
            assert failed["state"] == "failed"
            assert failed["reason"]
        finally:
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
    assert process.returncode == 1, complaints  # one of them failed
    assert b"Traceback" not in complaints
    with suite.client() as client:
        page = client.get("/v1/documents", params={"collection": collection}).json()
        ready = [each for each in page["documents"] if each["state"] == "ready"]
        assert [Path(each["uri"]).name for each in ready] == ["a.md"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads have no priority there")
def test_passes_of_the_model_step_back_for_everything_else(suite: Suite) -> None:
    embedding = suite.state().of_service("embedding")[0].pid
    threads = [thread.id for thread in psutil.Process(embedding).threads()]
    loop = os.getpriority(os.PRIO_PROCESS, embedding)
    behind = [each for each in threads if os.getpriority(os.PRIO_PROCESS, each) == loop + 5]
    assert 1 <= len(behind) < len(threads)
    for name in ("ingestion", "retrieval", "gateway"):
        assert os.getpriority(os.PRIO_PROCESS, suite.state().of_service(name)[0].pid) == loop


def _acl_collection(client: Any) -> str:
    name = f"acl-{uuid.uuid4().hex[:8]}"
    assert client.post("/v1/collections", json={"name": name, "is_acl_required": True}).is_success
    return name


def test_bad_input_is_refused_precisely_over_rest(suite: Suite) -> None:
    with suite.client() as client:
        protected = _acl_collection(client)
        key = uuid.uuid4().hex
        good = {"text": "Granite is hard.", "document_id": key, "idempotency_key": key}
        assert client.post("/v1/documents", json={"documents": [good]}).status_code == 202
        large = {"content": b"x" * (64 * MIB), "headers": {"Content-Type": "multipart/form-data; boundary=x"}}  # fmt: skip
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"files": {"file": ("a.txt", b"")}}, 400, "EMPTY_TEXT"),
            ({"files": {"file": ("a.png", b"\x89PNG\r\n\x1a\n")}}, 400, "UNSUPPORTED_CONTENT_TYPE"),
            ({"files": {"file": ("a.html", b"%PDF-1.4", "text/html")}}, 400, "UNSUPPORTED_CONTENT_TYPE"),
            (large, 413, "TOO_LARGE"),
            ({"files": {"file": ("a.txt", b"x")}, "data": {"metadata": "{"}}, 400, "INVALID_FIELD"),
            ({"files": {"file": ("a.txt", b"x")}, "data": {"collection": "Not One"}}, 400, "INVALID_FIELD"),
            ({"files": {"file": ("a.txt", b"x")}, "data": {"collection": protected}}, 409, "ACL_REQUIRED"),
            ({"json": {"documents": [{**good, "text": "Other."}]}}, 409, "IDEMPOTENCY_CONFLICT"),
        ]  # fmt: skip
        for options, status, reason in cases:
            response = client.post("/v1/documents", **options)
            assert (response.status_code, response.json()["reason"]) == (status, reason), reason
            assert response.json()["detail"]
        listed = client.get("/v1/documents", params={"collection": protected}).json()
        assert listed["documents"] == []
        refused = client.post("/v1/documents/fetch", json={"urls": ["http://localhost:1080/"]})
        assert refused.status_code == 400
        assert "inside the network" in refused.text
        folder = client.put("/v1/sources/etc", json={"kind": "folder", "location": "/etc"})
        assert (folder.status_code, folder.json()["reason"]) == (409, "NOT_SUPPORTED")


def test_bad_input_is_told_at_the_terminal(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "good.md").write_text(f"Granite {uuid.uuid4()} is hard.")
    done = suite.cairn("ingest", str(tmp_path), "--url", "http://127.0.0.1:9999/x")
    assert done.returncode == 1
    assert "failed: " in done.stderr
    assert "empty" in done.stderr
    assert "inside the network" in done.stderr
    assert "1 ready" in done.stdout
    assert "2 failed" in done.stdout
    again = suite.cairn("ingest", str(tmp_path / "good.md"))
    assert again.returncode == 0
    assert "1 unchanged and skipped" in again.stdout


def test_owners_documents_are_gone_everywhere(suite: Suite) -> None:
    owner, word = f"user:{uuid.uuid4().hex[:8]}", f"xylo{uuid.uuid4().hex[:8]}"
    documents = [
        {"document_id": f"{word}-{n}", "text": f"{word} number {n}", "metadata": {"owner": owner}}
        for n in range(3)
    ]
    with suite.client() as client:
        assert client.post("/v1/documents", json={"documents": documents}).status_code == 202

        def is_ready() -> bool:
            states = {
                client.get(f"/v1/documents/{each['document_id']}").json()["document"]["state"]
                for each in documents
            }
            return states == {"ready"}

        wait_for(is_ready)
        query = {"query": word, "mode": "keyword"}
        wait_for(lambda: len(client.post("/v1/search", json=query).json()["passages"]) == 3)
        deleted = client.delete("/v1/documents", params={"owner": owner}).json()
        assert deleted == {
            "deleted_count": 3,
            "stopped_job_count": 0,
            "remaining_count": 0,
            "is_verified": True,
        }
        assert client.post("/v1/search", json=query).json()["passages"] == []
        gone = client.get(f"/v1/documents/{documents[0]['document_id']}")
        assert gone.status_code == 404
