"""The stages in their order: the one place that knows how an answer comes about."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.answer import (
    Answer,
    AnswerDelta,
    AnswerEvent,
    PassagesFound,
    SearchResult,
    StageExplanation,
    passages_of,
)
from services.gateway.load_shedding import passages_found
from services.gateway.pipeline.assemble import Assemble
from services.gateway.pipeline.citations import CitationWriter
from services.gateway.pipeline.embed import Embed
from services.gateway.pipeline.generate import Draft, Generate
from services.gateway.pipeline.grounding import Grounding
from services.gateway.pipeline.neighbours import Neighbours
from services.gateway.pipeline.ports import Prompt, SearchPlan
from services.gateway.pipeline.recommend import Recommend
from services.gateway.pipeline.rerank import DEPTH, Rerank
from services.gateway.pipeline.retrieve import Retrieve
from services.gateway.pipeline.rewrite import Rewrite
from services.gateway.pipeline.run import Run
from services.gateway.pipeline.understand import Understand
from services.gateway.pipeline.verify import REFUSAL, Verify
from services.gateway.requests import MAX_SEARCH_PASSAGES
from services.rpc import semconv
from services.rpc.instruments import Histogram
from services.rpc.metrics import series
from services.rpc.telemetry import current_trace_id, span

if TYPE_CHECKING:
    from services.gateway.passages import ScoredPassage
    from services.gateway.pipeline.ports import (
        Embedder,
        Generator,
        Reranker,
        Retrieved,
        Retriever,
        TokenEncoder,
        WeightedQuery,
    )
    from services.gateway.requests import Question, RecommendAsk, SearchAsk
    from services.gateway.usage import PriceTable
    from services.rpc.scope import Scope

SPARE_PER_DOCUMENT = 3
"""Times that many passages of a document are looked at again as it may give: with one of each
document alone a set of abstracts lost by being reranked (cranfield nDCG@10 .414 to .393)."""

SPARE_CANDIDATES = 10
"""Candidates beyond what is asked for, in place of repetitions that are left out."""

SLOW_ANSWER_SECONDS = 5.0
SLOW_SEARCH_SECONDS = 0.5
"""Traces of requests that took longer are kept whatever the share."""
_WORKFLOW = {semconv.GEN_AI_OPERATION_NAME: "invoke_workflow"}

Emit = Callable[[AnswerEvent], Awaitable[None]]
Recall = Callable[["Retrieved"], "Answer | None"]
"""Told what was found for a question; returns an answer that is known already."""
Note = Callable[["Retrieved"], None]
"""Told what was found."""

_QUERY_SECONDS = Histogram(
    "cairn_gateway_query_seconds",
    "Duration of whole questions and searches.",
    ["operation"],
    buckets=(0.05, 0.1, 0.12, 0.15, 0.2, 0.5, 1, 2, 5, 10, 30),
)


class RagPipeline:
    """Answers questions and searches.

    Args:
        embedder: Makes vectors.
        reranker: Scores candidates.
        retriever: Finds candidates.
        generator: Writes.
        encoder: Compares sentences with what they cite by meaning; None: by words.
        prices: What usage costs.
        seconds: Deadline of a request that has none or a later one.
        rerank_model: Cross-encoder that orders candidates; empty: late interaction does.
        rewrite_model: Model that says questions anew before they are looked for; empty: none.
        neighbour_tokens: What chunks beside the chosen ones may add to a prompt; 0: none is added.
    """

    def __init__(
        self,
        *,
        embedder: Embedder,
        reranker: Reranker,
        retriever: Retriever,
        generator: Generator,
        prices: PriceTable,
        encoder: TokenEncoder | None = None,
        seconds: float = 10.0,
        rerank_model: str = "",
        rewrite_model: str = "",
        neighbour_tokens: int = 0,
    ) -> None:
        self._understand = Understand(Rewrite(generator, rewrite_model) if rewrite_model else None)
        self._retrieve = Retrieve(retriever, Embed(embedder))
        self._rerank = Rerank(reranker, rerank_model)
        self._assemble = Assemble()
        self._neighbours = Neighbours(retriever, neighbour_tokens)
        self._generate = Generate(generator, encoder)
        self._verify = Verify()
        self._recommend = Recommend(retriever)
        self._prices = prices
        self._seconds = seconds

    async def answer(
        self,
        scope: Scope,
        question: Question,
        emit: Emit | None = None,
        recall: Recall | None = None,
    ) -> Answer:
        """Returns the answer to a question.

        Args:
            scope: On whose behalf; decides what can be found.
            question: What is asked.
            emit: Takes the passages and the text as they come; the answer itself is returned only.
            recall: Told what was found for the question, before anything is written.

        Raises:
            ServiceError: the request is wrong, or retrieval does not answer.
        """
        began = time.perf_counter()
        run = Run(scope, "query", self._seconds, explain=question.explain)
        with span("rag.query", attributes=_WORKFLOW, slow_seconds=SLOW_ANSWER_SECONDS):
            queries = await self._understand.run(
                run, question.query, question.history, may_rewrite=True
            )
            found = await self._find(run, question, queries)
            known = recall(found) if recall is not None else None
            if known is not None:
                answer = await self._tell(run, known, emit)
            else:
                passages = await self._choose(run, question, found)
                passages_found()
                if emit is not None:
                    await emit(PassagesFound(passages))
                answer = await self._write(run, question, passages, emit, _codes_of(found))
        series(_QUERY_SECONDS, "query").observe(time.perf_counter() - began)
        return answer

    async def search(self, scope: Scope, ask: SearchAsk, note: Note | None = None) -> SearchResult:
        """Returns passages, best first.

        Args:
            scope: On whose behalf; decides what can be found.
            ask: What is looked for.
            note: Told what retrieval found.

        Raises:
            ServiceError: the request is wrong, or retrieval does not answer.
        """
        began = time.perf_counter()
        run = Run(scope, "search", self._seconds, explain=ask.explain)
        with span("rag.search", slow_seconds=SLOW_SEARCH_SECONDS):
            queries = await self._understand.run(run, ask.query, ask.history)
            plan = SearchPlan(
                collection=ask.collection,
                queries=(),
                mode=ask.mode,
                top_k=ask.top_k,
                filter=ask.filter,
                max_per_document=ask.max_per_document,
                explain=ask.explain,
            )
            if ask.rerank:
                plan = _widened(plan)
            found = await self._retrieve.run(run, queries, plan)
            if note is not None:
                note(found)
            passages = found.passages
            if ask.rerank:
                passages = await self._rerank.run(run, ask.query, found)
                passages = _first(run, passages, ask.top_k, ask.max_per_document)
        series(_QUERY_SECONDS, "search").observe(time.perf_counter() - began)
        return SearchResult(
            passages=passages,
            degraded=tuple(run.degraded),
            timings_ms=run.finish(),
            usage=run.usage,
            trace_id=current_trace_id(),
            explanation=tuple(run.explanations),
        )

    async def recommend(
        self, scope: Scope, ask: RecommendAsk, note: Note | None = None
    ) -> SearchResult:
        """Returns the best passage of each document that is like the given ones.

        Args:
            scope: On whose behalf; decides what can be found.
            ask: What the documents should be like.
            note: Told what retrieval found.

        Raises:
            ServiceError: the request is wrong, or retrieval does not answer.
        """
        run = Run(scope, "recommend", self._seconds)
        found = await self._recommend.run(run, ask)
        if note is not None:
            note(found)
        return SearchResult(
            passages=found.passages,
            degraded=(*found.degraded, *run.degraded),
            timings_ms=run.finish(),
            usage=run.usage,
            trace_id=current_trace_id(),
            explanation=(),
        )

    async def _find(
        self, run: Run, question: Question, queries: tuple[WeightedQuery, ...]
    ) -> Retrieved:
        plan = SearchPlan(
            collection=question.collection,
            queries=(),
            mode=question.mode,
            top_k=max(DEPTH, question.top_k + SPARE_CANDIDATES),
            filter=question.filter,
            explain=question.explain,
            token_codes_top_k=DEPTH if question.rerank else 0,
        )
        return await self._retrieve.run(run, queries, plan)

    async def _choose(
        self, run: Run, question: Question, found: Retrieved
    ) -> tuple[ScoredPassage, ...]:
        """Returns the passages to answer from."""
        passages = found.passages
        if question.rerank:
            passages = await self._rerank.run(run, question.query, found)
        chosen = await self._assemble.run(run, passages, question.top_k)
        return await self._neighbours.run(run, question.collection, chosen)

    async def _tell(self, run: Run, known: Answer, emit: Emit | None) -> Answer:
        """Returns an answer that was known, with what this request took."""
        if emit is not None:
            await emit(passages_of(known))
            await emit(AnswerDelta(known.answer))
        return replace(
            known,
            timings_ms=run.finish(),
            usage=run.usage,
            cost=self._prices.cost(run.usage, run.meter.model),
            trace_id=current_trace_id(),
        )

    async def _write(
        self,
        run: Run,
        question: Question,
        passages: tuple[ScoredPassage, ...],
        emit: Emit | None,
        token_codes: Mapping[tuple[str, str], bytes],
    ) -> Answer:
        shown = ""

        async def show(text: str) -> None:
            nonlocal shown
            shown += text
            if emit is not None:
                await emit(AnswerDelta(text))

        if passages:
            prompt = Prompt(
                query=question.query,
                history=question.history,
                instructions=question.instructions,
                passages=passages,
                token_codes=token_codes,
                model=question.model,
                max_tokens=question.max_tokens,
                temperature=question.temperature,
                request_id=current_trace_id(),
                min_support=question.min_support,
                is_live=emit is not None,
            )
            draft = await self._generate.run(run, prompt, question.verification, show)
        else:
            draft = Draft(
                CitationWriter((), question.verification), Grounding(None, run), "refused", "none"
            )
            draft.writer.feed(REFUSAL)
            draft.writer.finish()
        verified = await self._verify.run(run, draft, question.verification, passages)
        # What was not shown yet: held back, copied at the end, or from a lower rung.
        if verified.text.startswith(shown) and len(verified.text) > len(shown):
            await show(verified.text[len(shown) :])
        return Answer(
            answer=verified.text,
            citations=verified.citations,
            passages=passages,
            refused=verified.refused,
            grounded=verified.grounded,
            degraded=tuple(run.degraded),
            timings_ms=run.finish(),
            usage=run.usage,
            cost=self._prices.cost(run.usage, run.meter.model),
            trace_id=current_trace_id(),
            cached="",
            engine=draft.engine,
            model=draft.model,
            explanation=tuple(run.explanations),
            finish_reason=verified.finish_reason,
            support=draft.support,
            sentences=verified.sentences,
        )


def _codes_of(found: Retrieved) -> dict[tuple[str, str], bytes]:
    """Returns the token codes that came with the best passages, by document and chunk."""
    with_codes = zip(found.passages, found.token_codes, strict=False)
    return {
        (each.passage.document_id, each.passage.chunk_id): codes
        for each, codes in with_codes
        if codes
    }


def _widened(plan: SearchPlan) -> SearchPlan:
    """Returns the plan of a search whose result is looked at again.

    Where a document may give so many passages, the search may give more: which of them answers
    best is what the second look is for.
    """
    spread = SPARE_PER_DOCUMENT if plan.max_per_document else 1
    return replace(
        plan,
        top_k=min(max(plan.top_k, DEPTH) * spread, MAX_SEARCH_PASSAGES),
        max_per_document=min(plan.max_per_document * spread, MAX_SEARCH_PASSAGES),
        token_codes_top_k=DEPTH,
    )


def _first(
    run: Run, passages: tuple[ScoredPassage, ...], count: int, per_document: int
) -> tuple[ScoredPassage, ...]:
    """Returns the first passages, so many of a document, and explains where the others went."""
    kept: list[ScoredPassage] = []
    dropped: dict[str, str] = {}
    of_document: Counter[str] = Counter()
    for each in passages:
        document_id = each.passage.document_id
        if per_document and of_document[document_id] == per_document:
            dropped[each.passage.chunk_id] = "beyond max_per_document"
        elif len(kept) == count:
            dropped[each.passage.chunk_id] = "beyond top_k"
        else:
            of_document[document_id] += 1
            kept.append(each)
    if dropped:
        run.explain_stage(StageExplanation("select", tuple(kept), dropped))
    return tuple(kept)
