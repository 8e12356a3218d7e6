"""The waiting room in front of each engine, and what all of them tell together."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.embedding.encoder import Output
from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.intake import BatcherLimits, Intake, Work
from services.embedding.options import Caller, Lane
from services.rpc.errors import UnavailableError


def waiting_tokens(lane):
    return REGISTRY.get_sample_value("cairn_embedding_queue_tokens", {"lane": lane})


def oldest_seconds(lane):
    return REGISTRY.get_sample_value("cairn_embedding_queue_age_seconds", {"lane": lane})


def opened(now):
    intake = Intake(
        BatcherLimits(),
        clock=lambda: now,
        hand_over=lambda call: call(),
        on_arrival=lambda: None,
    )
    intake.is_open = True
    return intake


async def test_metrics_of_the_queue_are_of_all_engines():
    """An engine that batches by itself has a queue of its own, beside that of the local ones."""
    encoder, before = HashEncoder(), waiting_tokens("bulk")
    intakes = [opened(100.0), opened(100.0)]
    tasks = [
        asyncio.create_task(
            intake.run(
                encoder,
                Output.POOLED,
                [Work(np.arange(count))],
                lane=Lane.BULK,
                caller=Caller("t"),
            )
        )
        for count, intake in zip((3, 4), intakes, strict=True)
    ]
    await asyncio.sleep(0)
    assert waiting_tokens("bulk") == before + 7
    intakes[1]._clock = lambda: 105.0
    assert oldest_seconds("bulk") >= 5
    for intake in intakes:
        intake.close()
    outcomes = [outcome for (outcome,) in await asyncio.gather(*tasks)]
    assert all(isinstance(outcome.error, UnavailableError) for outcome in outcomes)
    assert waiting_tokens("bulk") == before


async def test_a_closed_one_takes_nothing():
    intake = opened(0.0)
    intake.close()
    with pytest.raises(UnavailableError):
        await intake.run(
            HashEncoder(),
            Output.POOLED,
            [Work(np.arange(3))],
            lane=Lane.BULK,
            caller=Caller("t"),
        )
