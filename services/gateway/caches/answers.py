"""Kept answers, found by the very question or by one that asks for the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from services.gateway.caches import keys, sizes
from services.gateway.caches.likeness import sense_of
from services.gateway.caches.semantic import SimilarQuestions
from services.gateway.caches.store import BoundedStore, Kept

if TYPE_CHECKING:
    from services.gateway.answer import Answer
    from services.gateway.caches.positions import Position
    from services.gateway.passages import Passage
    from services.gateway.pipeline.ports import Retrieved
    from services.gateway.requests import Question
    from services.rpc.scope import Scope


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with all that its answer depends on."""

    key: str
    partition: str
    place: keys.Place
    position: Position
    query: str
    top_k: int
    may_be_like: bool
    """Whether another question's answer may do; not where former turns give the words a sense."""

    @classmethod
    def of(cls, scope: Scope, question: Question, position: Position, identity: str) -> Self:
        """Returns a question asked within a scope at a position, of those who answer."""
        partition = keys.partition_key(scope, position, question, identity)
        return cls(
            key=keys.answer_key(partition, question.query),
            partition=partition,
            place=keys.place_of(scope, position),
            position=position,
            query=question.query,
            top_k=question.top_k,
            may_be_like=not question.history,
        )


class AnswerStore:
    """Keeps answers.

    Args:
        limit_bytes: Most they may take.
        max_seconds: How long any is kept.
        threshold: Least cosine of questions that may have each other's answers; above 1: none may.
    """

    def __init__(self, limit_bytes: int, max_seconds: float, threshold: float) -> None:
        self.similar = SimilarQuestions(threshold)
        self.store: BoundedStore[Answer] = BoundedStore(
            "exact", limit_bytes, max_seconds, on_removed=self.similar.forget
        )
        self._has_likes = threshold <= 1

    def keep(self, asked: Asked, answer: Answer, found: Retrieved) -> None:
        """Keeps an answer to the question, made from what was found for it."""
        size = sizes.answer_bytes(answer)
        may_be_like = self._has_likes and asked.may_be_like and not answer.refused
        extra = 4 * found.vector.dimensions + 200 if may_be_like and found.vector else 0
        if not self.store.keep(asked.key, answer, asked.place, size + extra, found.valid_until):
            return
        if may_be_like and found.vector is not None and answer.citations:
            self.similar.add(asked.partition, asked.key, found.vector, sense_of(asked.query))

    def recall(self, asked: Asked, found: Retrieved) -> tuple[Kept[Answer], float] | None:
        """Returns the answer to a question that asks for the same, and the questions' cosine.

        It is proven by what was found for this question, on behalf of this caller, just now: the
        best passage is one of those the answer was written from, and all that the answer cites is
        among the best, in the same versions.

        Args:
            asked: The question.
            found: Passages found for it, best first.
        """
        if not self._has_likes or not asked.may_be_like or found.vector is None:
            return None
        sense = sense_of(asked.query)
        for key, cosine in self.similar.find(asked.partition, found.vector, sense):
            kept = self.store.find(key)
            if kept is not None and _is_carried(kept.value, found, asked.top_k):
                return kept, cosine
        return None


def _is_carried(answer: Answer, found: Retrieved, top_k: int) -> bool:
    passages = [each.passage for each in found.passages[: max(_LEAST_LOOK, 2 * top_k)]]
    if not passages or not answer.citations:
        return False
    written_from = {_name(each.passage) for each in answer.passages}
    now = {_name(each) for each in passages}
    cited = {(each.document_id, each.document_version, each.chunk_id) for each in answer.citations}
    return _name(passages[0]) in written_from and cited <= now


_LEAST_LOOK = 10
"""Passages, from the best, among which the cited ones must be: what is used of them comes after
reranking, which moves passages within the first twenty."""


def _name(passage: Passage) -> tuple[str, int, str]:
    return passage.document_id, passage.document_version, passage.chunk_id
