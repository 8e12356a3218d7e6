"""What runs on accelerators, as far as it can be shown without one: shapes, padding, fallbacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.embedding.encoder import Output
from services.embedding.engines import bert_encoder
from services.embedding.engines.attention import attend, plan_groups
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.engines.cuda import (
    Packed,
    RecordedPasses,
    attend_one_by_one,
    packed_attention_works,
)
from services.embedding.options import InputKind
from tests.kit.tiny_bert import tiny_bert_folder

CPU = torch.device("cpu")
TEXTS = ["granite is a rock", "slate", "what is hard ? " * 5, "basalt"]


def attend_by_ends(qkv, ends, longest, heads):
    """Stands in for the accelerator's kernel: rows after the last end belong to no text."""
    lengths = torch.diff(ends).tolist()
    assert max(lengths) <= longest
    used = sum(lengths)
    rows = attend_one_by_one(qkv[:used], [n for n in lengths if n], heads)
    return torch.cat([rows, torch.full((len(qkv) - used, rows.shape[1]), float("nan"))])


def test_texts_are_packed_with_their_places():
    packed = Packed.of(torch.arange(6), [1, 3, 2], CPU)
    assert packed.ends.tolist() == [0, 1, 4, 6]
    assert packed.ends.dtype is torch.int32
    assert packed.positions.tolist() == [0, 0, 1, 2, 0, 1]
    assert packed.longest == 3


def test_one_by_one_is_what_groups_compute():
    lengths = [1, 2, 2, 5]
    qkv = torch.randn(10, 3 * 8, generator=torch.Generator().manual_seed(1))
    groups = plan_groups(lengths, 2, torch.float32, CPU)
    torch.testing.assert_close(attend(qkv, groups, 2), attend_one_by_one(qkv, lengths, 2))


def test_without_an_accelerator_the_kernel_is_not_used():
    assert not packed_attention_works(CPU, torch.bfloat16, 32)


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """An encoder that believes to be on an accelerator; recordings are the pass itself."""
    monkeypatch.setattr(bert_encoder, "packed_attention_works", lambda *_: True)
    monkeypatch.setattr(bert_encoder, "attend_packed", attend_by_ends)
    monkeypatch.setattr(bert_encoder, "record_on_cuda", lambda run: run)
    return BertEncoder(tiny_bert_folder(tmp_path / "m"), precision="float32")


def test_recorded_passes_give_the_same_vectors(encoder, tmp_path):
    plain = BertEncoder(tmp_path / "m", precision="float32", may_pack=False)
    batches = [TEXTS[:1], TEXTS, TEXTS[1:], TEXTS * 20]
    for texts in batches:
        ids = [tokens.ids for tokens in plain.tokenize(texts, InputKind.DOCUMENT)]
        for output in (Output.POOLED, Output.TOKENS):
            # Texts of different lengths attend in groups by another way: bfloat16 is not in play.
            found = encoder.encode(ids, output)
            for one, other in zip(found, plain.encode(ids, output), strict=True):
                np.testing.assert_allclose(one, other, atol=2e-5)
    assert not encoder._recorded.is_off
    assert len(encoder._recorded._recordings) >= 2


def test_a_recording_that_differs_is_left_out(encoder, monkeypatch):
    monkeypatch.setattr(encoder._recorded, "_record", lambda run: lambda: run() * 2)
    ids = [tokens.ids for tokens in encoder.tokenize(TEXTS, InputKind.DOCUMENT)]
    first = encoder.encode(ids, Output.POOLED)
    assert encoder._recorded.is_off
    np.testing.assert_array_equal(first, encoder.encode(ids, Output.POOLED))


def test_a_recording_that_fails_is_left_out():
    def fail(_):
        raise RuntimeError

    passes = RecordedPasses(lambda ids, *_: ids[:, None].float(), fail, 16)
    assert passes.run(Packed.of(torch.arange(3), [3], CPU)) is None
    assert passes.is_off
