"""The queue picks by lane and age, and fills a batch with neighbours in length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.embedding.batch_queue import BatchQueue, Item
from services.embedding.options import Lane


def item(name, tokens=1, lane=Lane.BULK, at=0.0, group="m", tenant="", weight=1.0):
    return Item(group, tokens, lane, name, at, tenant, weight)


def queue(budget=10, ageing=5.0, **more):
    return BatchQueue(budget_tokens=budget, ageing_seconds=ageing, **more)


def names(items):
    return [each.payload for each in items]


def test_interactive_items_go_before_older_bulk_items():
    q = queue()
    q.put(item("bulk"))
    q.put(item("query", lane=Lane.INTERACTIVE))
    assert names(q.take(1.0)) == ["query"]
    assert names(q.take(1.0)) == ["bulk"]
    assert q.take(1.0) == []


def test_aged_bulk_work_gets_every_other_batch_and_no_more():
    q = queue(budget=1)
    for number in range(3):
        q.put(item(f"b{number}", at=0.0))
        q.put(item(f"q{number}", lane=Lane.INTERACTIVE, at=9.0))
    order = [names(q.take(10.0))[0] for _ in range(6)]
    assert order == ["b0", "q0", "b1", "q1", "b2", "q2"]


def test_young_bulk_work_waits():
    q = queue(budget=1)
    q.put(item("b", at=8.0))
    q.put(item("q0", lane=Lane.INTERACTIVE, at=9.0))
    q.put(item("q1", lane=Lane.INTERACTIVE, at=9.0))
    assert [names(q.take(10.0))[0] for _ in range(3)] == ["q0", "q1", "b"]


def test_without_lanes_arrival_decides():
    q = queue(budget=1, has_lanes=False)
    q.put(item("b"))
    q.put(item("q", lane=Lane.INTERACTIVE))
    assert names(q.take(0.0)) == ["b"]
    assert q.tokens(Lane.BULK) == 1


def test_a_batch_holds_the_oldest_item_and_its_neighbours_in_length():
    q = queue(budget=30)
    for name, tokens in [("first", 8), ("long", 20), ("near", 9), ("tiny", 1), ("close", 7)]:
        q.put(item(name, tokens))
    assert sorted(names(q.take(0.0))) == ["close", "first", "near", "tiny"]
    assert names(q.take(0.0)) == ["long"]


def test_an_item_over_the_budget_goes_alone():
    q = queue(budget=10)
    q.put(item("huge", 50))
    q.put(item("small", 1))
    assert names(q.take(0.0)) == ["huge"]


def test_what_waits_is_divided_among_those_who_take():
    q = queue(budget=1000)
    for number in range(6):
        q.put(item(f"i{number}", tokens=100))
    assert [len(q.take(0.0, takers=takers)) for takers in (2, 1)] == [3, 3]


def test_crumbs_are_not_divided_and_no_share_exceeds_the_budget():
    q = queue(budget=150)
    for number in range(4):
        q.put(item(f"i{number}", tokens=30))
    assert len(q.take(0.0, takers=4)) == 4
    for number in range(9):
        q.put(item(f"j{number}", tokens=100))
    assert len(q.take(0.0, takers=2)) == 1


def test_groups_never_share_a_batch():
    q = queue()
    q.put(item("a", group="a"))
    q.put(item("b", group="b"))
    assert [names(q.take(0.0)), names(q.take(0.0))] == [["a"], ["b"]]


def test_only_interactive_leaves_bulk_work():
    q = queue()
    q.put(item("b"))
    assert q.take(100.0, only_interactive=True) == []
    assert q.tokens(Lane.BULK) == 1


def test_promotion_moves_a_waiting_item_and_its_tokens():
    q = queue(budget=1)
    q.put(item("old"))
    wanted = item("wanted", 3)
    q.put(wanted)
    q.promote(wanted)
    assert (q.tokens(Lane.INTERACTIVE), q.tokens(Lane.BULK)) == (3, 1)
    assert names(q.take(0.0)) == ["wanted"]
    q.promote(wanted)  # it runs: nothing to move
    assert q.tokens(Lane.INTERACTIVE) == 0


def test_the_oldest_of_a_lane_is_told_until_it_leaves():
    q = queue(budget=1)
    assert q.oldest(Lane.BULK) is None
    for name, at, group in (("a", 3.0, "m"), ("b", 5.0, "n"), ("c", 7.0, "m")):
        q.put(item(name, at=at, group=group))
    assert (q.oldest(Lane.BULK), q.oldest(Lane.INTERACTIVE)) == (3.0, None)
    q.take(8.0)
    assert q.oldest(Lane.BULK) == 5.0


def test_tenants_take_turns_whatever_they_have_waiting():
    q = queue(budget=1)
    for number in range(50):
        q.put(item(f"noisy {number}", tenant="noisy"))
    for number in range(3):
        q.put(item(f"quiet {number}", tenant="quiet"))
    order = [names(q.take(1.0))[0] for _ in range(7)]
    assert [name.split()[0] for name in order].count("quiet") == 3
    assert order[-1].startswith("noisy")


def test_weights_are_shares():
    q = queue(budget=1)
    for number in range(60):
        q.put(item(f"one {number}", tenant="one"))
        q.put(item(f"three {number}", tenant="three", weight=3.0))
    order = [names(q.take(1.0))[0].split()[0] for _ in range(40)]
    assert 29 <= order.count("three") <= 31


def test_idleness_saves_nothing_up():
    q = queue(budget=1)
    for number in range(100):
        q.put(item(f"steady {number}", tenant="steady"))
    q.put(item("late 0", tenant="late"))
    for _ in range(50):
        q.take(1.0)
    for number in range(1, 50):
        q.put(item(f"late {number}", tenant="late"))
    order = [names(q.take(1.0))[0].split()[0] for _ in range(20)]
    assert 9 <= order.count("late") <= 11


def test_a_batch_is_filled_with_neighbours_of_any_tenant():
    q = queue(budget=10)
    q.put(item("a", 2, tenant="one"))
    q.put(item("b", 2, tenant="two"))
    assert sorted(names(q.take(1.0))) == ["a", "b"]


def test_removed_items_never_run():
    q = queue()
    gone, kept = item("gone", 4), item("kept", 4)
    q.put(gone)
    q.put(kept)
    assert q.remove(gone)
    assert not q.remove(gone)
    assert names(q.take(0.0)) == ["kept"]
    assert not q.remove(kept)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(Lane), st.sampled_from("ab"))),
    st.integers(1, 60),
)
def test_everything_runs_once_and_batches_keep_the_budget(waiting, budget):
    q = queue(budget=budget, ageing=0.0)
    for number, (tokens, lane, group) in enumerate(waiting):
        q.put(item(number, tokens, lane, at=0.0, group=group))
    seen = []
    while batch := q.take(1.0):
        assert len(batch) == 1 or sum(each.tokens for each in batch) <= budget
        assert len({(each.lane, each.group) for each in batch}) == 1
        seen += names(batch)
    assert sorted(seen) == list(range(len(waiting)))
    assert all(q.tokens(lane) == 0 for lane in Lane)
