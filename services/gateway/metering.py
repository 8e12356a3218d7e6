"""Around every request that uses something: reserve, meter, settle."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from services.gateway.limits.gate import Amounts, payer_of
from services.gateway.usage import Usage

if TYPE_CHECKING:
    from services.gateway.identity import Caller, Operation
    from services.gateway.ledger.ledger import Ledger
    from services.gateway.limits.gate import Gate
    from services.gateway.load_shedding import LoadShedder
    from services.gateway.pipeline.ports import Prompt
    from services.gateway.requests import Question
    from services.gateway.usage import Meter

_CHARACTERS_PER_TOKEN = 3
"""For reservations, which must not be too small: texts have four and more."""
_PASSAGE_TOKENS = 400
_ANSWER_TOKENS = 1_024
"""Reserved for an answer whose length the question does not bound."""
_PICOS_PER_NANO = 1_000
_TIMED = frozenset({"query", "search", "recommend"})
"""Operations that should end well within their deadlines."""


class Metering:
    """Reserves what a request may use, meters what it does use, and settles.

    Args:
        gate: Limits.
        ledger: Meters.
        load: Sends requests away when there is enough to do.
    """

    def __init__(self, gate: Gate, ledger: Ledger, load: LoadShedder) -> None:
        self._gate = gate
        self._ledger = ledger
        self._load = load

    @contextlib.asynccontextmanager
    async def request(
        self,
        caller: Caller,
        operation: Operation,
        collection: str = "",
        expected: Amounts | None = None,
    ) -> AsyncIterator[Meter]:
        """Runs the block as one request of the caller.

        The block adds to the meter what it uses; what it has used counts however it ends.

        Args:
            caller: Who asks.
            operation: For what.
            collection: About which collection; empty: none.
            expected: What the request will use at most.

        Raises:
            ResourceExhaustedError: a limit has not enough left, or there is enough to do.
        """
        is_timed = operation.label in _TIMED
        with self._load.admit(caller.scope.tenant_class, is_timed=is_timed):
            reservation = await self._gate.reserve(caller, expected or Amounts())
            with self._ledger.metered(payer_of(caller), operation.label, collection) as meter:
                try:
                    yield meter
                finally:
                    reservation.settle(self._amounts(meter))

    def asking(self, question: Question, *, is_stream: bool) -> Amounts:
        """Returns what a question will use at most."""
        characters = len(question.query) + len(question.instructions)
        characters += sum(len(turn.text) for turn in question.history)
        usage = Usage(
            embedding_tokens=tokens_of([question.query]),
            prompt_tokens=math.ceil(characters / _CHARACTERS_PER_TOKEN)
            + question.top_k * _PASSAGE_TOKENS,
            completion_tokens=question.max_tokens or _ANSWER_TOKENS,
        )
        return self.expected(usage, question.model, streams=int(is_stream))

    def writing(self, prompt: Prompt, *, is_stream: bool) -> Amounts:
        """Returns what a prompt will use at most."""
        usage = Usage(
            prompt_tokens=math.ceil(prompt.characters / _CHARACTERS_PER_TOKEN),
            completion_tokens=prompt.max_tokens or _ANSWER_TOKENS,
        )
        return self.expected(usage, prompt.model, streams=int(is_stream))

    def expected(self, usage: Usage, model: str = "", **more: int) -> Amounts:
        """Returns the amounts of a usage, with its cost."""
        cost = self._ledger.prices.parts(usage, model).total
        return Amounts(tokens=usage.tokens, cost_nanos=math.ceil(cost / _PICOS_PER_NANO), **more)

    def _amounts(self, meter: Meter) -> Amounts:
        return self.expected(
            meter.total,
            meter.model,
            documents=meter.document_count,
            vectors=meter.vector_count,
            bytes=meter.byte_count,
        )


def tokens_of(texts: Iterable[str]) -> int:
    """Returns the tokens that texts have at most, roughly."""
    return math.ceil(sum(map(len, texts)) / _CHARACTERS_PER_TOKEN)
