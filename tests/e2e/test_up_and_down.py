"""`cairn up`, `status` and `down` with the real services."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from cli.suite_state import StateFolder
from tests.kit.leftovers import assert_nothing_left, ports_of, processes_of
from tests.kit.suite import Suite, run_cairn, running_suite

pytestmark = pytest.mark.timeout(240)

SERVICES = ["valkey", "embedding", "retrieval", "generation", "ingestion", "gateway"]


def report(data_dir: Path) -> dict:
    return json.loads(run_cairn("status", "--json", data_dir=data_dir).stdout)


def test_status_tells_all_of_a_running_suite(suite: Suite):
    done = suite.cairn("status", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [process["name"] for process in told["processes"]] == SERVICES
    assert {process["health"] for process in told["processes"]} == {"SERVING"}
    assert all(process["rss_bytes"] > 1e6 and process["pid"] for process in told["processes"])
    assert told["rss_bytes"] <= 2e9
    assert told["version"]
    table = suite.cairn("status").stdout
    assert all(service in table for service in SERVICES)
    assert suite.http_url in table
    assert suite.data_dir.stat().st_mode & 0o077 == 0, "nobody else may read the documents"


def test_the_doctor_finds_a_running_suite_well(suite: Suite):
    done = suite.cairn("doctor", "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    by_check = {each["check"]: each for each in found}
    # Other tests leave documents in this suite that were meant to fail.
    odd = [
        each
        for each in found
        if each["level"] != "ok" and "failed for good" not in each["text"]
        if each["check"] in SERVICES
    ]
    assert not odd
    assert by_check.keys() >= set(SERVICES)
    assert "current" in by_check["retrieval: database"]["text"]
    assert "is ready" in by_check["gateway"]["text"] or "serves" in by_check["gateway"]["text"]


def test_second_start_on_the_same_folder_is_refused(suite: Suite):
    for options in (["up"], ["up", "--detach"]):
        done = suite.cairn(*options)
        assert done.returncode == 1
        assert "a suite runs on" in done.stderr
        assert "`cairn down`" in done.stderr
    assert suite.cairn("status").returncode == 0


def test_down_leaves_nothing_and_the_data_stays(tmp_path: Path):
    with running_suite(tmp_path) as suite:
        ports, key = ports_of(suite.state()), suite.api_key
        known = processes_of(tmp_path)
        assert len(known) >= 8
        began = time.monotonic()
        done = suite.cairn("down")
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 20
        assert_nothing_left(tmp_path, ports, seconds=1, known=known)
        assert suite.cairn("status").returncode == 1
    with running_suite(tmp_path) as again:
        assert again.api_key == key
        crash_and_return(again)
        kill_the_supervisor(again)


def crash_and_return(suite: Suite) -> None:
    """A killed service is started again on its port, and the suite answers."""
    before = suite.state().of_service("generation")[0]
    os.kill(before.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        after = next(p for p in report(suite.data_dir)["processes"] if p["name"] == "generation")
        if after["restart_count"] == 1 and after["health"] == "SERVING":
            break
        assert time.monotonic() < deadline, after
        time.sleep(0.2)
    assert after["pid"] != before.pid
    assert after["address"] == before.address


def kill_the_supervisor(suite: Suite) -> None:
    """Nothing outlives it, and the folder can be used again."""
    state, known = suite.state(), processes_of(suite.data_dir)
    os.kill(state.supervisor_pid, signal.SIGKILL)
    assert_nothing_left(suite.data_dir, ports_of(state), known=known)
    done = suite.cairn("down")
    assert done.returncode == 0
    assert StateFolder(suite.data_dir).read() is None
