"""What both backends of retrieval promise: the local one, and Milvus (Milvus Lite in a file)."""

from __future__ import annotations

import asyncio
import time
from random import Random

import numpy as np
import pytest

from services.filters.ast import (
    And,
    ContainsAll,
    Equals,
    Exists,
    Filter,
    Not,
    OneOf,
    Or,
    Prefix,
    Range,
)
from services.filters.parser import parse
from services.filters.values import FieldType, Timestamp
from services.retrieval.collections import Alias, CollectionSettings, IndexType
from services.retrieval.documents import Chunk, Document
from services.retrieval.history import History
from services.retrieval.likeness import Likeness
from services.retrieval.milvus.matching import Candidate, matches
from services.retrieval.queries import FusionMethod, Query, RecallClass, SearchMode, SearchOptions
from services.retrieval.search import Reach
from services.rpc.errors import InvalidArgumentError, NotFoundError, ServiceError
from tests.kit.milvus import local_backend, milvus_backend
from tests.kit.milvus import milvus_lite as milvus_lite  # noqa: PLC0414 - a fixture

WIDTH = 8
EVERYONE = Reach("acme", ("everyone",))
TOKEN_CODES = b"\1\2\3"


def direction(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def doc(document_id: str, *texts: str, seed: int = 0, acl=("everyone",), expires=None, **metadata):
    """A document with a chunk for each text; its vectors are directions seed, seed + 1, …"""
    chunks, at = [], 0
    for number, text in enumerate(texts):
        vector = direction(seed + number).astype("<f4").tobytes()
        chunks.append(Chunk(f"c{number}", at, at + len(text), vector, token_codes=TOKEN_CODES))
        at += len(text) + 1
    return Document(
        document_id,
        uri=f"file:///{document_id}",
        text="\n".join(texts),
        acl=acl,
        chunks=tuple(chunks),
        metadata=metadata,
        expires_micros=expires,
    )


@pytest.fixture(params=["local", "milvus"])
async def backend(request, tmp_path):
    url = f"sqlite:///{tmp_path / 'truth.db'}"
    if request.param == "local":
        opened = local_backend(url)
    else:
        opened = milvus_backend(url, request.getfixturevalue("milvus_lite"))
    async with opened as found:
        await found.library.create("acme", "docs", CollectionSettings(WIDTH))
        yield found


async def put(backend, *documents, name="docs", expected=0):
    return await backend.library.upsert("acme", name, documents, expected)


async def find(backend, text="", seed=None, *, by=EVERYONE, name="docs", mode=None, **options):
    """Searches; returns the answer."""
    query = Query(((text, 1.0),) if text else (), None if seed is None else direction(seed))
    if mode is None:
        mode = SearchMode.HYBRID if text and seed is not None else SearchMode.DENSE
        mode = SearchMode.KEYWORD if seed is None else mode
    answers = await backend.searcher.search(
        by, name, [query], SearchOptions(mode, **options), lambda _: None
    )
    return answers[0]


def ids(answer) -> list[str]:
    return [passage.document_id for passage in answer.passages]


async def count(backend, text=None, by=EVERYONE):
    return await backend.library.count(by, "docs", parse(text) if text else None)


async def test_what_was_acknowledged_is_found_by_vector_by_words_and_by_both(backend):
    await put(
        backend,
        doc("cats", "Cats were running home", seed=1),
        doc("dogs", "Dogs sleep all day", seed=2),
        doc("fish", "Fish swim", seed=3),
    )
    near = await find(backend, seed=2)
    assert ids(near)[0] == "dogs"
    assert near.hits.final[0] == pytest.approx(1, abs=1e-5)
    assert near.passages[0].text == "Dogs sleep all day"
    by_words = await find(backend, "a cat runs")
    assert ids(by_words) == ["cats"]  # stems match
    assert by_words.hits.final[0] > 0
    both = await find(backend, "fish", seed=1, top_k=3)
    assert ids(both)[0] == "cats"
    assert both.hits.keyword is not None
    fused = await find(backend, "fish", seed=1, fusion=FusionMethod.RRF, dense_weight=0.9)
    assert ids(fused)[0] == "fish"
    assert fused.hits.fused is not None


async def test_scores_are_exact_products_best_first(backend):
    await put(backend, *(doc(f"d{n}", "text", seed=n) for n in range(30)))
    query = direction(100)
    answer = await find(backend, seed=100, top_k=30)
    expected = sorted((float(direction(n) @ query) for n in range(30)), reverse=True)
    assert answer.hits.final == pytest.approx(expected, abs=1e-5)
    exact = await find(backend, seed=100, top_k=5, recall=RecallClass.EXACT)
    assert ids(exact) == ids(answer)[:5]


async def test_a_batch_answers_each_query(backend):
    await put(backend, *(doc(f"d{n}", f"word{n}", seed=n) for n in range(5)))
    queries = [Query(((f"word{n}", 1.0),), direction(n)) for n in (3, 1)]
    options = SearchOptions(SearchMode.HYBRID, top_k=1)
    answers = await backend.searcher.search(EVERYONE, "docs", queries, options, lambda _: None)
    assert [ids(answer) for answer in answers] == [["d3"], ["d1"]]


async def test_several_texts_are_mixed_by_their_weights(backend):
    await put(backend, doc("old", "alpha", seed=1), doc("new", "omega", seed=2))
    query = Query((("alpha", 0.2), ("omega", 0.8)))
    options = SearchOptions(SearchMode.KEYWORD)
    answers = await backend.searcher.search(EVERYONE, "docs", [query], options, lambda _: None)
    assert ids(answers[0]) == ["new", "old"]


async def test_nobody_finds_what_he_may_not_read(backend):
    await put(
        backend,
        doc("open", "plans", seed=1),
        doc("secret", "plans", seed=2, acl=("group:board",)),
    )
    await backend.library.create("rival", "docs", CollectionSettings(WIDTH))
    board = Reach("acme", ("everyone", "group:board"))
    for mode in SearchMode:
        assert ids(await find(backend, "plans", seed=2, mode=mode)) == ["open"]
        assert set(ids(await find(backend, "plans", seed=2, mode=mode, by=board))) == {
            "open",
            "secret",
        }
        rival = Reach("rival", ("everyone", "group:board"))
        assert ids(await find(backend, "plans", seed=2, mode=mode, by=rival)) == []
        assert ids(await find(backend, "plans", seed=2, mode=mode, by=Reach("acme", ()))) == []
    assert await count(backend) == (1, 1)
    assert await count(backend, by=board) == (2, 2)
    # Taken away: gone with the next search.
    await put(backend, doc("secret", "plans", seed=2, acl=("group:other",)))
    assert ids(await find(backend, "plans", seed=2, by=board)) == ["open"]
    assert await count(backend, by=board) == (1, 1)


async def test_a_new_version_replaces_the_old_one_whole(backend):
    await put(backend, doc("d", "old one", "old two", "old three", seed=1))
    await put(backend, doc("d", "new", seed=9))
    for mode in SearchMode:
        answer = await find(backend, "old new", seed=1, mode=mode, top_k=10)
        assert [passage.text for passage in answer.passages] == ["new"]
        assert {passage.document_version for passage in answer.passages} == {2}
    assert await count(backend) == (1, 1)


async def test_versions_are_never_mixed_while_they_are_written(backend):
    """Each version holds its number in all its chunks: an answer with two numbers is a mix."""

    async def write():
        for version in range(1, 9):
            await put(backend, doc("d", *[f"version{version} part{n}" for n in range(6)], seed=1))

    async def read():
        seen = set()
        while not writing.done():
            answer = await find(backend, seed=1, top_k=20)
            numbers = {passage.text.split()[0] for passage in answer.passages}
            assert len(numbers) <= 1, numbers
            documents, chunks = await count(backend)
            assert (documents, chunks) in {(0, 0), (1, 6)}
            seen |= numbers
        return seen

    writing = asyncio.create_task(write())
    await read()
    await writing
    answer = await find(backend, seed=1, top_k=20)
    assert {passage.document_version for passage in answer.passages} == {8}


async def test_deleted_by_id_and_by_filter(backend):
    await put(
        backend,
        *(doc(f"d{n}", "text", seed=n, kind="even" if n % 2 == 0 else "odd") for n in range(6)),
    )
    assert (await backend.library.delete("acme", "docs", ["d1", "nobody"], None)).count == 1
    assert (await backend.library.delete("acme", "docs", [], parse('kind = "even"'))).count == 3
    assert set(ids(await find(backend, seed=0))) == {"d3", "d5"}
    assert await count(backend) == (2, 2)
    await put(backend, doc("d1", "back again", seed=1))
    assert ids(await find(backend, "back again")) == ["d1"]


FILTERS = [
    'kind = "policy"',
    'kind != "policy"',
    'NOT (kind = "policy" OR n < 3)',
    "n >= 2 AND n < 4",
    "n = 3",
    "n IN (1, 3)",
    "n > 2.5",
    "rate <= 0.25",
    "rate = 0",
    "open = true",
    "open != true",
    "day >= 2026-01-02",
    "day IS NULL",
    "day IS NOT NULL",
    'tags CONTAINS ANY ("red", "blue")',
    'tags CONTAINS ALL ("red", "blue")',
    'tags = "red"',
    'NOT tags = "red"',
    'kind STARTS WITH "pol"',
    'kind STARTS WITH "%"',
    'kind STARTS WITH ""',
    'kind >= "o"',
    'kind = "quo\\"te\\\\ and _ % \'"',
    'document_id STARTS WITH "d1"',
    'document_id IN ("d2", "d4")',
    'uri = "file:///d3"',
    'source STARTS WITH "file:///d"',
    "EXISTS kind",
    "NOT EXISTS tags",
]


async def test_filters_mean_the_same_everywhere(backend):
    await put(
        backend,
        doc("d1", "t", seed=1, kind="policy", n=1, rate=0.25, open=True, tags=frozenset({"red"})),
        doc("d2", "t", seed=2, kind="note", n=2, open=False, day=Timestamp(1_767_225_600_000_000)),
        doc("d3", "t", seed=3, kind="quo\"te\\ and _ % '", n=3, rate=-0.0),
        doc("d4", "t", seed=4, tags=frozenset({"red", "blue"}), n=-4, day=Timestamp(2**50)),
        doc("d5", "t", seed=5, kind=None, rate=1e300, n=2**62, tags=frozenset()),
    )
    expected = {
        'kind = "policy"': {"d1"},
        'kind != "policy"': {"d2", "d3", "d4", "d5"},
        'NOT (kind = "policy" OR n < 3)': {"d3", "d5"},
        "n >= 2 AND n < 4": {"d2", "d3"},
        "n = 3": {"d3"},
        "n IN (1, 3)": {"d1", "d3"},
        "n > 2.5": {"d3", "d5"},
        "rate <= 0.25": {"d1", "d3"},
        "rate = 0": {"d3"},
        "open = true": {"d1"},
        "open != true": {"d2", "d3", "d4", "d5"},
        "day IS NULL": {"d1", "d3", "d5"},
        'tags CONTAINS ANY ("red", "blue")': {"d1", "d4"},
        'tags CONTAINS ALL ("red", "blue")': {"d4"},
        'NOT tags = "red"': {"d2", "d3", "d5"},
        'kind STARTS WITH "pol"': {"d1"},
        'kind STARTS WITH "%"': set(),
        'kind STARTS WITH ""': {"d1", "d2", "d3"},
        'kind >= "o"': {"d1", "d3"},
        'kind = "quo\\"te\\\\ and _ % \'"': {"d3"},
        'document_id STARTS WITH "d1"': {"d1"},
        'document_id IN ("d2", "d4")': {"d2", "d4"},
        'uri = "file:///d3"': {"d3"},
        'source STARTS WITH "file:///d"': {"d1", "d2", "d3", "d4", "d5"},
        "EXISTS kind": {"d1", "d2", "d3"},
    }
    for text in FILTERS:
        found = set(ids(await find(backend, seed=1, filter=parse(text))))
        assert found == expected.get(text, found), text
        documents, _ = await count(backend, text)
        assert documents == len(found), text


@pytest.mark.parametrize(
    "text", ["nobody = 1", 'n = "three"', "open > true", 'tags STARTS WITH "r"', "kind = 3"]
)
async def test_filters_that_do_not_fit_are_refused(backend, text):
    await put(backend, doc("d", "t", kind="policy", n=1, open=True, tags=frozenset({"red"})))
    with pytest.raises(InvalidArgumentError):
        await find(backend, seed=1, filter=parse(text))
    with pytest.raises(InvalidArgumentError):
        await count(backend, text)


async def test_facets_count_documents(backend):
    await put(
        backend,
        doc("d1", "a", "b", kind="x", tags=frozenset({"red"}), n=1),
        doc("d2", "a", kind="x", tags=frozenset({"red", "blue"}), n=1),
        doc("d3", "a", kind="y"),
        doc("d4", "a", kind="x", acl=("bob",)),
    )
    facet = backend.library.facet
    assert await facet(EVERYONE, "docs", "kind", None, 10) == [("x", 2), ("y", 1)]
    assert await facet(EVERYONE, "docs", "tags", None, 10) == [("red", 2), ("blue", 1)]
    assert await facet(EVERYONE, "docs", "n", parse('kind = "x"'), 1) == [(1, 2)]


async def test_pages_hold_everything_once_in_order(backend):
    await put(backend, *(doc(f"d{n:02}", "one", "two", seed=n) for n in range(7)))
    await put(backend, doc("hidden", "x", acl=("bob",)), doc("empty"))
    found, token = [], ""
    while True:
        page = await backend.library.scroll_documents(EVERYONE, "docs", None, 3, token)
        found += [each.document_id for each in page.documents]
        token = page.next_token
        if not token:
            break
    assert found == [*(f"d{n:02}" for n in range(7)), "empty"]
    chunks, token = [], ""
    while True:
        page = await backend.library.scroll_chunks(EVERYONE, "docs", None, 3, token)
        chunks += [(each.document_id, each.ordinal) for each in page.passages]
        token = page.next_token
        if not token:
            break
    assert chunks == [(f"d{n:02}", ordinal) for n in range(7) for ordinal in (0, 1)]
    page = await backend.library.scroll_chunks(
        EVERYONE, "docs", parse('document_id = "d03"'), 5, "", with_vectors=True
    )
    assert page.vectors == pytest.approx(np.stack([direction(3), direction(4)]), abs=1e-5)
    assert await count(backend) == (8, 14)


async def test_no_document_takes_more_places_than_it_may(backend):
    await put(backend, doc("long", *["text"] * 20, seed=0), doc("other", "text", seed=50))
    limited = await find(backend, seed=0, top_k=4, max_per_document=2)
    assert sorted(ids(limited)) == ["long", "long", "other"]
    grouped = await find(backend, seed=0, top_k=2, group_size=3)
    assert [(group.document_id, group.count) for group in grouped.groups] == [
        ("long", 3),
        ("other", 1),
    ]
    hybrid = await find(backend, "text", seed=0, top_k=5, max_per_document=1)
    assert sorted(ids(hybrid)) == ["long", "other"]


async def test_thresholds_and_variety(backend):
    await put(backend, doc("a", "x", seed=1), doc("b", "x", seed=1), doc("c", "x", seed=2))
    near = await find(backend, seed=1, score_threshold=0.99)
    assert set(ids(near)) == {"a", "b"}
    assert near.dropped["below_threshold"] == 1
    varied = await find(backend, seed=1, top_k=2, diversity=0.9)
    assert "c" in ids(varied)


async def test_vectors_and_token_codes_come_when_asked_for(backend):
    await put(backend, doc("a", "x", seed=1), doc("b", "x", seed=2))
    answer = await find(backend, seed=1, include_vectors=True, token_codes_top_k=1)
    assert answer.vectors is not None
    assert answer.vectors[0] == pytest.approx(direction(1), abs=1e-5)
    assert answer.token_codes == [TOKEN_CODES]


async def test_documents_like_some_and_unlike_others(backend):
    await put(backend, *(doc(f"d{n}", "x", seed=n) for n in range(6)))
    likeness = Likeness(("d1",), ("d2",), ())
    options = SearchOptions(SearchMode.DENSE, top_k=10)
    answer = await backend.searcher.recommend(EVERYONE, "docs", likeness, options, lambda _: None)
    assert set(ids(answer)) == {"d0", "d3", "d4", "d5"}
    with pytest.raises(NotFoundError):
        await backend.searcher.recommend(
            EVERYONE, "docs", Likeness(("nobody",), (), ()), options, lambda _: None
        )


async def test_a_history_orders_what_is_alike(backend):
    await put(backend, *(doc(f"d{n}", "x", seed=n) for n in range(8)))
    await put(backend, doc("secret", "x", seed=3, acl=("group:others",)))
    options = SearchOptions(SearchMode.DENSE, top_k=10)

    async def found(liked: tuple[str, ...], disliked: tuple[str, ...] = ()) -> list[str]:
        likeness = Likeness(("d1",), (), (), history=History(liked, disliked, 1.0, 50))
        return ids(
            await backend.searcher.recommend(EVERYONE, "docs", likeness, options, lambda _: None)
        )

    others = ["d0", "d2", "d3", "d4", "d5", "d6", "d7"]
    order = sorted(others, key=lambda name: -float(direction(int(name[1])) @ direction(8)))
    await put(backend, doc("like eight", "x", seed=8))
    assert await found(("like eight",)) == order
    assert await found((), ("like eight",)) == order[::-1]
    plain = await found(())
    assert set(plain) == {*others, "like eight"}
    assert await found(("secret",)) == plain  # as if it were not there
    assert "d3" not in await found(("d3",))


async def test_aliases_switch_in_one_step(backend):
    library = backend.library
    await library.create("acme", "second", CollectionSettings(WIDTH))
    await put(backend, doc("first", "x", seed=1))
    await put(backend, doc("second", "x", seed=1), name="second")
    await library.set_alias("acme", Alias("now", "docs"))
    assert ids(await find(backend, seed=1, name="now")) == ["first"]
    await library.set_alias("acme", Alias("now", "second"))
    assert ids(await find(backend, seed=1, name="now")) == ["second"]
    await library.drop("acme", "docs")
    with pytest.raises(NotFoundError):
        await find(backend, seed=1)


async def test_expired_documents_are_gone(backend):
    past, future = time.time_ns() // 1000 - 1, time.time_ns() // 1000 + 3_600_000_000
    await put(
        backend,
        doc("gone", "x", seed=1, expires=past),
        doc("brief", "x", seed=2, expires=future),
        doc("lasting", "x", seed=3),
    )
    for mode in SearchMode:
        assert set(ids(await find(backend, "x", seed=1, mode=mode))) == {"brief", "lasting"}
    assert await count(backend) == (2, 2)


async def test_a_search_waits_for_the_write_it_names(backend):
    written = await put(backend, doc("d", "x", seed=1))
    answer = await find(backend, seed=1, min_seq=written.seq)
    assert ids(answer) == ["d"]
    assert answer.visible_seq >= written.seq


async def test_nothing_half_written_is_seen_after_a_refusal(backend):
    wrong = doc("wrong", "x")
    wrong = Document("wrong", text="x", chunks=(Chunk("c", 0, 1, b"\0" * 4),))
    with pytest.raises(ServiceError):
        await put(backend, doc("right", "x"), wrong)
    assert await count(backend) == (0, 0)


@pytest.mark.parametrize("kind", [IndexType.FLAT, IndexType.HNSW])
async def test_index_kinds(backend, kind):
    await backend.library.create("acme", "other", CollectionSettings(WIDTH, index_type=kind))
    await put(backend, *(doc(f"d{n}", "x", seed=n) for n in range(40)), name="other")
    exact = await find(backend, seed=7, name="other", recall=RecallClass.EXACT, top_k=5)
    high = await find(backend, seed=7, name="other", top_k=5)
    assert ids(exact)[0] == ids(high)[0] == "d7"


KINDS = ["policy", "pol", "note", "Ünïcode", "100%", "a_b", "", "zz\U0001f600"]
TAGS = ["red", "green", "blue", "b%"]


def any_document(random: Random, number: int) -> Document:
    """A document with some of the fields, absent or null as it comes."""
    metadata = {
        "kind": random.choice(KINDS),
        "n": random.choice([-(2**63), -3, 0, 1, 2**53 + 1, 2**63 - 1]),
        "rate": random.choice([-1e300, -0.5, -0.0, 0.0, 0.5, 1e-300, 3.0]),
        "open": random.random() < 0.5,
        "day": Timestamp(random.choice([-5, 0, 1_767_225_600_000_000])),
        "tags": frozenset(random.sample(TAGS, random.randint(0, 3))),
    }
    some = {
        name: None if random.random() < 0.1 else value
        for name, value in metadata.items()
        if random.random() < 0.7
    }
    return doc(f"d{number}", "t", seed=number, **some)


def any_filter(random: Random, depth: int = 3) -> Filter:
    """A filter of any shape that fits the fields of `any_document`."""
    if depth and random.random() < 0.6:
        operands = tuple(any_filter(random, depth - 1) for _ in range(random.randint(0, 3)))
        kind = random.choice([And, Or, Not])
        return kind(operands) if kind is not Not else Not(any_filter(random, depth - 1))
    bounds = ["gte", "gt", "lte", "lt"]
    field = random.choice(["kind", "n", "rate", "open", "day", "tags", "document_id", "uri"])
    values = {
        "kind": KINDS,
        "n": [-(2**63), -3, 0, 0.5, 1, 1.0, 2**53 + 1, -2.5, 1e300, -1e300],
        "rate": [-1e300, 0, 0.0, 0.5, 3, 1e-300],
        "open": [True, False],
        "day": [Timestamp(0), Timestamp(-5), Timestamp(7)],
        "tags": TAGS,
        "document_id": ["d1", "d2", "d", "x"],
        "uri": ["file:///d1", "file", ""],
    }[field]
    shape = random.choice(["equals", "one_of", "exists", "range", "prefix", "all"])
    some = tuple(random.sample(values, random.randint(0, min(3, len(values)))))
    if shape == "range" and field not in {"open", "tags"}:
        chosen = random.sample(bounds, random.randint(1, 2))
        return Range(field, **{name: random.choice(values) for name in chosen})
    if shape == "prefix" and field in {"kind", "document_id", "uri"}:
        return Prefix(field, random.choice(values))
    if shape == "all" and field == "tags":
        return ContainsAll(field, some)
    if shape == "one_of":
        return OneOf(field, some)
    return Exists(field) if shape == "exists" else Equals(field, random.choice(values))


@pytest.mark.parametrize("seed", range(2))
async def test_any_filter_lets_the_same_documents_through_in_both(tmp_path, milvus_lite, seed):
    """The translation for Milvus against the evaluation of the local view, over one store."""
    random = Random(seed)
    url = f"sqlite:///{tmp_path / 'truth.db'}"
    fields = {
        "kind": FieldType.KEYWORD,
        "n": FieldType.INTEGER,
        "rate": FieldType.FLOAT,
        "open": FieldType.BOOL,
        "day": FieldType.TIMESTAMP,
        "tags": FieldType.TAGS,
    }
    async with local_backend(url) as local, milvus_backend(url, milvus_lite) as milvus:
        await local.library.create("acme", "docs", CollectionSettings(WIDTH, fields=fields))
        await put(local, *(any_document(random, number) for number in range(40)))
        for _ in range(150):
            tree = any_filter(random)
            expected = await local.library.scroll_documents(EVERYONE, "docs", tree, 100, "")
            found = await milvus.library.scroll_documents(EVERYONE, "docs", tree, 100, "")
            wanted = [each.document_id for each in expected.documents]
            assert [each.document_id for each in found.documents] == wanted, tree
            one_by_one = [
                each.document_id
                for each in (
                    await milvus.library.scroll_documents(EVERYONE, "docs", None, 100, "")
                ).documents
                if matches(tree, Candidate(each.document_id, each.uri, each.metadata), fields)
            ]
            assert one_by_one == wanted, tree
