"""The first passes of a model, made before anyone waits for them."""

from __future__ import annotations

import numpy as np

from services.embedding.encoder import Output, PairModel
from services.embedding.intake import Work
from services.embedding.models import LoadedModel
from services.embedding.options import Caller, InputKind, Lane

_OUTPUTS = (Output.POOLED, Output.TOKENS, Output.SCORE)
"""Each by itself: pooled and token vectors from one pass run nothing new."""


async def warm_up(model: LoadedModel) -> None:
    """Runs a short text, the longest one, a mix, and a query's worth of passages, each output.

    A model that runs elsewhere is asked for one text alone.

    Raises:
        ServiceError: The model does not run.
    """
    encoder = model.encoder
    if isinstance(encoder, PairModel):
        (short,) = encoder.tokenize_pairs("a question", ["a short text to begin with"])
    else:
        (short,) = encoder.tokenize(["a short text to begin with"], InputKind.QUERY)
    longest = np.resize(short.ids, encoder.info.max_tokens)
    outputs = [each for each in _OUTPUTS if each in encoder.info.outputs]
    if not encoder.info.reads_ids:
        longest = short.ids
    for output in outputs:
        mix, passages = [short.ids, longest, short.ids], [longest] * 16
        batches = ([short.ids], [longest], mix, passages)
        for batch in batches if encoder.info.reads_ids else batches[:1]:
            outcomes = await model.runner.run(
                encoder,
                output,
                [Work(ids) for ids in batch],
                lane=Lane.INTERACTIVE,
                caller=Caller(tenant=""),
            )
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
