"""The first passes of a model, made before anyone waits for them."""

from __future__ import annotations

import numpy as np

from services.embedding.batcher import Batcher, Work
from services.embedding.encoder import Encoder, Output
from services.embedding.options import InputKind, Lane


async def warm_up(encoder: Encoder, batcher: Batcher) -> None:
    """Runs a short text, the longest one, a mix, and a query's worth of passages, each output.

    Raises:
        ServiceError: The model does not run.
    """
    (short,) = encoder.tokenize(["a short text to begin with"], InputKind.QUERY)
    longest = np.resize(short.ids, encoder.info.max_tokens)
    for output in Output:
        mix, passages = [short.ids, longest, short.ids], [longest] * 16
        for batch in ([short.ids], [longest], mix, passages):
            outcomes = await batcher.run(
                encoder, output, [Work(ids) for ids in batch], lane=Lane.INTERACTIVE
            )
            for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
