"""Contextual vectors of the tokens of texts: located, run, without the special tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.embedding.embed_job import Clock
from services.embedding.encoder import AnyEncoder, LocatedTokens, Output, VectorArray
from services.embedding.intake import Work
from services.embedding.models import LoadedModel
from services.embedding.options import Caller, InputKind, Lane
from services.embedding.splitting import Splitter
from services.embedding.token_pooling import pool_rows, pooled_groups
from services.rpc.errors import FailedPreconditionError, Reason


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """Contextual vectors of one text."""

    vectors: VectorArray
    """(tokens or groups of them, dimensions), rows of length 1, special tokens left out."""
    starts: npt.NDArray[np.int64]
    """First character of each row, in Unicode code points of the text."""
    ends: npt.NDArray[np.int64]
    """Character after the last one of each row."""
    is_truncated: bool


def token_vectors(located: LocatedTokens, rows: VectorArray, pooling_factor: float) -> TokenVectors:
    """Returns the vectors of one text, merged where that is wanted."""
    starts, ends = located.starts, located.ends
    if pooling_factor > 1 and len(rows):
        firsts = pooled_groups(rows, pooling_factor)
        lasts = np.append(firsts[1:], len(rows)) - 1
        rows, starts, ends = pool_rows(rows, firsts), starts[firsts], ends[lasts]
    return TokenVectors(rows, starts, ends, located.tokens.is_truncated)


def check_output(model: LoadedModel, output: Output, what: str) -> None:
    """Refuses a model that cannot do what is asked.

    Raises:
        FailedPreconditionError: Says what it is.
    """
    info = model.encoder.info
    if output in info.outputs:
        return
    kind = (
        "a cross-encoder, which only scores" if info.is_cross_encoder else f"run by {info.engine}"
    )
    raise FailedPreconditionError(
        Reason.NOT_SUPPORTED, f"{model.name} gives no {what}: it is {kind}; name another model"
    )


async def locate(
    splitter: Splitter,
    encoder: AnyEncoder,
    texts: Sequence[str],
    kind: InputKind,
    lane: Lane,
    clock: Clock,
) -> list[LocatedTokens]:
    """Splits texts, with the place of each token."""
    started = time.monotonic()
    located = await splitter.in_chunks(texts, lane, lambda chunk: encoder.locate(chunk, kind))
    clock.tokenize_seconds += time.monotonic() - started
    return located


async def run_tokens(
    model: LoadedModel,
    located: Sequence[LocatedTokens],
    lane: Lane,
    caller: Caller,
    clock: Clock,
) -> list[VectorArray]:
    """Returns the rows of the located tokens of each text.

    Raises:
        ServiceError: One of the texts failed, or too much waits.
    """
    encoder = model.encoder
    filled = [index for index, each in enumerate(located) if len(each.rows)]
    started = time.monotonic()
    outcomes = await model.runner.run(
        encoder,
        Output.TOKENS,
        [Work(located[index].tokens.ids) for index in filled],
        lane=lane,
        caller=caller,
    )
    clock.add(outcomes, time.monotonic() - started)
    empty = np.zeros((0, encoder.info.dimensions), dtype=np.float32)
    result = [empty] * len(located)
    for index, outcome in zip(filled, outcomes, strict=True):
        if outcome.error is not None or outcome.result is None:
            raise outcome.error or AssertionError("an outcome without result has an error")
        result[index] = outcome.result[located[index].rows]
    return result
