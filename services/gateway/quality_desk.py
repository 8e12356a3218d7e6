"""What callers may ask about the quality of answers: checks of texts, and refusal thresholds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.gateway.answer import SentenceSupport
from services.gateway.identity import Operation
from services.gateway.metering import tokens_of
from services.gateway.pipeline.grounding import Grounding
from services.gateway.pipeline.run import Run
from services.gateway.pipeline.support import mean_support
from services.gateway.pipeline.words import sentence_spans, without_list_marks
from services.gateway.texts import check_collection, check_range, check_text
from services.gateway.usage import Usage
from services.rpc.errors import InvalidArgumentError, Reason
from services.rpc.telemetry import current_trace_id, span

if TYPE_CHECKING:
    from services.gateway.clients.retrieval_client import RetrievalClient
    from services.gateway.identity import Caller
    from services.gateway.metering import Metering
    from services.gateway.pipeline.ports import TokenEncoder
    from services.gateway.requests import Question
    from services.gateway.store.calibrations import Calibration, Calibrations

MAX_ANSWER_CHARACTERS = 32_000
MAX_SOURCES = 64
MAX_SOURCE_CHARACTERS = 32_000
MAX_SOURCES_CHARACTERS = 256_000

_MARKERS = re.compile(r"\s*\[\d{1,3}\]")
_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """How well sources carry an answer: `cairn.gateway.v1.VerifyAnswerResponse`, by its names."""

    grounded: float
    sentences: tuple[SentenceSupport, ...]
    """How well the sources together carry each sentence."""
    degraded: tuple[str, ...]
    trace_id: str


class QualityDesk:
    """Checks answers and keeps thresholds.

    Args:
        encoder: Gives token vectors.
        calibrations: Kept thresholds.
        retrieval: Knows which collections there are.
        metering: Reserves and meters what requests use.
        seconds: Deadline of a check that has none or a later one.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        calibrations: Calibrations,
        retrieval: RetrievalClient,
        metering: Metering,
        seconds: float,
    ) -> None:
        self._encoder = encoder
        self._calibrations = calibrations
        self._retrieval = retrieval
        self._metering = metering
        self._seconds = seconds

    async def verify(self, caller: Caller, answer: str, sources: Sequence[str]) -> CheckedAnswer:
        """Returns how well `sources` carry each sentence of `answer`.

        Raises:
            InvalidArgumentError: a text is empty or too long, or there are too many.
        """
        caller.require(Operation.VERIFY)
        check_text("answer", answer, limit=MAX_ANSWER_CHARACTERS, required=True)
        check_range("sources (entries)", len(sources), 0, MAX_SOURCES)
        for index, source in enumerate(sources):
            check_text(f"sources[{index}]", source, limit=MAX_SOURCE_CHARACTERS)
        if sum(map(len, sources)) > MAX_SOURCES_CHARACTERS:
            raise InvalidArgumentError.for_field(
                "sources",
                f"together have more than {MAX_SOURCES_CHARACTERS} characters",
                Reason.TOO_LARGE,
            )
        expected = self._metering.expected(Usage(embedding_tokens=tokens_of([answer, *sources])))
        async with self._metering.request(caller, Operation.VERIFY, expected=expected):
            return await self._verified(caller, answer, sources)

    async def _verified(self, caller: Caller, answer: str, sources: Sequence[str]) -> CheckedAnswer:
        run = Run(caller.scope, "verify", self._seconds)
        grounding = Grounding(self._encoder, run, share=1.0)
        source = _SEPARATOR.join(each for each in sources if each.strip())
        spans = [
            (start, end, bare)
            for start, end in sentence_spans(answer)
            if any(map(str.isalnum, bare := _without_marks(answer[start:end])))
        ]
        with span("verify.answer", attributes={"cairn.sentence.count": len(spans)}):
            await grounding.learn((bare, source) for _, _, bare in spans)
        sentences = tuple(
            SentenceSupport(start, end, round(grounding.support(bare, source), 4))
            for start, end, bare in spans
        )
        grounded = mean_support(
            (bare, each.support) for (_, _, bare), each in zip(spans, sentences, strict=True)
        )
        return CheckedAnswer(
            grounded=round(grounded, 4),
            sentences=sentences,
            degraded=tuple(run.degraded),
            trace_id=current_trace_id(),
        )

    async def calibrated(self, caller: Caller, question: Question) -> Question:
        """Returns the question with the threshold of its collection."""
        found = await self._calibrations.of(caller.scope.tenant, question.collection)
        return question if found is None else replace(question, min_support=found.min_support)

    async def calibration(self, caller: Caller, collection: str) -> Calibration | None:
        """Returns a collection's calibration.

        Raises:
            NotFoundError: there is no such collection.
        """
        collection = check_collection(collection)
        caller.require(Operation.READ_COLLECTIONS, collection)
        await self._retrieval.get_collection(caller.scope, collection)
        return await self._calibrations.read(caller.scope.tenant, collection)

    async def set_calibration(
        self, caller: Caller, collection: str, calibration: Calibration | None
    ) -> Calibration | None:
        """Sets a collection's calibration; None drops it.

        Raises:
            NotFoundError: there is no such collection.
        """
        collection = check_collection(collection)
        caller.require(Operation.CALIBRATE, collection)
        await self._retrieval.get_collection(caller.scope, collection)
        await self._calibrations.put(caller.scope.tenant, collection, calibration)
        return calibration

    async def forget(self, caller: Caller, collection: str) -> None:
        """Drops what is kept of a collection that is gone."""
        await self._calibrations.put(caller.scope.tenant, collection, None)


def _without_marks(sentence: str) -> str:
    """Returns a sentence without what cites and what counts: "2. So it is [3]." says no number."""
    return without_list_marks(_MARKERS.sub("", sentence)).strip()
