"""Passages found lately stay at hand when a view is made anew without its dead rows."""

import numpy as np

from services.retrieval.found_passages import FoundPassages
from services.retrieval.queries import Passage
from services.retrieval.store.changes import DocumentState
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.view.rows import Rows


def state(name: str, version: int = 1) -> DocumentState:
    chunks = [ChunkEntry(f"c{n}", 0, 0, (), 0) for n in range(2)]
    vectors = np.ones(8, "<f4").tobytes()
    return DocumentState(name, version, "", "", "", {}, ("everyone",), None, chunks, vectors)


def passage(name: str, version: int, ordinal: int) -> Passage:
    return Passage(name, version, f"c{ordinal}", ordinal, 0, 0, "text", "", "", (), 0, {})


def test_passages_go_over_to_the_rows_that_hold_their_version():
    old, new = Rows(4, "none"), Rows(4, "none")
    old.append([state("a"), state("b"), state("c")])
    old.append([state("b", 2)])  # rows 6 and 7
    for name, version in (("c", 1), ("b", 3)):
        new.append([state(name, version)])
    new.seal()
    new.append([state("a")])
    found = FoundPassages(1 << 20)
    kept = {0: passage("a", 1, 0), 5: passage("c", 1, 1), 7: passage("b", 2, 1)}
    found.keep(old, kept.items(), with_metadata=True)
    found.carry_over(old, new)
    assert found.of(new, with_metadata=True) == {4: kept[0], 1: kept[5]}
    assert not found.of(new, with_metadata=False)
    found.carry_over(old, Rows(4, "none"))  # a view that became empty has nothing to take over
