"""Folders of labelled data: what is read, what is refused and how that is told."""

import json
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.evaluation.asking import by_document, request_of
from cli.evaluation.dataset import EvalQuery, read_dataset, sample

CORPUS = [
    {"_id": "d1", "title": "T", "text": "one", "metadata": {"collection": 'a"b'}},
    {"_id": "d2", "title": "Only a title", "text": " "},
    {"_id": "d3", "title": "", "text": ""},
]
QUERIES = [
    {
        "_id": "q1",
        "text": "What?",
        "answers": ["one"],
        "collection": 'a"b',
        "history": [{"role": "user", "text": "Hm?"}, {"role": "agent", "text": "x"}, "And?"],
    },
    {"_id": "q2", "text": "Who?", "answerable": False},
]


def write(
    folder: Path, corpus=CORPUS, queries=QUERIES, qrels="query-id\tcorpus-id\tscore\nq1\td1\t2\n"
):
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    if qrels is not None:
        (folder / "qrels.tsv").write_text(qrels)
    return folder


def test_read(tmp_path: Path):
    dataset = read_dataset(write(tmp_path))
    assert [(each.document_id, each.text) for each in dataset.documents] == [
        ("d1", "one"),
        ("d2", "Only a title"),
    ]
    assert dataset.empty_ids == ("d3",)
    first, second = dataset.queries
    assert first.grades == {"d1": 2}
    assert first.has_relevant
    assert first.is_answerable is True, "who has an answer can be answered"
    assert first.filter == 'collection = "a\\"b"'
    assert first.history == (("user", "Hm?"), ("assistant", "x"), ("user", "And?"))
    assert second.is_answerable is False
    assert not second.has_relevant
    assert second.filter == ""


def test_a_collection_that_documents_do_not_have_is_no_filter(tmp_path: Path):
    corpus = [{"_id": "d1", "text": "one"}]
    dataset = read_dataset(write(tmp_path, corpus=corpus))
    assert dataset.queries[0].filter == ""


def test_judgements_may_be_absent(tmp_path: Path):
    dataset = read_dataset(write(tmp_path, qrels=None))
    assert not any(query.has_relevant for query in dataset.queries)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"corpus": ["{"]}, "corpus.jsonl, line 1: not JSON"),
        ({"corpus": ["[]"]}, "corpus.jsonl, line 1: must be an object"),
        ({"corpus": [CORPUS[0], CORPUS[0]]}, "line 2: _id: 'd1' is there twice"),
        ({"corpus": [{"_id": 1.5}]}, "line 1: _id: must be a string"),
        ({"corpus": [{"_id": True}]}, "line 1: _id: must be a string"),
        ({"corpus": [{"_id": " "}]}, "line 1: _id: must not be empty"),
        ({"corpus": [{"_id": "x", "text": "t", "metadata": []}]}, "metadata: must be an object"),
        ({"corpus": [CORPUS[2]]}, "has no documents with text"),
        ({"queries": [{"_id": "q1", "text": ""}]}, "line 1: text: must not be empty"),
        ({"queries": [{"_id": "q1", "text": "x", "answers": "y"}]}, "must be a list of strings"),
        ({"queries": [{"_id": "q1", "text": "x", "answerable": "no"}]}, "must be true or false"),
        ({"queries": [{"_id": "q1", "text": "x", "history": [1]}]}, "history: each turn must be"),
        ({"qrels": "q1\td1\n"}, "qrels.tsv, line 1: must be query-id, corpus-id"),
        ({"qrels": "q1\td1\thigh\n"}, "qrels.tsv, line 1: must be query-id, corpus-id"),
        ({"qrels": "q1\td1\t0.5\n"}, "qrels.tsv, line 1: must be query-id, corpus-id"),
        ({"qrels": "q9\td1\t1\n"}, "judges unknown query 'q9'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, parts, message: str):
    with pytest.raises(CliError, match=message.replace("[", r"\[")):
        read_dataset(write(tmp_path, **parts))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CliError, match=r"corpus\.jsonl does not exist"):
        read_dataset(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CliError, match=r"file.corpus\.jsonl does not exist"):
        read_dataset(tmp_path / "file")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "qrels.tsv").write_bytes("q1\td\u00e9\t1\n".encode("latin-1"))
    with pytest.raises(CliError, match=r"qrels\.tsv is not UTF-8"):
        read_dataset(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl").mkdir()
    with pytest.raises(CliError, match=r"corpus\.jsonl cannot be read: Is a directory"):
        read_dataset(tmp_path)


def test_halves_of_characters_become_the_sign_for_what_is_unknown(tmp_path: Path):
    corpus = ['{"_id": "d1", "text": "a \\ud800 b \\uD83C\\uDFD4", "metadata": {"k": "\\udc00"}}']
    dataset = read_dataset(write(tmp_path, corpus))
    assert dataset.documents[0].text == "a \ufffd b \U0001f3d4"
    assert dataset.documents[0].metadata == {"k": "\ufffd"}


def test_files_of_other_systems_are_read(tmp_path: Path):
    corpus = [{"_id": 7, "text": "line\u2028and\u0085line"}]
    turns = [{"role": "user", "content": "Hm?"}]
    write(tmp_path, corpus, [{"_id": 12, "text": "What?", "history": turns}], "12\t7\t1.0\n")
    for each in tmp_path.iterdir():
        lines = each.read_text("utf-8").replace("\n", "\r\n")
        each.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    dataset = read_dataset(tmp_path)
    assert [(each.document_id, each.text) for each in dataset.documents] == [
        ("7", "line\u2028and\u0085line")
    ]
    assert dataset.queries[0].query_id == "12"
    assert dataset.queries[0].grades == {"7": 1}
    assert dataset.queries[0].history == (("user", "Hm?"),)


def test_a_sample_is_spread_evenly():
    queries = [EvalQuery(f"q{number}", "x") for number in range(10)]
    assert [query.query_id for query in sample(queries, 4)] == ["q0", "q2", "q5", "q7"]
    assert sample(queries, 0) == queries
    assert sample(queries, 99) == queries


def test_requests():
    query = EvalQuery("q", "What?", history=(("user", "Hm?"),), filter="a = 1")
    path, body = request_of(query, "c", "rerank")
    assert path == "/v1/search"
    assert body["mode"] == "hybrid"
    assert body["rerank"] is True
    assert body["max_per_document"] == 1
    assert body["filter"] == "a = 1"
    assert request_of(query, "c", "keyword")[1]["mode"] == "keyword"
    path, body = request_of(query, "c", "answer")
    assert path == "/v1/query"
    assert body["history"] == [{"speaker": "user", "text": "Hm?"}]
    assert body["bypass_cache"] is True, "a cached answer measures the cache"


def test_a_document_ranks_by_its_best_passage():
    found = [("a", 3.0), ("b", 2.0), ("a", 1.0), ("c", 0.5)]
    passages = [
        {"passage": {"document_id": name}, "scores": {"final": score}} for name, score in found
    ]
    assert by_document(passages) == (("a", 3.0), ("b", 2.0), ("c", 0.5))
