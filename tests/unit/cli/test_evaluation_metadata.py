"""Metadata of labelled data: what is loaded, and what is left out so that the rest can be."""

import math

from cli.evaluation.dataset import CorpusDocument
from cli.evaluation.metadata import storable


def loaded(*given: dict) -> tuple[list[dict], set[str]]:
    documents = [CorpusDocument(str(n), "", "x", each) for n, each in enumerate(given)]
    kept, left_out = storable(documents)
    assert [(each.document_id, each.text) for each in kept] == [
        (each.document_id, each.text) for each in documents
    ]
    return [dict(each.metadata) for each in kept], set(left_out)


def test_what_can_be_stored_stays_as_it_is():
    plain = {"collection": "a", "n": 1, "f": 1.5, "b": True, "t": ["x"], "größe": "ß", "e": []}
    assert loaded(plain, {"n": 2}) == ([plain, {"n": 2}], set())


def test_values_that_cannot_be_stored_are_left_out_and_named():
    odd = {
        "nested": {"a": 1},
        "numbers": [1, 2],
        "uri": "https://x",
        "document_id": "y",
        "": "no name",
        "line\nbreak": "x",
        "n" * 129: "x",
        "long": "x" * 8_193,
        "tags": ["x"] * 1_001,
        "large": 2**63,
        "nan": math.nan,
    }
    kept, left_out = loaded(odd | {"fine": "x", "nothing": None})
    assert kept == [{"fine": "x"}]
    assert left_out == set(odd)


def test_a_field_has_one_type():
    kept, left_out = loaded({"year": 1999, "v": 1}, {"year": "unknown", "v": 2.5}, {"v": True})
    assert kept == [{}, {}, {}]
    assert left_out == {"year", "v"}
    kept, left_out = loaded({"v": 1}, {"v": 2.5}, {"v": {}})
    assert kept == [{"v": 1.0}, {"v": 2.5}, {}]
    assert isinstance(kept[0]["v"], float)
    assert left_out == {"v"}


def test_a_collection_has_so_many_fields():
    kept, left_out = loaded({f"f{n}": n for n in range(130)})
    assert len(kept[0]) == 128
    assert left_out == {"f128", "f129"}
