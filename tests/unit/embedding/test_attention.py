"""Attention without padding gives what attention text by text gives, on every path."""

from __future__ import annotations

import math

import pytest
import torch

from services.embedding.engines.attention import attend, plan_groups, query_scale

HEADS, SIZE = 4, 8
CPU = torch.device("cpu")
META = torch.device("meta")


def reference(qkv, lengths):
    rows, first = [], 0
    for length in lengths:
        q, k, v = (
            qkv[first : first + length].float().view(length, 3, HEADS, SIZE).permute(1, 2, 0, 3)
        )
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(SIZE), dim=-1)
        rows.append((weights @ v).transpose(0, 1).reshape(length, HEADS * SIZE))
        first += length
    return torch.cat(rows)


def scaled(qkv, dtype):
    result = qkv.clone()
    result[:, : HEADS * SIZE] *= query_scale(SIZE, dtype, CPU)
    return result.to(dtype)


@pytest.mark.parametrize(
    "lengths", [[1], [5], [5, 5, 5], [1, 2, 3, 9], [3, 200, 201, 256], [7] * 90]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_agrees_with_attention_text_by_text(lengths, dtype, tolerance):
    qkv = torch.randn(sum(lengths), 3 * HEADS * SIZE, generator=torch.Generator().manual_seed(3))
    groups = plan_groups(lengths, HEADS, dtype, CPU)
    got = attend(scaled(qkv, dtype), groups, HEADS).float()
    assert (got - reference(qkv, lengths)).abs().max() < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [[8, 8, 8, 8], [3, 9, 70], [5] * 17])
def test_rows_after_the_last_text_change_nothing_and_are_numbers(lengths, dtype):
    total, more = sum(lengths), 6
    qkv = torch.randn(total + more, 3 * HEADS * SIZE, generator=torch.Generator().manual_seed(4))
    groups = plan_groups(lengths, HEADS, dtype, CPU, more)
    got = attend(scaled(qkv, dtype), groups, HEADS).float()
    alone = attend(scaled(qkv[:total], dtype), plan_groups(lengths, HEADS, dtype, CPU), HEADS)
    assert got.shape == (total + more, HEADS * SIZE)
    assert torch.isfinite(got).all()
    assert torch.equal(got[:total], alone.float())


def test_queries_of_one_kind_of_load_share_few_shapes():
    """Each shape is a kernel to compile."""
    shapes = {
        (group.texts, group.length)
        for count in range(8, 33)
        for longest in range(20, 30)
        for group in plan_groups(
            sorted(12 + number % (longest - 11) for number in range(count)), 12, torch.bfloat16, CPU
        )
    }
    assert len(shapes) <= 24


@pytest.mark.parametrize("factor", [40.0, -40.0])
def test_scores_outside_the_range_of_numbers_are_no_fault(factor):
    """Without looking for the largest score of a row, 2**score overflows or vanishes."""
    q = torch.ones(6, HEADS * SIZE) * factor
    k = torch.ones(6, HEADS * SIZE) * torch.arange(1, 7)[:, None] * 3
    v = torch.randn(6, HEADS * SIZE, generator=torch.Generator().manual_seed(3))
    qkv = torch.cat([q, k, v], dim=1)
    groups = plan_groups([6], HEADS, torch.bfloat16, CPU)
    got = attend(scaled(qkv, torch.bfloat16), groups, HEADS).float()
    assert torch.isfinite(got).all()
    assert (got - reference(qkv, [6])).abs().max() < 0.03


def test_groups_cover_all_rows_and_their_scores_fit_the_cache():
    lengths = sorted([3, 3, 3, 17, 40, 100, 255, 256, 256] * 5)
    groups = plan_groups(lengths, 12, torch.bfloat16, CPU)
    assert [group.first_row for group in groups[1:]] == [group.end_row for group in groups[:-1]]
    assert groups[-1].end_row == sum(lengths)
    for group in groups:
        assert group.texts == 1 or group.texts * group.length**2 * 24 <= 512 * 1024


def test_an_accelerator_gets_all_texts_in_one_step():
    lengths = [5, 9, 30]
    (group,) = plan_groups(lengths, HEADS, torch.float16, META)
    qkv = torch.empty(sum(lengths), 3 * HEADS * SIZE, dtype=torch.float16, device=META)
    assert attend(qkv, [group], HEADS).shape == (sum(lengths), HEADS * SIZE)
    assert group.padded_rows.device.type == "meta"
