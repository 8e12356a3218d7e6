"""Token codes of the real model: the order they give against that of the vectors themselves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.model_folder import packaged_model
from services.embedding.options import Caller, EmbedOptions
from services.embedding.reranker import RerankOptions
from services.embedding.token_codes import MAX_CODE_BYTES
from tests.kit.embedding_engines import embedding_parts

ALICE = Caller("alice")
DOCS = Path(__file__).parents[3] / "docs" / "decisions"


def sections() -> list[tuple[str, str]]:
    """Titles and first thousand characters of our own decision records."""
    found = []
    for path in sorted(DOCS.glob("00*.md"))[:25]:
        title, _, text = path.read_text("utf-8").partition("\n")
        found.append((title.partition(" ")[2].partition(" ")[2], f"{title}\n{text[:1000]}"))
    return found


@pytest.fixture
async def parts():
    folder = packaged_model("all-MiniLM-L6-v2")
    assert folder is not None
    async with embedding_parts(BertEncoder(folder)) as made:
        yield made


async def test_codes_give_the_order_of_reading_within_a_small_tolerance(parts):
    titles, passages = zip(*sections(), strict=True)
    options = EmbedOptions(with_token_codes=True)
    codes = (await parts.embedder.embed(passages, options, ALICE)).token_codes
    assert 8100 < max(map(len, codes)) <= MAX_CODE_BYTES  # some had to be merged
    same_first, shared, gaps = 0, 0, []
    for title in titles[:12]:
        read = await parts.reranker.rerank(title, passages, RerankOptions(), ALICE)
        coded = await parts.reranker.rerank(title, passages, RerankOptions(), ALICE, codes)
        assert (read.encoded_passages, coded.encoded_passages) == (len(passages), 0)
        first, second = (np.argsort(each.scores)[::-1] for each in (read, coded))
        same_first += first[0] == second[0]
        shared += len({*first[:5]} & {*second[:5]})
        gaps += [abs(a - b) for a, b in zip(read.scores, coded.scores, strict=True)]
    assert same_first >= 11
    assert shared >= 12 * 4
    assert np.mean(gaps) < 0.03
    assert max(gaps) < 0.12


async def test_a_code_is_what_reading_the_passage_now_makes(parts):
    _, passages = zip(*sections()[:6], strict=True)
    options = EmbedOptions(with_token_codes=True)
    codes = (await parts.embedder.embed(passages, options, ALICE)).token_codes
    whole = await parts.reranker.rerank("token codes", passages, RerankOptions(), ALICE, codes)
    for kept in (codes[:1], codes[:3]):
        some = [*kept, *[b""] * (len(codes) - len(kept))]
        mixed = await parts.reranker.rerank("token codes", passages, RerankOptions(), ALICE, some)
        assert mixed.encoded_passages == len(codes) - len(kept)
        # A model in bfloat16 gives a text slightly other vectors in another batch.
        np.testing.assert_allclose(mixed.scores, whole.scores, atol=0.01)
        order = np.argsort(whole.scores)[::-1].tolist()
        for better, worse in pairwise(order):
            assert mixed.scores[better] > mixed.scores[worse] - 0.01
