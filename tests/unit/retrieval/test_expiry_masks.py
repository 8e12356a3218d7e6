"""Documents with an end are left out from it on, and rows are looked at only when one ends."""

import numpy as np

from services.retrieval.store.changes import DocumentState
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.view import masks
from services.retrieval.view.rows import Rows, Snapshot

WHO = ("everyone",)


def state(name: str, end: int | None, version: int = 1) -> DocumentState:
    chunks = [ChunkEntry(f"c{n}", 0, 0, (), 0) for n in range(2)]
    vectors = np.ones(8, "<f4").tobytes()
    return DocumentState(name, version, "", "", "", {}, WHO, end, chunks, vectors)


def snapshot_of(*ends: int | None) -> Snapshot:
    rows = Rows(4, "none")
    rows.append([state(f"d{n}", end) for n, end in enumerate(ends)])
    return rows.publish(1, 1, ())


def readable(snapshot: Snapshot, now: int) -> list[int]:
    return np.flatnonzero(masks.readable(snapshot, WHO, now)).tolist()


def allowed(snapshot: Snapshot, now: int) -> list[int]:
    return masks.allowed(snapshot, WHO, None, {}, now).ids.tolist()


def test_each_leaves_at_its_end_whichever_way_the_clock_goes():
    snapshot = snapshot_of(None, 20, 10, 20)
    for now in (5, 9, 10, 15, 19, 20, 99, 15, 5):
        wanted = [n for n, end in enumerate((None, 20, 10, 20)) if end is None or end > now]
        assert readable(snapshot, now) == wanted
        assert allowed(snapshot, now) == [2 * n + each for n in wanted for each in (0, 1)]
        later = [end for end in (20, 10) if end > now]
        assert masks.next_end(snapshot, now) == min(later, default=None)


def test_replaced_documents_have_no_end_any_more():
    rows = Rows(4, "none")
    rows.append([state("d0", 10), state("d1", 30)])
    rows.append([state("d0", None, 2)])
    snapshot = rows.publish(2, 2, ())
    assert readable(snapshot, 20) == [1, 2]
    assert masks.next_end(snapshot, 5) == 30
    assert masks.next_end(snapshot_of(None, None), 5) is None


def test_between_two_ends_nothing_is_made_anew():
    snapshot = snapshot_of(None, 20, 10)
    assert masks.allowed(snapshot, WHO, None, {}, 12) is masks.allowed(snapshot, WHO, None, {}, 19)
    assert masks.allowed(snapshot, WHO, None, {}, 19) is not masks.allowed(
        snapshot, WHO, None, {}, 20
    )
