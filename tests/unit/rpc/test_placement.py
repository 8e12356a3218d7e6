"""Equal keys meet at one replica, and no replica gets more than its share."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict

import pytest

from services.rpc.placement import Placed, Placement, placement_key

REPLICAS = ["a", "b", "c"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(*replicas: str, **options: float) -> tuple[Placement, Clock]:
    clock = Clock()
    placement = Placement(clock=clock, **options)  # type: ignore[arg-type]
    placement.set_replicas(replicas or REPLICAS)
    return placement, clock


def placed(placement: Placement, key: str, tokens: float = 100, usable: object = None) -> Placed:
    found = placement.place(placement_key(key), tokens, usable or REPLICAS)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_key_stays_where_it_was() -> None:
    placement, _ = made()
    first = placed(placement, "x")
    first.end()
    again = [placed(placement, "x") for _ in range(5)]

    assert {each.replica for each in again} == {first.replica}
    assert all(each.was_remembered for each in again)
    assert not first.was_remembered


def test_callers_that_share_nothing_agree() -> None:
    one, two = made()[0], made()[0]
    keys = [f"key {number}" for number in range(50)]

    assert all(placed(one, key, 1).replica == placed(two, key, 1).replica for key in keys)


def test_without_a_key_the_least_loaded_takes_it() -> None:
    placement, _ = made()
    counts = Counter(
        found.replica
        for _ in range(30)
        if (found := placement.place(None, 10, REPLICAS)) is not None
    )

    assert counts == {"a": 10, "b": 10, "c": 10}


def test_a_key_that_all_ask_for_spreads() -> None:
    placement, _ = made(slack_tokens=300)
    counts = Counter(placed(placement, "hot").replica for _ in range(90))

    assert max(counts.values()) <= 1.3 * 30


def test_load_is_forgotten_with_time_but_not_what_is_on_its_way() -> None:
    placement, clock = made("a", "b", slack_tokens=0)
    running = placed(placement, "x", 1000, ["a", "b"])
    clock.now += 3600
    others = {placed(placement, f"{n}", 10, ["a", "b"]).replica for n in range(20)}

    assert others == {"a", "b"} - {running.replica}


def test_only_usable_replicas_are_chosen_and_a_lost_ones_keys_move_once() -> None:
    placement, _ = made()
    keys = [f"{number}" for number in range(30)]
    before = {key: placed(placement, key, 1).replica for key in keys}
    usable = ["b", "c"]
    after = {key: placed(placement, key, 1, usable).replica for key in keys}

    assert set(after.values()) == {"b", "c"}
    assert all(after[key] == before[key] for key in keys if before[key] != "a")
    assert placement.place(b"x" * 16, 1, []) is None


def test_a_new_replica_does_not_get_every_request_until_it_is_level() -> None:
    placement, _ = made("a", "b")
    for number in range(40):
        placed(placement, f"{number}", 100, ["a", "b"]).end()
    placement.set_replicas(REPLICAS)
    counts = Counter(placed(placement, f"new {number}").replica for number in range(30))

    assert counts["c"] < 25


def test_what_is_remembered_is_bounded() -> None:
    placement, _ = made(remembered_keys=100)
    for number in range(1_000):
        placed(placement, f"{number}").end()

    assert len(placement._places) == 100


def test_ending_twice_frees_once() -> None:
    placement, _ = made("a")
    first, _second = placed(placement, "x", 100, ["a"]), placed(placement, "y", 100, ["a"])
    first.end()
    first.end()

    assert placement._loads["a"].running_tokens == 100


def test_keys_tell_texts_apart() -> None:
    assert placement_key("ab", "c") != placement_key("a", "bc")
    assert placement_key("a") == placement_key("a")


def test_a_stale_key_leaves_a_replica_that_has_many_more_keys_than_the_others() -> None:
    placement, _ = made("a", "b", slack_tokens=1e9)
    both = ["a", "b"]
    for number in range(10):  # while b is away all keys go to a
        placed(placement, f"{number}", 1, ["a"]).end()
    stays = placed(placement, "9", 1, both)
    leaves = placed(placement, "0", 1, both)

    assert (stays.replica, leaves.replica) == ("a", "b")
    assert not leaves.was_remembered
    assert placed(placement, "0", 1, both).replica == "b"


def test_keys_are_counted_where_they_went_last() -> None:
    placement, clock = made(remembered_keys=50)
    source = random.Random(1)
    for number in range(600):
        clock.now += 1
        usable = source.sample(REPLICAS, 2) if number % 7 == 0 else REPLICAS
        placed(placement, f"{source.randrange(80)}", 100, usable).end()
        if number == 300:
            placement.set_replicas(["b", "c", "d"])
            placement.set_replicas(REPLICAS)
    counted = Counter(place.replicas[0] for place in placement._places.values())

    assert {name: load.keys for name, load in placement._loads.items()} == dict(counted)


@pytest.mark.parametrize("seed", range(5))
def test_a_replica_that_is_back_is_used_well(seed: int) -> None:
    source = random.Random(seed)
    weights = [1 / (1 + number) for number in range(20)]
    contexts = source.choices(range(20), weights, k=200)
    by_turns = _misses([number % 2 for number in range(200)], contexts)[0]
    placement, clock = made("a", "b")
    _ask(placement, clock, contexts, ["b"])
    chosen = _ask(placement, clock, contexts, ["a", "b"])
    again = _ask(placement, clock, contexts, ["a", "b"])

    assert _misses(chosen, contexts)[0] <= 0.9 * by_turns
    assert _misses(again, contexts)[0] <= 0.65 * by_turns
    assert _misses(chosen, contexts)[1] <= 1.3


@pytest.mark.parametrize("seed", range(3))
def test_caches_are_used_better_than_by_turns_and_the_load_stays_even(seed: int) -> None:
    contexts = random.Random(seed).choices(
        range(20), [1 / (1 + number) for number in range(20)], k=200
    )
    by_turns, _ = _misses([number % 2 for number in range(200)], contexts)
    chosen = _ask(*made("a", "b"), contexts, ["a", "b"])
    by_key, load = _misses(chosen, contexts)

    assert by_key <= 0.65 * by_turns
    assert load <= 1.3


def _ask(placement: Placement, clock: Clock, contexts: list[int], usable: list[str]) -> list[int]:
    """Asks for contexts, four at once; returns for each whether it went to replica b."""
    running: list[Placed] = []
    chosen: list[int] = []
    for context in contexts:
        clock.now += 0.05
        if len(running) == 4:
            running.pop(0).end()
        running.append(placed(placement, str(context), 815, usable))
        chosen.append(int(running[-1].replica == "b"))
    for each in running:
        each.end()
    return chosen


def _misses(chosen: list[int], contexts: list[int]) -> tuple[int, float]:
    """Contexts that the chosen replica does not have, each with room for ten; most to mean load."""
    caches: list[OrderedDict[int, None]] = [OrderedDict(), OrderedDict()]
    misses = 0
    for replica, context in zip(chosen, contexts, strict=True):
        cache = caches[replica]
        misses += context not in cache
        cache[context] = None
        cache.move_to_end(context)
        if len(cache) > 10:
            cache.popitem(last=False)
    return misses, max(Counter(chosen).values()) / (len(chosen) / 2)
