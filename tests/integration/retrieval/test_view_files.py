"""Files of views: what comes back from them is what the store holds, whatever becomes of a file."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.retrieval.collections import Tier as WantedTier
from services.retrieval.collections import TierPolicy
from services.retrieval.metrics import VIEW_FILES_DAMAGED
from services.retrieval.snapshots import builder
from services.retrieval.snapshots.builder import Job
from services.retrieval.snapshots.slot import claim
from services.retrieval.store import catalog, changes
from services.retrieval.vectors import IndexKind, RecallClass, Tier
from services.retrieval.view.keeper import Keeper, KeeperSettings
from services.retrieval.view.merging import Shape
from services.retrieval.view.view import identity_of
from tests.kit.views import DIMENSIONS, TENANT, created, everything, made, opened

ALWAYS = Shape(graph_rows=50, saved_rows=100, saved_seconds=0.1)
"""Shape of views that close, merge and save all the time."""


async def fresh(store, collection, path: Path):
    """The view as it is loaded from the store alone."""
    keeping = KeeperSettings(0.01, 1 << 30, Shape(graph_rows=10**9), folder=path)
    async with Keeper(store, keeping) as keeper:
        return everything(await keeper.current_view(collection))


def built(view, *, compacted: bool = False) -> None:
    """Does in this process what the builder's process does."""
    folder = view.folder
    name = folder.new_segment()
    if compacted:
        job = Job(
            str(folder.path), view.spec(1).to_json(), name, state=view.save(),
            identity=asdict(identity_of(view.published.collection)), least_rows=20,
        )  # fmt: skip
        builder.run(job)
        return
    run = view.run_to_merge(is_quiet=True, everything=True)
    if run is None:
        return
    merged = tuple(part.name for part in run.parts)
    builder.run(Job(str(folder.path), run.spec.to_json(), name, merged=merged))
    assert view.replace_run(run, name)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.integers(1, 30)),
        st.tuples(st.just("delete"), st.integers(0, 40), st.integers(1, 10)),
        st.tuples(
            st.sampled_from(["seal", "merge", "join", "save", "compact", "warm", "hot", "lists"])
        ),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_whatever_is_done_to_a_view_it_says_what_the_store_says(tmp_path, steps):
    folder = tmp_path / str(time.monotonic_ns())
    folder.mkdir()

    async def run() -> None:
        async with opened(folder) as (store, keeper, library):
            collection = await created(library)
            await keeper.view(collection)
            for count, step in enumerate(steps):
                view = await keeper.view(collection)
                await asyncio.sleep(0)
                await apply(store, library, view, step, count)
            view = await keeper.current_view(collection)
            said = everything(view)
            found = await store.read(lambda c: changes.positions(c, [collection.id]))
            assert view.published.snapshot.checksum == found[collection.id].checksum
            assert said == await fresh(store, collection, folder / "other")

    asyncio.run(run())
    shutil.rmtree(folder)


async def apply(store, library, view, step, count) -> None:
    kind = step[0]
    if kind == "write":
        numbers = range(step[1], step[1] + step[2])
        await library.upsert(TENANT, "docs", [made(n, count, 1 + n % 3) for n in numbers])
    elif kind == "delete":
        ids = [f"d{n:05d}" for n in range(step[1], step[1] + step[2])]
        await library.delete(TENANT, "docs", ids, None)
    elif kind == "seal":
        if view.published.snapshot.chunk_count > view.published.snapshot.memtable.first:
            view.build_segment()
    elif kind == "merge":
        built(view)
    elif kind == "save":
        view.save()
    elif kind == "join":
        view.join_small()
    elif kind == "lists":
        view.published.snapshot.rows.seal()
    else:
        tier = Tier.WARM if kind == "warm" else Tier.HOT
        if kind == "compact":
            built(view, compacted=True)
        else:
            view.save()
        loaded = store.reader.run_here(lambda c: view.load_beside(c, tier))
        if kind == "compact":
            assert loaded.snapshot.dead_chunks == 0
        store.reader.run_here(lambda c: view.switch(c, loaded, tier))


async def until(check) -> None:
    give_up = time.monotonic() + 100
    while not check():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


def files_of(folder: Path) -> list[Path]:
    """The files of the views in a folder, those of all states and segments."""
    return sorted(
        path for path in (folder / "views").rglob("*") if path.is_file() and path.name != "lock"
    )


async def written(library, count: int = 260) -> None:
    """Documents, some replaced and some deleted."""
    for first in range(0, count, 65):
        await library.upsert(
            TENANT, "docs", [made(n, 0, 1 + n % 2) for n in range(first, first + 65)]
        )
    await library.upsert(TENANT, "docs", [made(n, 1) for n in range(20)])
    await library.delete(TENANT, "docs", [f"d{n:05d}" for n in range(30, 40)], None)


async def saved(folder: Path, *, states: int = 1) -> tuple[object, list[dict]]:
    """A folder with the files of a view; returns the collection and what the view says."""
    async with opened(folder) as (_, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        view.build_segment()
        for number in range(states):
            await library.upsert(TENANT, "docs", [made(500 + number)])
            view.save()
        await library.upsert(TENANT, "docs", [made(900)])
        # The last write is read from the log when the view comes back.
        return collection, everything(await keeper.current_view(collection))


async def loaded_again(folder: Path, collection) -> tuple[object, list[dict]]:
    async with opened(folder) as (_, keeper, _):
        view = await keeper.view(collection)
        return view, everything(view)


async def test_a_view_comes_back_from_its_files_and_the_log_after_them(tmp_path):
    collection, said = await saved(tmp_path)
    before = VIEW_FILES_DAMAGED._value.get()
    view, again = await loaded_again(tmp_path, collection)
    assert again == said
    assert view.saved_seq > 0
    assert len(view.published.snapshot.segments) == 1
    assert VIEW_FILES_DAMAGED._value.get() == before


HARMS = ("flip", "cut", "remove", "empty", "grow")


@pytest.mark.parametrize("states", [1, 2])
async def test_any_damaged_file_is_found_and_an_earlier_state_or_the_store_serves(tmp_path, states):
    # Every third file, in turn by each kind of damage; all by all in the long run.
    await harm_each(
        tmp_path, states, lambda number: [HARMS[number // 3 % len(HARMS)]][number % 3 :]
    )


@pytest.mark.long
@pytest.mark.parametrize("states", [1, 2])
async def test_every_damage_to_every_file_is_found(tmp_path, states):
    await harm_each(tmp_path, states, lambda _number: HARMS)


async def harm_each(tmp_path: Path, states: int, choose) -> None:
    """Harms each file of a view in turn, and loads the view from what is left."""
    source = tmp_path / "source"
    source.mkdir()
    collection, said = await saved(source, states=states)
    found = files_of(source)
    assert len(found) > 40 * states
    for number, path in enumerate(found):
        for harm in choose(number):
            folder = tmp_path / "harmed"
            shutil.copytree(source, folder)
            harm_file(folder / path.relative_to(source), harm)
            before = VIEW_FILES_DAMAGED._value.get()
            view, again = await loaded_again(folder, collection)
            assert again == said, (path, harm)
            is_harmed = path.stat().st_size or harm in {"remove", "grow"}
            if is_harmed and is_needed(path, found):
                assert VIEW_FILES_DAMAGED._value.get() > before, (path, harm)
                # A state that is whole still serves: only what both share brings the store in.
                assert bool(view.saved_seq) == (states == 2 and "states" in path.parts)
            shutil.rmtree(folder)


def is_needed(path: Path, found: list[Path]) -> bool:
    """Whether a file is of the newest state or of a segment: those that are read."""
    states = sorted({each.parent.name for each in found if "states" in each.parts})
    return "segments" in path.parts or path.parent.name == states[-1]


def harm_file(path: Path, harm: str) -> None:
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "flip" and data:
        data[len(data) * 2 // 3] ^= 0x04
        path.write_bytes(data)
    elif harm == "cut":
        path.write_bytes(data[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "grow":
        path.write_bytes(bytes(data) + b"\0")


async def test_files_of_another_store_are_not_believed(tmp_path):
    collection, _ = await saved(tmp_path)
    for path in tmp_path.glob("a.db*"):
        path.unlink()
    async with opened(tmp_path) as (_, keeper, library):
        again = await created(library)
        assert again.id == collection.id
        await library.upsert(TENANT, "docs", [made(1)])
        view = await keeper.current_view(again)
        assert view.published.snapshot.live_documents == 1
        assert view.saved_seq == 0


async def test_a_store_that_went_back_in_time_is_believed_more_than_the_files(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        await keeper.view(collection)
        await library.upsert(TENANT, "docs", [made(n) for n in range(9)])
    for path in tmp_path.glob("a.db*"):
        shutil.copy(path, tmp_path / f"old-{path.name}")
    async with opened(tmp_path) as (_, keeper, library):
        view = await keeper.view(collection)
        await library.upsert(TENANT, "docs", [made(50)])
        view.save()
    for path in tmp_path.glob("a.db*"):
        path.unlink()
    for path in tmp_path.glob("old-*"):
        shutil.move(path, tmp_path / path.name.removeprefix("old-"))
    view, _ = await loaded_again(tmp_path, collection)
    assert view.published.snapshot.live_documents == 9
    assert view.saved_seq == 0


async def test_views_close_merge_rebuild_and_save_by_themselves_while_they_serve(tmp_path):
    async with opened(tmp_path, shape=ALWAYS) as (store, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)

        def is_merged() -> bool:
            # One graph, or two where the first was built before the last rows came: a large one
            # is not built again for a few rows.
            kinds = [part.segment.spec.kind for part in view.published.snapshot.segments]
            return set(kinds) == {IndexKind.HNSW_SQ8} and len(kinds) <= 2

        await until(is_merged)
        assert everything(view) == await fresh(store, collection, tmp_path / "other")
        await until(lambda: view.is_saved)
        for version in range(2, 30):
            await library.upsert(TENANT, "docs", [made(n, version) for n in range(100, 170)])
        await until(lambda: view.published.snapshot.dead_chunks < 400)
        view = await keeper.current_view(collection)
        assert everything(view) == await fresh(store, collection, tmp_path / "other")
        folder = view.folder
        await until(lambda: view.is_saved and not keeper.is_busy(collection.id))
    # What is left on disk is bounded: two states, and the segments they name.
    assert len(folder.names()) <= 2
    assert not list(folder.path.glob("job-*"))
    assert not list(folder.path.rglob("*.tmp"))


async def test_a_graph_is_saved_though_nothing_was_written_since_the_files_were(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [made(n, 0, 3) for n in range(400)])
        (await keeper.current_view(collection)).save()  # no segment is closed yet
    async with opened(tmp_path, shape=Shape(graph_rows=50)) as (_, keeper, _):
        view = await keeper.view(collection)
        await until(lambda: is_one_graph(view) and not keeper.is_busy(collection.id))
    view, _ = await loaded_again(tmp_path, collection)
    assert is_one_graph(view)


def is_one_graph(view) -> bool:
    parts = view.published.snapshot.segments
    return [part.segment.spec.kind for part in parts] == [IndexKind.HNSW_SQ8]


async def test_many_small_segments_are_joined_without_waiting_for_a_merge(tmp_path):
    async with opened(tmp_path) as (store, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        for first in range(0, 80, 10):
            await library.upsert(TENANT, "docs", [made(n) for n in range(first, first + 10)])
            view.build_segment()
            view.join_small()
        (joined,) = view.published.snapshot.segments
        assert (joined.first, joined.last) == (0, 80)
        assert everything(view) == await fresh(store, collection, tmp_path / "other")


async def test_a_collection_that_is_gone_leaves_no_files(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        view.save()
        assert view.folder.bytes_on_disk > 10_000
        await library.drop(TENANT, "docs")
        await until(lambda: not view.folder.path.exists())


async def test_files_of_collections_deleted_while_away_go_at_the_start(tmp_path):
    collection, _ = await saved(tmp_path)
    async with opened(tmp_path) as (store, keeper, _):
        await store.change_catalog(lambda c: catalog.drop(c, TENANT, "docs"))
        await keeper.preload(1 << 30)
        assert not keeper._folders.of(collection.id).path.exists()


async def test_processes_that_share_a_data_directory_have_folders_of_their_own(tmp_path):
    async with opened(tmp_path) as (store, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        view.save()
        kept = {path: path.read_bytes() for path in files_of(tmp_path)}
        keeping = KeeperSettings(0.01, 1 << 30, ALWAYS, folder=tmp_path / "views")
        async with Keeper(store, keeping) as second:
            other = await second.current_view(collection)
            assert other.folder.path != view.folder.path
            other.build_segment()
            other.save()
            assert everything(other) == everything(view)
        assert {path: path.read_bytes() for path in kept} == kept
    # The first folder is free again: who comes next gets its files.
    slot = claim(tmp_path / "views")
    assert slot.path == view.folder.path.parent
    assert claim(tmp_path / "views").path != slot.path


async def test_half_written_files_are_removed_at_the_start(tmp_path):
    collection, said = await saved(tmp_path)
    folder = next((tmp_path / "views").glob("replica-*")) / str(collection.id)
    for name in ("segments/segment-1.tmp", "states/9999.tmp", "segments/segment-orphan"):
        (folder / name).mkdir()
        (folder / name / "vectors.bin").write_bytes(b"half")
    (folder / "job-segment-1.json").write_text("{}")
    _, again = await loaded_again(tmp_path, collection)
    assert again == said
    left = {path.name for path in folder.rglob("*")}
    assert not left & {"segment-1.tmp", "9999.tmp", "segment-orphan", "job-segment-1.json"}


async def test_a_full_disk_stops_saving_and_nothing_else(tmp_path, monkeypatch):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)

        def full(*_arguments: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("services.retrieval.vectors.files.write_array", full)
            with pytest.raises(OSError, match="No space"):
                view.save()
        assert not list(view.folder.path.rglob("*.tmp"))
        said = everything(view)
        view.save()
        assert everything(view) == said


async def test_views_move_to_disk_when_unused_and_back_when_used(tmp_path):
    async with opened(tmp_path, hot_uses=5, shape=Shape(graph_rows=50)) as (_, keeper, library):
        collection = await created(library, tier_policy=TierPolicy(warm_after_seconds=0.5))
        view = await keeper.view(collection)
        await written(library)
        said = everything(view)
        await until(lambda: view.tier is Tier.WARM and view.published.snapshot.segments)
        assert {part.tier for part in view.published.snapshot.segments} == {Tier.WARM}
        assert everything(view) == said
        await until(lambda: keeper.ready(collection) and view.tier is Tier.HOT)
        assert everything(view) == said


async def test_views_are_dropped_when_unused_for_long_and_come_back_from_their_files(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library, tier_policy=TierPolicy(cold_after_seconds=0.5))
        view = await keeper.view(collection)
        await written(library)
        said = everything(view)
        view.save()
        await until(lambda: keeper.loaded(collection.id) is None)
        again = await keeper.view(collection)
        assert again is not view
        assert again.saved_seq
        assert everything(again) == said


@pytest.mark.parametrize("tier", [WantedTier.WARM, WantedTier.HOT])
async def test_a_collection_may_say_where_it_lives(tmp_path, tier):
    async with opened(tmp_path, warm_after_seconds=0.0) as (_, keeper, library):
        collection = await created(library, tier=tier)
        view = await keeper.view(collection)
        assert view.tier == (Tier.WARM if tier is WantedTier.WARM else Tier.HOT)
        await written(library)
        await asyncio.sleep(0.2)
        assert view.tier == (Tier.WARM if tier is WantedTier.WARM else Tier.HOT)


async def test_a_tier_that_is_set_later_is_followed_without_a_write(tmp_path):
    async with opened(tmp_path) as (store, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        await store.change_catalog(
            lambda c: catalog.update_settings(
                c, TENANT, "docs", lambda known: replace(known, tier=WantedTier.WARM)
            )
        )
        await until(lambda: view.tier is Tier.WARM)


async def test_a_view_that_differs_from_the_store_is_found_and_loaded_anew(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        said = everything(view)
        with view._lock:
            snapshot = view.published.snapshot
            snapshot.rows.retire(["d00100"])
        await library.upsert(TENANT, "docs", [made(600)])
        await until(
            lambda: keeper.loaded(collection.id).published.snapshot.rows is not snapshot.rows
        )
        await library.delete(TENANT, "docs", ["d00600"], None)
        assert everything(await keeper.current_view(collection)) == said

        def agrees():
            found = keeper.checked(collection.id)
            return found is not None and found[1] == found[2]

        await until(agrees)


async def test_searches_see_the_same_in_all_parts(tmp_path):
    async with opened(tmp_path) as (_, keeper, library):
        collection = await created(library)
        view = await keeper.view(collection)
        await written(library)
        query = np.eye(1, DIMENSIONS, dtype=np.float32)

        def best() -> list[tuple[str, int]]:
            snapshot = view.published.snapshot
            scored = []
            for part in snapshot.parts:
                found = part.segment.search(query, None, 400, RecallClass.EXACT)
                for row, score in zip(found.rows[0], found.scores[0], strict=True):
                    if row >= 0 and snapshot.live_chunk_mask[row + part.first]:
                        scored.append((round(float(score), 4), int(row) + part.first))
            rows = np.array([row for _, row in sorted(scored, reverse=True)[:50]])
            ids, _, ordinals = snapshot.identities(rows)
            return list(zip(ids, ordinals, strict=True))

        before = best()
        view.build_segment()
        assert best() == before
        await library.upsert(TENANT, "docs", [made(n, 3) for n in range(700, 760)])
        more = best()
        view.build_segment()
        built(view)
        assert len(view.published.snapshot.segments) == 1
        assert best() == more
