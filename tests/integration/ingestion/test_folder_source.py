"""A folder as a source: what is new, changed, moved and removed, by its rules."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from tests.kit.ingestion_service import run_ingestion
from tests.kit.sources import FolderSource


@pytest.fixture
async def folder(tmp_path):
    root = tmp_path / "documents"
    root.mkdir()
    settings = {"source_folders": (str(tmp_path),)}
    async with run_ingestion(
        tmp_path / "jobs.sqlite", settings=settings, has_schedule=True
    ) as suite:
        yield FolderSource(suite, root)


async def test_new_changed_moved_and_removed_files_are_followed(folder):
    folder.write("guide.md", "# Guide\n\nGranite is hard.")
    folder.write("deep/er/notes.txt", "Basalt is dark.")
    folder.write("gone.md", "Sand is soft.")
    first = await folder.put()
    assert (first.report.submitted_count, first.report.failed_count) == (3, 0)
    assert await folder.texts() == {
        "docs/guide.md": "Granite",
        "docs/deep/er/notes.txt": "Basalt",
        "docs/gone.md": "Sand",
    }

    unchanged = await folder.sync()
    assert unchanged.report.unchanged_count == 3
    assert unchanged.report.submitted_count == 0

    folder.write("guide.md", "# Guide\n\nGneiss is older.")
    (folder.root / "gone.md").unlink()
    (folder.root / "deep/er/notes.txt").rename(folder.root / "moved.txt")
    changed = await folder.sync()
    assert (changed.report.submitted_count, changed.report.removed_count) == (2, 2)
    assert changed.report.deleted_count == 2
    assert await folder.texts() == {"docs/guide.md": "Gneiss", "docs/moved.txt": "Basalt"}


async def test_a_touched_file_with_the_same_bytes_is_not_submitted(folder):
    folder.write("a.md", "Granite is hard.")
    await folder.put()
    os.utime(folder.root / "a.md", (1, 1))
    status = await folder.sync()
    assert (status.report.unchanged_count, status.report.submitted_count) == (1, 0)


async def test_the_first_rule_that_matches_places_an_item(folder):
    folder.write("hr/pay.md", "Pay is confidential.")
    folder.write("hr/menu.md", "Soup on Monday.")
    folder.write("drafts/idea.md", "An idea.")
    folder.write("open.md", "For all.")
    keyword = lambda text: metadata_pb2.MetadataValue(keyword=text)  # noqa: E731
    status = await folder.put(
        acl=["group:staff"],
        metadata={"area": keyword("general")},
        owner="user:ann",
        rules=[
            pb.SourceRule(pattern="drafts/**", is_excluded=True),
            pb.SourceRule(pattern="menu.md", acl=["everyone"]),
            pb.SourceRule(
                pattern="hr/**",
                acl=["group:hr"],
                metadata={"area": keyword("people")},
                collection="people",
                priority=pb.PRIORITY_HIGH,
            ),
        ],
    )
    assert (status.report.submitted_count, status.report.excluded_count) == (3, 1)
    await folder.settle()
    retrieval = folder.suite.retrieval
    menu = retrieval.document("docs/hr/menu.md")
    pay = retrieval.document("docs/hr/pay.md", "people")
    assert list(menu.acl) == ["everyone"]
    assert list(pay.acl) == ["group:hr"]
    assert retrieval.document("docs/hr/pay.md") is None
    assert retrieval.document("docs/drafts/idea.md") is None
    assert {name: value.keyword for name, value in pay.metadata.items()} == {
        "area": "people",
        "owner": "user:ann",
        "source": "docs",
    }
    assert list(retrieval.document("docs/open.md").acl) == ["group:staff"]


async def test_a_changed_rule_moves_documents_and_drops_what_it_leaves_out(folder):
    folder.write("a.md", "Granite is hard.")
    folder.write("b.md", "Basalt is dark.")
    await folder.put()
    await folder.settle()
    status = await folder.put(
        rules=[
            pb.SourceRule(pattern="a.md", collection="other", acl=["group:x"]),
            pb.SourceRule(pattern="b.md", is_excluded=True),
        ]
    )
    assert (status.report.submitted_count, status.report.removed_count) == (1, 1)
    await folder.settle()
    retrieval = folder.suite.retrieval
    assert list(retrieval.document("docs/a.md", "other").acl) == ["group:x"]
    assert retrieval.document("docs/a.md") is None
    assert retrieval.document("docs/b.md") is None


async def test_removed_files_keep_their_documents_where_the_rule_says_so(folder):
    folder.write("keep/a.md", "Granite is hard.")
    folder.write("b.md", "Basalt is dark.")
    folder.write("c.md", "Sand is soft.")
    await folder.put(rules=[pb.SourceRule(pattern="keep/**", on_removal=pb.REMOVAL_POLICY_KEEP)])
    await folder.settle()
    for name in ("keep/a.md", "b.md"):
        (folder.root / name).unlink()
    status = await folder.sync()
    assert (status.report.removed_count, status.report.deleted_count) == (2, 1)
    assert folder.suite.retrieval.document("docs/keep/a.md") is not None
    assert folder.suite.retrieval.document("docs/b.md") is None
    assert status.item_count == 1


async def test_links_special_files_and_leftovers_do_no_harm(folder, tmp_path):
    secret = tmp_path / "secret.md"
    secret.write_text("Not for anybody.")
    folder.write("a.md", "Granite is hard.")
    folder.write(".git/config.md", "Hidden.")
    folder.write("~$a.docx", "A lock file.")
    folder.write(".data/map.md", "Mounted by a link.")
    (folder.root / "out.md").symlink_to(secret)
    (folder.root / "outside").symlink_to(tmp_path)
    (folder.root / "round").symlink_to(folder.root)
    (folder.root / "dangling.md").symlink_to("nowhere.md")
    (folder.root / "twice.md").symlink_to("a.md")
    (folder.root / "map.md").symlink_to(".data/map.md")
    os.mkfifo(folder.root / "pipe.md")
    status = await folder.put()
    assert (status.report.submitted_count, status.report.failed_count) == (2, 0)
    assert set(await folder.texts()) == {"docs/a.md", "docs/map.md"}


async def test_items_that_cannot_be_taken_in_are_listed_with_their_reasons(folder):
    folder.write("good.md", "Granite is hard.")
    folder.write("empty.md", "")
    (folder.root / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 50)
    (folder.root / "large.txt").write_bytes(b"x" * ((1 << 20) + 1))
    os.close(os.open(os.fsencode(folder.root) + b"/\xff.md", os.O_CREAT | os.O_WRONLY))
    status = await folder.put()
    assert (status.report.submitted_count, status.report.failed_count) == (1, 4)
    failed = await folder.items(failed_only=True)
    assert {each.path: each.failure.reason for each in failed} == {
        "empty.md": "EMPTY_TEXT",
        "image.png": "UNSUPPORTED_CONTENT_TYPE",
        "large.txt": "TOO_LARGE",
        "\ufffd.md": "INVALID_TEXT",
    }
    assert status.failed_count == 4
    again = await folder.sync()  # what cannot be mended is not tried again and again
    assert (again.report.failed_count, again.report.submitted_count) == (4, 0)
    folder.write("empty.md", "Not empty any more.")
    mended = await folder.sync()
    assert (mended.report.failed_count, mended.report.submitted_count) == (3, 1)


async def test_a_document_that_fails_later_shows_with_its_item(folder):
    (folder.root / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing of a PDF")
    await folder.put()
    await folder.settle()
    (item,) = await folder.items(failed_only=True)
    assert (item.path, item.failure.reason) == ("broken.pdf", "PARSE_FAILED")
    assert (await folder.status()).failed_count == 1


async def test_an_empty_or_missing_folder_deletes_nothing(folder):
    folder.write("a.md", "Granite is hard.")
    await folder.put()
    await folder.settle()
    (folder.root / "a.md").unlink()
    empty = await folder.sync()
    assert empty.report.failure.reason == "SOURCE_EMPTY"
    assert folder.suite.retrieval.document("docs/a.md") is not None
    folder.root.rmdir()
    missing = await folder.sync(allow_empty=True)
    assert missing.report.failure.reason == "SOURCE_UNREADABLE"
    assert folder.suite.retrieval.document("docs/a.md") is not None
    folder.root.mkdir()
    believed = await folder.sync(allow_empty=True)
    assert not believed.report.HasField("failure")
    assert believed.report.deleted_count == 1
    assert folder.suite.retrieval.document("docs/a.md") is None


async def test_an_event_names_the_items_to_look_at(folder):
    folder.write("a.md", "Granite is hard.")
    folder.write("b.md", "Basalt is dark.")
    await folder.put()
    await folder.settle()
    folder.write("a.md", "Gneiss is older.")
    folder.write("c.md", "Slate splits.")
    (folder.root / "b.md").unlink()
    status = await folder.sync("a.md", "b.md", "../../etc/passwd", "/etc/passwd")
    assert (status.report.submitted_count, status.report.deleted_count) == (1, 1)
    assert set(await folder.texts()) == {"docs/a.md"}
    assert status.item_count == 1


async def test_deleting_a_source_takes_its_documents_along_or_leaves_them(folder):
    folder.write("a.md", "Granite is hard.")
    await folder.put()
    await folder.settle()
    suite = folder.suite
    await suite.stub.DeleteSource(
        pb.DeleteSourceRequest(scope=suite.scope, name="docs", keep_documents=True)
    )
    assert suite.retrieval.document("docs/a.md") is not None
    await folder.put()
    gone = await suite.stub.DeleteSource(pb.DeleteSourceRequest(scope=suite.scope, name="docs"))
    assert gone.deleted_count == 1
    assert suite.retrieval.document("docs/a.md") is None


async def test_unreadable_folders_are_not_taken_for_empty_ones(folder, monkeypatch):
    folder.write("in/a.md", "Granite is hard.")
    folder.write("b.md", "Basalt is dark.")
    await folder.put()
    closed = folder.root / "in"
    scan = os.scandir

    def refuse(path):
        if os.fspath(path) == os.fspath(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scan(path)

    closed.chmod(0)
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr(os, "scandir", refuse)
    status = await folder.sync()
    closed.chmod(stat.S_IRWXU)
    monkeypatch.undo()
    assert status.report.failure.reason == "SOURCE_UNREADABLE"
    assert status.report.deleted_count == 0


async def test_an_interval_follows_a_folder(folder):
    folder.write("a.md", "Granite is hard.")
    await folder.put(interval_seconds=1)
    number = (await folder.status()).report.sync_number
    folder.write("b.md", "Basalt is dark.")
    status = await folder.wait_for(number + 2)
    assert status.item_count == 2
