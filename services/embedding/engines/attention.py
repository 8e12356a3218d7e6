"""Self-attention over texts that lie one after the other, without padding, in one buffer."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from services.embedding.engines.shapes import padded_length, padded_texts

_SCORE_BYTES = 512 * 1024
"""Scores of one step on a CPU: half of a usual second-level cache."""
_SCORES_OF_A_STEP = 4000
"""Scores of one head that take as long as the operators of one more step do to start."""
_SMALLEST_SUM, _LARGEST_SUM = 1e-32, 1e34
"""Sums of powers outside of this may have lost terms."""
_GROUPS = 64
"""Single texts whose description is kept, by their length: a few kilobytes each."""
_SMALLEST_DIFFERENCE = 1e-2
"""Least sum that may be left of one that padding was in: it keeps four digits in float32."""


@dataclass(frozen=True, slots=True)
class Group:
    """Texts next to each other that attend in one step, padded to one length.

    On a CPU there may be texts more than there are, of padding only, see `shapes`.
    """

    first_row: int
    """First row of the group in the buffer."""
    end_row: int
    texts: int
    length: int
    """Tokens of the longest text, or a few more."""
    padded_rows: torch.Tensor | None
    """(texts * length,) rows of the group, where there is padding."""
    kept_rows: torch.Tensor | None
    """Places in the padded order that hold real tokens, where there is padding; a place more for
    each row after the last text."""
    mask: torch.Tensor | None
    """(texts, 1, 1, length): 0 for tokens, -inf for padding, where there is some."""
    padding_rows: torch.Tensor | None
    """Places in the padded order that hold no tokens, where there are such."""
    padding_counts: torch.Tensor | None
    """(texts, 1, 1, 1) float32: how many those are in each text."""


def plan_groups(
    lengths: Sequence[int],
    heads: int,
    dtype: torch.dtype,
    device: torch.device,
    more_rows: int = 0,
) -> list[Group]:
    """Cuts texts into groups.

    On a CPU the scores of a group fit the cache, and its texts are of about one length; on an
    accelerator all texts go in one step.

    Args:
        lengths: Tokens of each text, sorted.
        heads: Attention heads.
        dtype: Of the rows.
        device: Where they are.
        more_rows: Rows after the last text that stand for nothing, and get any numbers.
    """
    if len(lengths) == 1 and device.type == "cpu":
        padded = padded_length(lengths[0])
        return [_group_of_one(lengths[0], dtype, device, padded, more_rows)]
    if device.type != "cpu":
        return [_group(0, lengths, dtype, device, (len(lengths), max(lengths)), more_rows)]
    groups: list[Group] = []
    begin = row = 0
    while begin < len(lengths):
        end = _end_of_group(lengths, begin, heads * dtype.itemsize)
        shape = padded_texts(end - begin), padded_length(lengths[end - 1])
        more = more_rows if end == len(lengths) else 0
        groups.append(_group(row, lengths[begin:end], dtype, device, shape, more))
        begin, row = end, groups[-1].end_row
    return groups


def _end_of_group(lengths: Sequence[int], begin: int, score_bytes: int) -> int:
    """Returns the place after the last text that goes with the one at `begin`."""
    length = padded_length(lengths[begin])
    end = begin + 1
    while end < len(lengths):
        longer = padded_length(lengths[end])
        texts = end + 1 - begin
        if padded_texts(texts) * longer**2 * score_bytes > _SCORE_BYTES:
            break
        if (texts - 1) * (longer**2 - length**2) > _SCORES_OF_A_STEP:
            break
        length = longer
        end += 1
    return end


@functools.lru_cache(maxsize=_GROUPS)
def _group_of_one(
    length: int, dtype: torch.dtype, device: torch.device, padded: int, more_rows: int
) -> Group:
    """Describes a text that attends by itself: as a question does, again and again."""
    return _group(0, (length,), dtype, device, (1, padded), more_rows)


def _group(
    first_row: int,
    lengths: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    shape: tuple[int, int],
    more_rows: int,
) -> Group:
    """Describes texts that attend in one step, padded to a shape: so many texts, so long."""
    texts, length = shape
    total = sum(lengths)
    end_row = first_row + total
    if total == texts * length and not more_rows:
        return Group(first_row, end_row, texts, length, None, None, None, None, None)
    counts = torch.tensor([*lengths, *[0] * (texts - len(lengths))])
    places = torch.arange(length).expand(texts, length)
    is_token = places < counts[:, None]
    starts = torch.cumsum(counts, 0) - counts
    rows = torch.where(is_token, starts[:, None] + places, 0)
    # A text of padding only leaves nothing out: it weighs zeros, instead of dividing by zero.
    is_left_out = ~is_token & (counts > 0)[:, None]
    mask = torch.zeros(is_token.shape, dtype=dtype).masked_fill_(is_left_out, float("-inf"))
    kept = is_token.reshape(-1).nonzero().squeeze(1)
    return Group(
        first_row,
        end_row,
        texts,
        length,
        rows.reshape(-1).to(device),
        torch.cat((kept, kept.new_zeros(more_rows))).to(device),
        mask[:, None, None, :].to(device),
        (~is_token).reshape(-1).nonzero().squeeze(1).to(device),
        is_left_out.sum(1).float()[:, None, None, None].to(device),
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
        (rows, hidden); of rows after the last text, any numbers.
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
