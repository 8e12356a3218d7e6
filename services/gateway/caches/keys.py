"""What a cached value stands for: everything that could have made it another one."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.caches.positions import Position
    from services.gateway.requests import Question, RecommendAsk, SearchAsk
    from services.rpc.scope import Scope

PIPELINE_VERSION = "2"
"""Rises when the stages between question and answer change what comes out of them."""

_FEW_PRINCIPALS = 64
"""Fingerprints of so many at most are remembered."""


@dataclass(frozen=True, slots=True)
class Place:
    """The collection a value came from: its entries end together when the collection changes."""

    tenant: str
    collection: str
    """Own name, not an alias."""
    generation: int


def permission_fingerprint(scope: Scope) -> str:
    """Returns what tells readers apart: tenant and everything the caller acts as.

    Callers with equal fingerprints see exactly the same documents. Who called, with which key, is
    not in it.
    """
    if len(scope.principals) > _FEW_PRINCIPALS:
        return _digest("scope", scope.tenant, *sorted(set(scope.principals)))
    return _remembered_fingerprint(scope.tenant, scope.principals)


@functools.lru_cache(maxsize=1024)
def _remembered_fingerprint(tenant: str, principals: tuple[str, ...]) -> str:
    """Makes a fingerprint once: the same callers come again and again."""
    return _digest("scope", tenant, *sorted(set(principals)))


def place_of(scope: Scope, position: Position) -> Place:
    """Returns where a value of the scope at the position comes from."""
    return Place(scope.tenant, position.collection, position.generation)


def partition_key(scope: Scope, position: Position, question: Question, identity: str) -> str:
    """Returns what all questions share that may have each other's answers.

    Args:
        scope: On whose behalf.
        position: Where the collection stands.
        question: All of it counts but its text.
        identity: Models and prompt versions that answer.
    """
    return _digest(
        "answer",
        *_where(scope, position),
        identity,
        str(int(scope.tenant_class)),
        *(f"{turn.speaker}:{turn.text}" for turn in question.history),
        "|",
        repr(question.filter),
        str(question.top_k),
        question.mode.value,
        str(question.rerank),
        question.model,
        str(question.max_tokens),
        str(question.temperature),
        question.verification.value,
        question.instructions,
        str(question.min_support),
    )


def answer_key(partition: str, query: str) -> str:
    """Returns the key of one question's answer; runs of white space count as one space."""
    return _digest(partition, " ".join(query.split()))


def search_key(scope: Scope, position: Position, ask: SearchAsk) -> str:
    """Returns the key of a search's result."""
    return _digest(
        "search",
        *_where(scope, position),
        " ".join(ask.query.split()),
        *(f"{turn.speaker}:{turn.text}" for turn in ask.history),
        "|",
        repr(ask.filter),
        str(ask.top_k),
        ask.mode.value,
        str(ask.rerank),
        str(ask.max_per_document),
    )


def recommend_key(scope: Scope, position: Position, ask: RecommendAsk) -> str:
    """Returns the key of a recommendation's result."""
    return _digest(
        "recommend",
        *_where(scope, position),
        *ask.positive_ids,
        "|",
        *ask.negative_ids,
        "|",
        *ask.liked_ids,
        "|",
        *ask.disliked_ids,
        "|",
        repr(ask.filter),
        str(ask.top_k),
        repr((ask.history_weight, ask.diversity, ask.candidates)),
    )


def _where(scope: Scope, position: Position) -> tuple[str, ...]:
    return (
        PIPELINE_VERSION,
        permission_fingerprint(scope),
        position.collection,
        str(position.generation),
    )


def _digest(*parts: str) -> str:
    """Returns a name for the parts in their order; no two lists of parts share one."""
    digest = hashlib.blake2b(digest_size=24)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()
