"""What an accelerator does otherwise: attention over texts of any length, and recorded passes.

Both are tried against the plain way before they are used, and left out where they fail. Starting
the kernels of a pass takes longer than a few short texts take to run: such passes are recorded
once (CUDA graphs) for sizes in steps, and replayed with the texts' ids put in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from services.rpc.logs import exception_fields, get_logger

Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(ids, positions, ends, longest) → rows of the last layer; see `Packed` for the arguments."""

_TOKEN_STEPS = (32, 64, 128, 256, 512, 1024)
_TEXT_STEPS = (1, 4, 16, 64)
_TOLERANCE = 0.05
"""Largest difference in half precision, relative to the largest result."""
_ROUNDS_BEFORE_RECORDING = 2
"""Passes before a recording, in which libraries choose their kernels and take their memory."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Texts one after the other."""

    ids: torch.Tensor
    """(tokens,) int64."""
    positions: torch.Tensor
    """(tokens,) int64: place of each token in its text."""
    ends: torch.Tensor
    """(texts + 1,) int32: 0, then where each text ends."""
    longest: int
    """Tokens of the longest text."""

    @classmethod
    def of(cls, ids: torch.Tensor, lengths: Sequence[int], device: torch.device) -> Packed:
        """Packs texts whose ids lie one after the other."""
        counts = torch.tensor(lengths)
        ends = F.pad(torch.cumsum(counts, 0), (1, 0)).int()
        starts = torch.repeat_interleave(ends[:-1].long(), counts)
        positions = torch.arange(len(ids)) - starts
        return cls(ids.to(device), positions.to(device), ends.to(device), max(lengths))


def attend_packed(qkv: torch.Tensor, ends: torch.Tensor, longest: int, heads: int) -> torch.Tensor:
    """Computes softmax(q k^T) v text by text, in one kernel. CUDA and half precision only.

    Args:
        qkv: (rows, 3 * hidden); the queries are scaled already.
        ends: As in `Packed`.
        longest: Rows of the longest text, or more.
        heads: Attention heads.

    Returns:
        (rows, hidden).
    """
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - new in torch 2.10

    rows, width = qkv.shape
    q, k, v = qkv.view(rows, 3, heads, width // (3 * heads)).unbind(1)
    context = varlen_attn(q, k, v, ends, ends, longest, longest, scale=1.0)
    assert isinstance(context, torch.Tensor)
    return context.reshape(rows, width // 3)


@functools.cache
def packed_attention_works(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Tries it against attention text by text: present, and right for texts of any length."""
    if device.type != "cuda" or dtype not in {torch.float16, torch.bfloat16}:
        return False
    try:
        generator = torch.Generator().manual_seed(0)
        lengths, heads = (1, 7, 130, 33), 2
        qkv = torch.randn(sum(lengths), 3 * heads * head_size, generator=generator)
        qkv = (qkv * head_size**-0.25).to(device=device, dtype=dtype)
        ends = F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).int().to(device)
        found = attend_packed(qkv, ends, max(lengths), heads).float()
        wanted = attend_one_by_one(qkv.float(), lengths, heads)
        return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())
    except Exception as error:  # noqa: BLE001 - whatever is missing, the plain way works
        get_logger().warning("attention over packed texts is left out", **exception_fields(error))
        return False


def attend_one_by_one(qkv: torch.Tensor, lengths: Sequence[int], heads: int) -> torch.Tensor:
    """The plain way, for comparison: (rows, hidden)."""
    parts = []
    for part in torch.split(qkv, list(lengths)):
        q, k, v = part.view(len(part), 3, heads, -1).permute(1, 2, 0, 3)
        context = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        parts.append(context.transpose(0, 1).reshape(len(part), -1))
    return torch.cat(parts)


class RecordedPasses:
    """Replays passes over a few texts.

    Args:
        forward: The pass; launches kernels only, and asks nothing of their results.
        record: Makes a replay of a function without arguments; `record_on_cuda`, or in tests the
            function itself.
        most_tokens: Tokens of the longest text that the model reads.
    """

    def __init__(
        self,
        forward: Forward,
        record: Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]],
        most_tokens: int,
    ) -> None:
        self._forward = forward
        self._record = record
        self._most_tokens = most_tokens
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self.is_off = False

    def run(self, packed: Packed) -> torch.Tensor | None:
        """Returns the rows of a pass; None where it is to be run the plain way."""
        texts = len(packed.ends) - 1
        tokens_step = next((step for step in _TOKEN_STEPS if step >= len(packed.ids)), None)
        texts_step = next((step for step in _TEXT_STEPS if step >= texts), None)
        if self.is_off or tokens_step is None or texts_step is None:
            return None
        key = (tokens_step, texts_step)
        recording = self._recordings.get(key)
        if recording is None:
            recording = self._try_to_record(packed, *key)
            if recording is None:
                return None
            self._recordings[key] = recording
        return recording.replay(packed)

    def _try_to_record(self, packed: Packed, tokens: int, texts: int) -> _Recording | None:
        longest = min(tokens, self._most_tokens)
        try:
            recording = _Recording(self._forward, self._record, packed, (tokens, texts, longest))
            found = recording.replay(packed).float()
            wanted = self._forward(
                packed.ids, packed.positions, packed.ends, packed.longest
            ).float()
            if (found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max():
                return recording
            get_logger().warning("recorded passes differ: they are left out")
        except Exception as error:  # noqa: BLE001 - the plain way works
            get_logger().warning("recorded passes are left out", **exception_fields(error))
        self.is_off = True
        return None


class _Recording:
    """One pass of a fixed size. Tokens beyond the texts belong to none, texts beyond are empty."""

    def __init__(
        self,
        forward: Forward,
        record: Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]],
        example: Packed,
        steps: tuple[int, int, int],
    ) -> None:
        tokens, texts, longest = steps
        device = example.ids.device
        self._ids = torch.zeros(tokens, dtype=torch.int64, device=device)
        self._positions = torch.zeros(tokens, dtype=torch.int64, device=device)
        self._ends = torch.zeros(texts + 1, dtype=torch.int32, device=device)
        self._fill(example)
        self._replay = record(lambda: forward(self._ids, self._positions, self._ends, longest))

    def replay(self, packed: Packed) -> torch.Tensor:
        """Returns the rows of the texts; they are the caller's."""
        self._fill(packed)
        return self._replay()[: len(packed.ids)].clone()

    def _fill(self, packed: Packed) -> None:
        self._ids[: len(packed.ids)].copy_(packed.ids)
        self._positions[: len(packed.ids)].copy_(packed.positions)
        self._ends.fill_(len(packed.ids))
        self._ends[: len(packed.ends)].copy_(packed.ends)


def record_on_cuda(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """Records a pass as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_ROUNDS_BEFORE_RECORDING):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rows = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return rows

    return replay
