"""What every encoder must do, whatever runs it."""

from __future__ import annotations

import numpy as np
import pytest

from services.embedding.encoder import Output
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.engines.opening import EngineSettings
from services.embedding.engines.transformer_encoder import TransformerEncoder
from services.embedding.options import InputKind
from tests.kit.tiny_bert import tiny_bert_folder

ENCODERS = {
    "hash": lambda _: HashEncoder(max_tokens=24, prompts={InputKind.QUERY: "query: "}),
    "bert": lambda folder: BertEncoder(folder(), precision="float32"),
    "bert plain": lambda folder: BertEncoder(folder(), precision="float32", may_pack=False),
    "bert bfloat16": lambda folder: BertEncoder(folder(), precision="bfloat16"),
    "bert cls": lambda folder: BertEncoder(
        folder(pooling="cls_token", config={"hidden_act": "gelu_new"}), precision="float32"
    ),
    "bert prefixed": lambda folder: BertEncoder(folder(prefix="bert."), precision="float32"),
    "sentence-transformers": lambda folder: TransformerEncoder(
        folder(), EngineSettings(precision="float32")
    ),
}
TEXTS = [
    "granite is a rock",
    "slate",
    "what is hard ? " * 20,
    "basalt rock",
    "zebra",
    "the the the",
]


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request, tmp_path_factory):
    def folder(**more):
        path = tmp_path_factory.mktemp("model") / "m"
        return tiny_bert_folder(path, prompts={"query": "query: "}, **more)

    encoder = ENCODERS[request.param](folder)
    yield encoder
    encoder.close()


def ids(encoder, texts, kind=InputKind.DOCUMENT):
    return [tokens.ids for tokens in encoder.tokenize(texts, kind)]


def tolerance(encoder):
    return 0.03 if encoder.info.precision == "bfloat16" else 1e-5


def test_info_is_complete(encoder):
    info = encoder.info
    assert info.revision
    assert info.engine in {"hash", "bert", "sentence-transformers"}
    assert info.device == "cpu"
    assert min(info.dimensions, info.max_tokens, info.vocabulary_size) > 0
    assert info.prompts == {InputKind.QUERY: "query: "}


def test_a_text_gets_the_same_vector_alone_and_in_any_company(encoder):
    batch = ids(encoder, TEXTS)
    together = encoder.encode(batch, Output.POOLED)
    backwards = encoder.encode(batch[::-1], Output.POOLED)[::-1]
    for index, alone in enumerate(batch):
        (single,) = encoder.encode([alone], Output.POOLED)
        assert single.shape == (encoder.info.dimensions,)
        assert single.dtype == np.float32
        for other in (together[index], backwards[index]):
            cosine = single @ other / np.linalg.norm(single) / np.linalg.norm(other)
            assert cosine > 1 - tolerance(encoder)


def test_different_texts_get_different_vectors(encoder):
    first, second = encoder.encode(ids(encoder, ["granite", "slate"]), Output.POOLED)
    assert np.abs(first - second).max() > 0.01


def test_token_vectors_have_length_one_and_a_row_for_each_id(encoder):
    batch = ids(encoder, TEXTS)
    for tokens, matrix in zip(batch, encoder.encode(batch, Output.TOKENS), strict=True):
        assert matrix.shape == (len(tokens), encoder.info.dimensions)
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-4)


def test_both_from_one_pass_are_what_each_is_by_itself(encoder):
    batch = ids(encoder, TEXTS)
    pooled, matrices = (encoder.encode(batch, each) for each in (Output.POOLED, Output.TOKENS))
    both = encoder.encode(batch, Output.POOLED_AND_TOKENS)
    for vector, matrix, found in zip(pooled, matrices, both, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], vector, atol=1e-5)
        np.testing.assert_allclose(found[1:], matrix, atol=1e-5)


def test_the_model_limit_holds_and_is_reported(encoder):
    short, long = encoder.tokenize(["slate", "slate " * 500], InputKind.DOCUMENT)
    assert (short.is_truncated, long.is_truncated) == (False, True)
    assert len(long.ids) == encoder.info.max_tokens
    assert long.content_count == encoder.info.max_tokens - 2
    encoder.encode([long.ids], Output.POOLED)


def test_prompts_are_read_but_never_located(encoder):
    (document,) = encoder.locate(["granite rock"], InputKind.DOCUMENT)
    (query,) = encoder.locate(["granite rock"], InputKind.QUERY)
    assert len(query.tokens.ids) > len(document.tokens.ids)
    for located in (document, query):
        assert located.starts.tolist() == [0, 8]
        assert located.ends.tolist() == [7, 12]


def test_located_and_plain_tokens_are_equal(encoder):
    for plain, located in zip(
        encoder.tokenize(TEXTS, InputKind.QUERY),
        encoder.locate(TEXTS, InputKind.QUERY),
        strict=True,
    ):
        assert plain.ids.tolist() == located.tokens.ids.tolist()
        assert plain.is_truncated == located.tokens.is_truncated


def test_counting_includes_special_tokens_and_knows_no_limit(encoder):
    assert encoder.count(["", "slate", "slate " * 500]) == [2, 3, 502]


def test_adopted_ids_are_the_tokens(encoder):
    (tokens,) = encoder.tokenize(["granite is a rock"], InputKind.DOCUMENT)
    adopted = encoder.adopt(tokens.ids)
    assert adopted.ids.tolist() == tokens.ids.tolist()
    assert adopted.content_count == tokens.content_count == 4
    assert len(encoder.adopt(np.ones(900, np.int32)).ids) == encoder.info.max_tokens


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\x01",
        "\u202e\u200b",
        "🪨" * 50,
        "a\r\n\tb",
        "ﷺ",
        "日本語のテキスト",
        "e\u0301" * 40,
    ],
)
def test_odd_texts_give_finite_vectors(encoder, text):
    (vector,) = encoder.encode(ids(encoder, [text]), Output.POOLED)
    assert np.isfinite(vector).all()


def test_checkpoints_may_run_other_work_or_abandon_the_pass(encoder):
    long, short = ids(encoder, ["slate " * 20, "rock"])
    (wanted,) = encoder.encode([long], Output.POOLED)
    inner = []

    def checkpoint():
        inner.append(encoder.encode([short], Output.POOLED)[0])

    (got,) = encoder.encode([long], Output.POOLED, checkpoint)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert inner

    class StoppedError(Exception):
        pass

    def stop():
        raise StoppedError

    with pytest.raises(StoppedError):
        encoder.encode([long], Output.POOLED, stop)
