"""Logs: rotated at each start, bounded while they grow."""

from pathlib import Path

import cli.log_files
from cli.log_files import LogFolder


def write(logs: LogFolder, text: str) -> None:
    with logs.open("one") as log:
        log.write(text.encode())


def test_three_former_runs_are_kept(tmp_path: Path):
    logs = LogFolder(tmp_path)
    for run in range(6):
        logs.rotate("one")
        write(logs, f"run {run}\n")
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {
        "one.log": "run 5\n",
        "one.log.1": "run 4\n",
        "one.log.2": "run 3\n",
        "one.log.3": "run 2\n",
    }


def test_grown_log_is_cut_while_the_process_writes_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(cli.log_files, "_MAX_BYTES", 10)
    logs = LogFolder(tmp_path)
    with logs.open("one") as log:
        log.write(b"short\n")
        log.flush()
        logs.bound("one")
        assert logs.path("one").read_text() == "short\n"
        log.write(b"now it is long\n")
        log.flush()
        logs.bound("one")
        log.write(b"next\n")
        log.flush()
    assert logs.path("one").read_text() == "next\n"
    assert (tmp_path / "one.log.1").read_text() == "short\nnow it is long\n"


def test_tail(tmp_path: Path):
    logs = LogFolder(tmp_path)
    assert logs.tail("one", 3) == []
    write(logs, "a\nb\nc\nd")
    assert logs.tail("one", 3) == ["b", "c", "d"]
