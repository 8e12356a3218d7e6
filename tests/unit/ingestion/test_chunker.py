"""Chunks quote the text exactly, stay within their size, and stay what they are when others change."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingestion.anchoring import Former
from services.ingestion.atoms import weigh
from services.ingestion.chunker import (
    Chunk,
    ChunkerSettings,
    chunk_document,
    chunk_ids,
    embedding_text,
    split_chunk,
)
from services.ingestion.parsers import markdown, plain

SIZES = ChunkerSettings()


def of_text(text: str):
    return plain.parse(text.encode())


def words(seed: int, count: int) -> str:
    dice = random.Random(seed)
    return " ".join("".join(dice.choices("abcdefghij", k=dice.randint(2, 9))) for _ in range(count))


def paragraph(seed: int) -> str:
    dice = random.Random(seed)
    return " ".join(
        words(seed * 100 + n, dice.randint(8, 18)).capitalize() + "."
        for n in range(dice.randint(3, 7))
    )


texts = st.lists(
    st.one_of(
        st.text(max_size=400),
        st.integers(0, 999).map(paragraph),
        st.sampled_from(
            ["# Title", "## Part", "- item", "\n\n", "```\ncode\n```", "检索增强生成。" * 30]
        ),
    ),
    max_size=30,
).map("\n".join)


@settings(max_examples=120, deadline=None)
@given(texts, st.booleans())
def test_chunks_are_parts_of_the_text_in_order_and_cover_it(text, is_markdown):
    parsed = (markdown if is_markdown else plain).parse(text.encode("utf-8", "replace"))
    chunks = chunk_document(parsed)
    previous = Chunk(0, 0)
    for chunk in chunks:
        assert 0 <= chunk.start < chunk.end <= len(parsed.text)
        inside = parsed.text[chunk.start : chunk.end]
        assert inside.strip() == inside != ""
        assert chunk.start <= chunk.body_start
        assert (chunk.body_start, chunk.end) > (previous.body_start, previous.end)
        previous = chunk
    if not is_markdown:
        covered = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
        assert all(place in covered for place, char in enumerate(parsed.text) if not char.isspace())
    ids = chunk_ids(parsed.text, chunks)
    assert len(set(ids)) == len(ids)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 999), min_size=1, max_size=40))
def test_no_chunk_is_longer_than_its_size_and_overlap_allow(seeds):
    parsed = of_text("\n\n".join(map(paragraph, seeds)))
    most = SIZES.max_words + SIZES.overlap_words * 1.5 + 1
    for chunk in chunk_document(parsed):
        assert weigh(parsed.text[chunk.start : chunk.end]) <= most


def test_usual_chunks_have_the_usual_size():
    parsed = of_text("\n\n".join(paragraph(n) for n in range(300)))
    sizes = sorted(weigh(parsed.text[chunk.start : chunk.end]) for chunk in chunk_document(parsed))
    assert 110 <= sizes[len(sizes) // 2] <= 180
    assert sizes[len(sizes) // 20] >= 90


def test_a_chunk_repeats_the_end_of_the_one_before():
    parsed = of_text("\n\n".join(paragraph(n) for n in range(40)))
    chunks = chunk_document(parsed)
    overlaps = [weigh(parsed.text[chunk.start : chunk.body_start]) for chunk in chunks[1:]]
    assert 16 <= sum(overlaps) / len(overlaps) <= 48


@pytest.mark.parametrize("separator", ["\n\n", "\n", " "])
def test_editing_one_paragraph_leaves_the_chunks_of_others(separator):
    parts = [paragraph(n) for n in range(500)]
    parsed = of_text(separator.join(parts))
    before = set(chunk_ids(parsed.text, chunk_document(parsed)))
    extra = 0
    for edited in range(5, 500, 25):
        changed = list(parts)
        middle = len(changed[edited]) // 2
        changed[edited] = f"{changed[edited][:middle]} edited {changed[edited][middle:]}"
        again = of_text(separator.join(changed))
        start = sum(len(part) + len(separator) for part in changed[:edited])
        end = start + len(changed[edited])
        chunks = chunk_document(again)
        for chunk, chunk_id in zip(chunks, chunk_ids(again.text, chunks), strict=True):
            is_touched = chunk.start < end and chunk.end > start
            extra += chunk_id not in before and not is_touched
    assert extra <= 3  # over twenty edits


def test_inserting_at_the_beginning_moves_chunks_without_changing_them():
    text = "\n\n".join(paragraph(n) for n in range(100))
    parsed, longer = of_text(text), of_text(paragraph(777) + "\n\n" + text)
    before = set(chunk_ids(parsed.text, chunk_document(parsed)))
    after = chunk_ids(longer.text, chunk_document(longer))
    assert len(set(after) - before) <= 3


def test_headings_separate_and_lead_to_chunks():
    text = f"# Top\n\n{paragraph(1)}\n\n## One\n\n{paragraph(2)}\n\n## Two\n\n{paragraph(3)}\n"
    parsed = markdown.parse(text.encode())
    chunks = chunk_document(parsed)
    assert [chunk.heading_path for chunk in chunks] == [
        ("Top",),
        ("Top", "One"),
        ("Top", "Two"),
    ]
    assert not any("#" in text[chunk.start : chunk.end] for chunk in chunks)


def test_tiny_sections_share_a_chunk_with_their_headings():
    text = "# API\n\n" + "\n\n".join(f"## Call {n}\n\nReturns {n}." for n in range(6))
    parsed = markdown.parse(text.encode())
    (chunk,) = chunk_document(parsed)
    assert chunk.heading_path == ("API",)
    assert text[chunk.start : chunk.end].count("## Call") == 6


def test_a_document_of_headings_only_is_searchable():
    parsed = markdown.parse(b"# One\n\n## Two\n")
    (chunk,) = chunk_document(parsed)
    assert parsed.text[chunk.start : chunk.end] == "# One\n\n## Two"


def test_a_table_that_fits_stays_whole():
    rows = "\n".join(f"| row {n} | {n} |" for n in range(12))
    text = f"{paragraph(1)}\n\n{paragraph(2)}\n\n| a | b |\n|---|---|\n{rows}\n\n{paragraph(3)}\n"
    parsed = markdown.parse(text.encode())
    table = next(block for block in parsed.blocks if block.kind == "table")
    assert any(
        chunk.start <= table.start and chunk.end >= table.end for chunk in chunk_document(parsed)
    )


def test_text_without_spaces_is_cut_between_characters():
    parsed = of_text("检索增强生成平台的解析测试第二句数据质量" * 400)
    chunks = chunk_document(parsed)
    assert len(chunks) > 20
    assert max(chunk.end - chunk.start for chunk in chunks) <= 280


def test_a_very_long_line_is_cut_in_time():
    parsed = of_text("word " * 100_000)
    chunks = chunk_document(parsed)
    assert max(weigh(parsed.text[chunk.start : chunk.end]) for chunk in chunks) <= 200


def test_an_unbroken_blob_is_cut():
    parsed = of_text("A" * 50_000)
    assert max(chunk.end - chunk.start for chunk in chunk_document(parsed)) <= 3000


def test_equal_chunks_under_equal_headings_are_numbered():
    assert chunk_ids("aa", [Chunk(0, 1), Chunk(1, 2)])[1].endswith("-2")
    different = chunk_ids("aa", [Chunk(0, 1, ("x",)), Chunk(1, 2, ("y",))])
    assert not any("-" in each for each in different)


def test_the_embedded_text_begins_with_title_and_headings_each_once():
    chunk = Chunk(0, 4, ("Guide", "Setup"))
    embedded = embedding_text("Guide", chunk, "Text", max_prefix_characters=100)
    assert embedded == "Guide > Setup\nText"
    assert embedding_text("", Chunk(0, 4), "Text", max_prefix_characters=100) == "Text"
    short = embedding_text("T" * 50, chunk, "Text", max_prefix_characters=12)
    assert short == "Setup\nText"


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=300).filter(lambda text: text.strip() == text))
def test_splitting_makes_shorter_chunks_until_one_character(text):
    open_chunks = [Chunk(0, len(text), ("H",), 3, 0)]
    while open_chunks:
        chunk = open_chunks.pop()
        parts = split_chunk(text, chunk)
        assert all(part.heading_path == ("H",) and part.page == 3 for part in parts)
        if parts == [chunk]:
            assert chunk.end - chunk.start < 2
            continue
        assert all(part.end - part.start < chunk.end - chunk.start for part in parts)
        assert all(text[part.start : part.end].strip() for part in parts)
        open_chunks.extend(parts)


def test_splitting_first_gives_up_the_overlap():
    (part,) = split_chunk("overlap body", Chunk(0, 12, body_start=8))
    assert (part.start, part.end) == (8, 12)


# ── updates: the former version's cuts ────────────────────────────────────────────────────────────

CHANGES = ["edit", "rewrite", "grow", "insert", "insert short", "delete"]


def changed(parts: list[str], place: int, change: str, seed: int) -> list[str]:
    new = list(parts)
    if change == "edit":
        spread = new[place].split(" ")
        spread.insert(random.Random(seed).randrange(len(spread)), "edited")
        new[place] = " ".join(spread)
    elif change == "rewrite":
        new[place] = paragraph(5000 + seed)
    elif change == "grow":
        new[place] += " " + paragraph(9000 + seed)
    elif change == "insert":
        new.insert(place, paragraph(7000 + seed))
    elif change == "insert short":
        new.insert(place, "A note of few words.")
    else:
        del new[place]
    return new


@pytest.mark.parametrize("change", CHANGES)
def test_an_update_touches_no_chunk_but_those_of_the_paragraph(change):
    parts = [paragraph(n) for n in range(500)]
    parsed = of_text("\n\n".join(parts))
    old = chunk_document(parsed)
    before = set(chunk_ids(parsed.text, old))
    former = Former(parsed.text, old)
    for place in range(3, 500, 43):
        new = changed(parts, place, change, place)
        again = of_text("\n\n".join(new))
        chunks = chunk_document(again, former=former)
        start = sum(len(part) + 2 for part in parts[:place])
        # Where it stands now; a paragraph that is gone, where it stood.
        now, then = (again, chunks), (parsed, old)
        text_parts, (_, looked_at) = (new, now) if change != "delete" else (parts, then)
        end = start + len(text_parts[place])
        touched = [chunk for chunk in looked_at if chunk.start < end and chunk.end > start]
        ids = chunk_ids(again.text, chunks)
        embedded = [c for c, i in zip(chunks, ids, strict=True) if i not in before]
        assert len(embedded) <= len(touched)
        if change != "delete":
            assert set(embedded) <= set(touched)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_many_updates_in_a_row_leave_chunks_of_the_usual_size_that_cover_the_text(data):
    parts = [paragraph(n) for n in range(40)]
    former = None
    for step in range(12):
        parsed = of_text("\n\n".join(parts))
        chunks = chunk_document(parsed, former=former)
        covered = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
        assert all(place in covered for place, char in enumerate(parsed.text) if not char.isspace())
        most = SIZES.max_words + 12 + SIZES.overlap_words * 1.5 + 1
        assert all(weigh(parsed.text[each.start : each.end]) <= most for each in chunks)
        former = Former(parsed.text, chunks)
        change = data.draw(st.sampled_from(CHANGES))
        parts = changed(parts, data.draw(st.integers(0, len(parts) - 1)), change, step)
        if not parts:
            return


def test_an_unchanged_text_is_cut_as_before_even_after_edits():
    parts = [paragraph(n) for n in range(100)]
    former = None
    for step in range(5):
        parsed = of_text("\n\n".join(parts))
        chunks = chunk_document(parsed, former=former)
        former = Former(parsed.text, chunks)
        assert chunk_document(parsed, former=former) == chunks
        parts = changed(parts, step * 19, CHANGES[step], step)


def dense_paragraph(seed: int) -> str:
    """One long sentence of words that take many tokens."""
    dice = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(dice.choices(letters, k=dice.randint(6, 16))) for _ in range(99))
    return " ".join(itertools.islice(words, dice.randint(20, 90))).capitalize() + "."


def fitting(text: str, chunks: list[Chunk], most_characters: int) -> list[Chunk]:
    """Cuts chunks until none has too many tokens, here characters, as the service does."""
    fits = []
    left = list(reversed(chunks))
    while left:
        chunk = left.pop()
        if chunk.end - chunk.start <= most_characters:
            fits.append(chunk)
        else:
            left.extend(reversed(split_chunk(text, chunk)))
    return fits


@pytest.mark.parametrize("change", ["edit", "rewrite", "delete"])
def test_chunks_that_were_cut_for_having_too_many_tokens_stay_as_they_are(change):
    parts = [dense_paragraph(seed) for seed in range(100)]
    parsed = of_text("\n\n".join(parts))
    old = fitting(parsed.text, chunk_document(parsed), 900)
    assert len(old) > len(chunk_document(parsed)) + 20
    former = Former(parsed.text, old)
    assert fitting(parsed.text, chunk_document(parsed, former=former), 900) == old
    before = set(chunk_ids(parsed.text, old))
    for place in range(3, 100, 19):
        new = changed(parts, place, change, place)
        again = of_text("\n\n".join(new))
        chunks = fitting(again.text, chunk_document(again, former=former), 900)
        start = sum(len(part) + 2 for part in parts[:place])
        touched = 0
        for looked_at, among in ((old, parts), (chunks, new)):
            end = start + len(among[place])
            touched += sum(chunk.start < end and chunk.end > start for chunk in looked_at)
        assert len(set(chunk_ids(again.text, chunks)) - before) <= touched


def test_tiny_sections_that_were_joined_stay_joined():
    names = [f"## Call {n}\n\nReturns the number {n} to whoever asks." for n in range(60)]
    parsed = markdown.parse(("# API\n\n" + "\n\n".join(names)).encode())
    old = chunk_document(parsed)
    before = set(chunk_ids(parsed.text, old))
    names[7] += " And a few more words than that, so that the joined sections are cut elsewhere."
    again = markdown.parse(("# API\n\n" + "\n\n".join(names)).encode())
    chunks = chunk_document(again, former=Former(parsed.text, old))
    assert len(set(chunk_ids(again.text, chunks)) - before) <= 3
