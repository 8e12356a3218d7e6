"""Requests for the generation service's domain, short to write in tests."""

from __future__ import annotations

from typing import Any

from services.generation.engine import (
    Delta,
    Engine,
    GenerationRequest,
    Message,
    Outcome,
    Passage,
    Role,
)
from services.rpc.scope import Scope

SCOPE = Scope("acme", ("everyone",), "key:test")


def ask(question: str, *passages: str | Passage, **fields: Any) -> GenerationRequest:
    """Returns a request with one question over the passages."""
    found = tuple(
        each if isinstance(each, Passage) else Passage(each, document_id=f"d{number}")
        for number, each in enumerate(passages)
    )
    return GenerationRequest(
        **{
            "scope": SCOPE,
            "messages": (Message(Role.USER, question),),
            "passages": found,
            "prompt_template": "answer@1" if found else "chat@1",
            **fields,
        }
    )


async def run(engine: Engine, request: GenerationRequest) -> tuple[list[Delta], Outcome]:
    """Returns what an engine says: its deltas and its one outcome, which must come last."""
    events = [event async for event in engine.generate(request)]
    assert isinstance(events[-1], Outcome)
    deltas = [event for event in events[:-1] if isinstance(event, Delta)]
    assert len(deltas) == len(events) - 1
    return deltas, events[-1]
