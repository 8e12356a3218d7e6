"""Self-attention over texts that lie one after the other, without padding, in one buffer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

_SCORE_BYTES = 512 * 1024
"""Scores of one step on a CPU: half of a usual second-level cache."""
_SMALLEST_SUM, _LARGEST_SUM = 1e-32, 1e34
"""Sums of powers outside of this may have lost terms."""
_SMALLEST_DIFFERENCE = 1e-2
"""Least sum that may be left of one that padding was in: it keeps four digits in float32."""


@dataclass(frozen=True, slots=True)
class Group:
    """Texts next to each other that attend in one step, padded to the longest of them."""

    first_row: int
    """First row of the group in the buffer."""
    end_row: int
    texts: int
    length: int
    """Tokens of the longest text."""
    padded_rows: torch.Tensor | None
    """(texts * length,) rows of the buffer, where lengths differ."""
    kept_rows: torch.Tensor | None
    """Places in the padded order that hold real tokens, where lengths differ."""
    mask: torch.Tensor | None
    """(texts, 1, 1, length): 0 for tokens, -inf for padding, where lengths differ."""
    padding_rows: torch.Tensor | None
    """Places in the padded order that hold no tokens, where lengths differ."""
    padding_counts: torch.Tensor | None
    """(texts, 1, 1, 1) float32: how many those are in each text."""


def plan_groups(
    lengths: Sequence[int], heads: int, dtype: torch.dtype, device: torch.device
) -> list[Group]:
    """Cuts texts, sorted by length, into groups.

    On a CPU the scores of a group fit the cache; on an accelerator all texts go in one step.
    """
    limit = _SCORE_BYTES if device.type == "cpu" else None
    bytes_each = heads * dtype.itemsize
    groups: list[Group] = []
    begin = row = 0
    while begin < len(lengths):
        end = begin + 1
        while end < len(lengths):
            longest = max(lengths[begin], lengths[end])
            if limit is not None and (end + 1 - begin) * longest**2 * bytes_each > limit:
                break
            end += 1
        group = _group(row, lengths[begin:end], dtype, device)
        groups.append(group)
        begin, row = end, group.end_row
    return groups


def _group(
    first_row: int, lengths: Sequence[int], dtype: torch.dtype, device: torch.device
) -> Group:
    longest, total = max(lengths), sum(lengths)
    if total == longest * len(lengths):
        return Group(
            first_row, first_row + total, len(lengths), longest, None, None, None, None, None
        )
    counts = torch.tensor(lengths)
    places = torch.arange(longest).expand(len(lengths), longest)
    is_token = places < counts[:, None]
    starts = torch.cumsum(counts, 0) - counts
    rows = torch.where(is_token, starts[:, None] + places, starts[:, None])
    mask = torch.zeros(is_token.shape, dtype=dtype).masked_fill_(~is_token, float("-inf"))
    return Group(
        first_row,
        first_row + total,
        len(lengths),
        longest,
        rows.reshape(-1).to(device),
        is_token.reshape(-1).nonzero().squeeze(1).to(device),
        mask[:, None, None, :].to(device),
        (~is_token).reshape(-1).nonzero().squeeze(1).to(device),
        (longest - counts).float()[:, None, None, None].to(device),
    )


def uses_powers_of_two(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether scores are exponents of two: then it saves time, see `_weigh_by_powers_of_two`."""
    return dtype is torch.bfloat16 and device.type == "cpu"


def query_scale(head_size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Returns the factor that `attend` wants its queries multiplied by."""
    scale = head_size**-0.5
    return scale * math.log2(math.e) if uses_powers_of_two(dtype, device) else scale


def attend(qkv: torch.Tensor, groups: Sequence[Group], heads: int) -> torch.Tensor:
    """Computes softmax(q k^T) v text by text.

    Args:
        qkv: (rows, 3 * hidden); the queries are scaled already, by `query_scale`.
        groups: From `plan_groups` for the same rows.
        heads: Attention heads.

    Returns:
        (rows, hidden).
    """
    parts = [_attend_group(qkv[group.first_row : group.end_row], group, heads) for group in groups]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_group(qkv: torch.Tensor, group: Group, heads: int) -> torch.Tensor:
    padded = qkv if group.padded_rows is None else qkv.index_select(0, group.padded_rows)
    if group.padding_rows is not None and uses_powers_of_two(qkv.dtype, qkv.device):
        padded.index_fill_(0, group.padding_rows, 0)
    hidden = qkv.shape[1] // 3
    size = hidden // heads
    parts = padded.view(group.texts, group.length, 3, heads, size).permute(2, 0, 3, 1, 4)
    if qkv.device.type == "cpu":
        context = _attend_by_bmm(parts, group)
    else:
        q, k, v = parts
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=group.mask, scale=1.0)
    rows = context.transpose(1, 2).reshape(group.texts * group.length, hidden)
    return rows if group.kept_rows is None else rows.index_select(0, group.kept_rows)


def _attend_by_bmm(parts: torch.Tensor, group: Group) -> torch.Tensor:
    """Twice as fast as the fused operator on CPUs, as long as the scores fit the cache.

    Args:
        parts: (3, texts, heads, length, size): queries, keys, values.
        group: The texts.
    """
    _, texts, heads, length, size = parts.shape
    q, k, v = parts.reshape(3, texts * heads, length, size)  # one copy for the three
    scores = torch.bmm(q, k.transpose(1, 2))
    if uses_powers_of_two(q.dtype, q.device):
        context = _weigh_by_powers_of_two(scores, v, group, heads)
    else:
        _leave_out_padding(scores, group, heads)
        context = torch.bmm(torch.softmax(scores, dim=-1), v)
    return context.view(texts, heads, length, size)


def _leave_out_padding(scores: torch.Tensor, group: Group, heads: int) -> None:
    if group.mask is not None:
        scores.view(group.texts, heads, group.length, group.length).add_(group.mask)


def _weigh_by_powers_of_two(
    scores: torch.Tensor, v: torch.Tensor, group: Group, heads: int
) -> torch.Tensor:
    """Returns softmax(scores * ln 2) v, with the division after the product.

    torch's softmax of bfloat16 takes as long as both products together; without looking for the
    largest score of each row it takes less than half. Padding needs no mask: its keys and values
    are zero, so that each adds nothing to the product and exactly one to the sum. Should a row
    leave the range of numbers, it is done the long way.
    """
    powers = torch.exp2(scores)
    sums = powers.sum(dim=-1, keepdim=True, dtype=torch.float32)
    smallest = _SMALLEST_SUM
    if group.padding_counts is not None:
        sums.view(group.texts, heads, group.length, 1).sub_(group.padding_counts)
        smallest = _SMALLEST_DIFFERENCE
    least, most = torch.aminmax(sums)
    if least > smallest and most < _LARGEST_SUM:
        return torch.bmm(powers, v).div_(sums)
    _leave_out_padding(scores, group, heads)
    return torch.bmm(torch.softmax(scores.float() * math.log(2), dim=-1).to(v.dtype), v)
