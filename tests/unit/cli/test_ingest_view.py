"""What `cairn ingest` shows, and which files it follows."""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console

from cli.documents_to_ingest import _FOLDER_SUFFIXES, find_files
from cli.ingest_view import IngestView, summary
from cli.ingestion import Outcome
from cli.watched_files import WatchedFiles
from services.ingestion.parsers.formats import BY_SUFFIX


def console(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=100)


def text_of(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def test_each_stage_is_counted_and_failures_show_at_once():
    shown = console(is_terminal=False)
    with IngestView(shown, 5) as view:
        view.on_stage("a", "uploading")
        view.on_stage("b", "parsed")
        view.on_stage("c", "parsed")
        assert view.counts()["waiting"] == 2
        assert (view.counts()["uploading"], view.counts()["parsed"]) == (1, 2)
        view.on_outcome(Outcome("b", "failed", "parsed: is [red]broken\x1b[31m"))
        view.on_outcome(Outcome("c", "ready", document={"chunk_count": 2, "warnings": ["odd"]}))
        view.on_outcome(Outcome("d", "unchanged"))
        assert view.line().startswith("3/5: 1 waiting, 1 uploading, 1 ready, 1 unchanged, 1 failed")
        assert view.rate() > 0
    written = text_of(shown)
    assert "failed: b: parsed: is [red]broken[31m" in written
    assert "c: odd" in written


def test_a_terminal_gets_a_table_that_leaves_no_trace():
    shown = console(is_terminal=True)
    with IngestView(shown, 2) as view:
        view.on_stage("a", "chunked")
        assert view._live is not None
        view._live.refresh()
        view.on_outcome(Outcome("a", "ready"))
    written = text_of(shown)
    assert "chunked" in written
    assert "documents/s" in written


def test_the_summary_says_what_was_skipped():
    outcomes = [Outcome("a", "unchanged"), Outcome("b", "ready", document={"chunk_count": 3})]
    assert summary(outcomes, 1) == (
        "2 files: 1 ready, 1 unchanged and skipped, 1 of other types passed over; 3 chunks"
    )


def test_files_are_taken_when_nobody_writes_them_any_more(tmp_path: Path):
    (tmp_path / "a.md").write_text("one")
    watched = WatchedFiles([tmp_path])
    watched.take(find_files([tmp_path])[0])
    assert not watched.look().changed
    (tmp_path / "a.md").write_text("one, and more")
    (tmp_path / "b.md").write_text("two")
    assert not watched.look().changed, "they may still be growing"
    assert sorted(each.path.name for each in watched.look().changed) == ["a.md", "b.md"]
    assert not watched.look().changed
    (tmp_path / "a.md").rename(tmp_path / "c.md")
    first, second = watched.look(), watched.look()
    assert [each.path.name for each in first.removed] == ["a.md"]
    assert [each.path.name for each in second.changed] == ["c.md"]
    os.utime(tmp_path / "c.md", (1, 1))
    watched.look()
    assert [each.path.name for each in watched.look().changed] == ["c.md"]


def test_a_folder_that_goes_away_is_watched_on(tmp_path: Path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a.md").write_text("one")
    watched = WatchedFiles([folder])
    watched.take(find_files([folder])[0])
    (folder / "a.md").unlink()
    folder.rmdir()
    assert [each.path.name for each in watched.look().removed] == ["a.md"]


def test_folders_give_what_ingestion_reads():
    assert {each.removeprefix(".") for each in _FOLDER_SUFFIXES} <= set(BY_SUFFIX)
    missing = {"md", "html", "pdf", "docx", "xlsx", "eml", "epub", "csv"}
    assert {f".{each}" for each in missing} <= _FOLDER_SUFFIXES
