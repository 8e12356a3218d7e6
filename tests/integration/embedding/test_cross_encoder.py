"""Cross-encoders score as sentence-transformers' own do, through the whole service."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as LibraryCrossEncoder
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from services.embedding.engines.opening import EngineSettings, LocalEngines
from services.embedding.intake import BatcherLimits
from services.embedding.options import Caller, EmbedOptions
from services.embedding.reranker import RerankMethod, RerankOptions
from services.rpc.errors import FailedPreconditionError, Reason
from tests.kit.embedding_engines import embedding_parts
from tests.kit.tiny_bert import tiny_bert_folder

ALICE = Caller("alice")
QUERY = "what is hard ?"
PASSAGES = ["granite is a hard rock", "", "slate " * 100, "the basalt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_cross_encoder(tmp_path_factory.mktemp("cross"), labels=1)


def tiny_cross_encoder(path, labels):
    """Makes a random cross-encoder with the words of the tiny BERT."""
    words = tiny_bert_folder(path / "bert") / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(words), pad_token="[PAD]", model_max_length=48
    )
    config = BertConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=len(tokenizer) + 8,
        max_position_embeddings=48,
        num_labels=labels,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(path / "m")
    tokenizer.save_pretrained(path / "m")
    return path / "m"


async def test_scores_are_the_librarys(folder):
    encoder = LocalEngines(EngineSettings(precision="float32"), None, BatcherLimits()).open(
        folder, ""
    )
    async with embedding_parts() as parts:
        parts.models.add("cross", encoder)
        result = await parts.reranker.rerank(QUERY, PASSAGES, RerankOptions(), ALICE)
        named = RerankOptions(model="hash")
        late = await parts.reranker.rerank(QUERY, PASSAGES, named, ALICE)
        assert parts.models.default_name == "hash"
    expected = LibraryCrossEncoder(str(folder), device="cpu").predict(
        [(QUERY, passage) for passage in PASSAGES]
    )
    np.testing.assert_allclose(result.scores, expected, atol=1e-5)
    assert np.ptp(result.scores) > 1e-3
    assert (result.method, result.model) == (RerankMethod.CROSS_ENCODER, "cross")
    assert late.method is RerankMethod.LATE_INTERACTION
    assert result.read_tokens > 20


async def test_it_does_not_embed_and_is_never_the_default(folder):
    encoder = LocalEngines(EngineSettings(), None, BatcherLimits()).open(folder, "cross-encoder")
    async with embedding_parts() as parts:
        with pytest.raises(FailedPreconditionError, match="default"):
            parts.models.add("cross", encoder, make_default=True)
        parts.models.add("cross", encoder)
        with pytest.raises(FailedPreconditionError) as caught:
            await parts.embedder.embed(["rock"], EmbedOptions(model="cross"), ALICE)
    assert caught.value.reason is Reason.NOT_SUPPORTED


def test_classifiers_are_no_rerankers(tmp_path):
    folder = tiny_cross_encoder(tmp_path, labels=3)
    with pytest.raises(FailedPreconditionError, match="3 numbers"):
        LocalEngines(EngineSettings(), None, BatcherLimits()).open(folder, "")
