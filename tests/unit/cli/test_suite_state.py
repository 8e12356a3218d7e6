"""What a suite writes down, and who may hold its folder."""

import json
import stat
from pathlib import Path

import pytest

from cli.suite_state import ProcessState, StateFolder, SuiteRunningError, SuiteState


def state(phase: str = "ready") -> SuiteState:
    process = ProcessState(
        name="embedding",
        service="embedding",
        state="ready",
        pid=1,
        start_ticks="1",
        started_at="2026-01-01T00:00:00+00:00",
        address="127.0.0.1:1",
        http_address="",
        metrics_address="",
        restart_count=0,
        log="x.log",
    )
    return SuiteState(
        version="1",
        phase=phase,
        supervisor_pid=1,
        supervisor_start_ticks="1",
        started_at="2026-01-01T00:00:00+00:00",
        data_dir="d",
        http_url="http://127.0.0.1:1",
        grpc_target="127.0.0.1:2",
        admin_key_file="k",
        valkey_url="redis://:p@127.0.0.1:3/0",
        processes=[process],
    )


def test_what_is_written_is_read(tmp_path: Path):
    folder = StateFolder(tmp_path)
    assert folder.read() is None
    folder.write(state())
    assert folder.read() == state()
    folder.write(state("stopping"))
    assert folder.read() == state("stopping")
    folder.clear()
    assert folder.read() is None
    assert list((tmp_path / "run").iterdir()) == []


def test_only_the_owner_may_read_it(tmp_path: Path):
    StateFolder(tmp_path).write(state())
    assert stat.S_IMODE((tmp_path / "run" / "suite.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"processes": [{}]}', '{"processes": 3}']
)
def test_damaged_file_counts_as_none(tmp_path: Path, content: str):
    StateFolder(tmp_path).write(state())
    (tmp_path / "run" / "suite.json").write_text(content)
    assert StateFolder(tmp_path).read() is None


def test_file_of_another_version_counts_as_none(tmp_path: Path):
    StateFolder(tmp_path).write(state())
    path = tmp_path / "run" / "suite.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"something_new": 1}))
    assert StateFolder(tmp_path).read() is None


def test_one_holder_at_a_time(tmp_path: Path):
    folder = StateFolder(tmp_path)
    assert not folder.is_locked()
    with folder.lock():
        assert folder.is_locked()
        with pytest.raises(SuiteRunningError):
            StateFolder(tmp_path).lock()
    assert not folder.is_locked()
