"""Which files are meant, and what they are called."""

from pathlib import Path

import pytest

from cli.documents_to_ingest import find_files, parse_metadata
from cli.errors import CliError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "a.md",
        "sub/b.HTML",
        "sub/deep/c.txt",
        "d.pdf",
        "e.bin",
        ".hidden.md",
        ".git/f.md",
    ):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def uris(*paths: str) -> list[str]:
    return [file.uri for file in find_files([Path(path) for path in paths])[0]]


def test_folder_gives_its_documents_below_it(folder: Path):
    assert uris("docs") == ["docs/a.md", "docs/d.pdf", "docs/sub/b.HTML", "docs/sub/deep/c.txt"]
    assert find_files([Path("docs")])[1] == 1


def test_named_file_is_sent_whatever_it_is(folder: Path):
    assert uris("docs/e.bin", "docs/.hidden.md") == ["docs/e.bin", "docs/.hidden.md"]


def test_each_file_once(folder: Path):
    assert uris("docs/a.md", "docs/../docs/a.md", str(folder / "docs" / "a.md")) == ["docs/a.md"]


def test_file_elsewhere_has_its_whole_path(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder / "docs" / "sub")
    assert uris("../a.md") == [(folder / "docs" / "a.md").as_posix()]


def test_missing_path(folder: Path):
    with pytest.raises(CliError, match="nowhere does not exist"):
        find_files([Path("nowhere")])


def test_content_types(folder: Path):
    types = {file.uri: file.content_type for file in find_files([Path("docs")])[0]}
    assert types == {
        "docs/a.md": "text/markdown",
        "docs/d.pdf": "application/pdf",
        "docs/sub/b.HTML": "text/html",
        "docs/sub/deep/c.txt": "text/plain",
    }


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("k=text", "text"),
        ("k=2026", 2026),
        ("k=1.5", 1.5),
        ("k=true", True),
        ('k=["a", "b"]', ["a", "b"]),
        ('k={"timestamp": "2026-01-01T00:00:00Z"}', {"timestamp": "2026-01-01T00:00:00Z"}),
        ("k=null", "null"),
        ('k="quoted"', '"quoted"'),
        ("k=a=b", "a=b"),
        ("k=", ""),
    ],
)
def test_metadata_keeps_its_type(entry: str, value):
    assert parse_metadata([entry]) == {"k": value}


@pytest.mark.parametrize("entry", ["k", "=v", ""])
def test_bad_metadata(entry: str):
    with pytest.raises(CliError, match="key=value"):
        parse_metadata([entry])
