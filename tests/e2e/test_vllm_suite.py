"""The whole suite with vLLM: its model answers over REST, and traces and metrics show how it did."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from monitoring.catalogue import FOREIGN
from tests.kit.metric_labels import scraped, unbounded
from tests.kit.otlp_receiver import ReceivedSpan
from tests.kit.tiny_llama import VLLM_PYTHON, tiny_llama_folder
from tests.kit.traced_suite import CALLER_SPAN, Traced, traced_suite

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not VLLM_PYTHON.exists(), reason="no .venv-vllm here; `make test` builds it"
    ),
]

GENERATE = "cairn.generation.v1.GenerationService/Generate"
STEPS = ("generation.queue", "generation.prefill", "generation.decode")
# A random model cites nothing and invents numbers: checked sentence by sentence, little would be left.
QUESTION = {
    "query": "How does granite form?",
    "max_tokens": 16,
    "bypass_cache": True,
    "verification": "annotate",
}
CLOCK_SECONDS = 0.05
"""How far the clock of the steps and that of other spans may be apart."""
BLOCK_TOKENS = 128
"""Block of the CPU build's KV cache: only whole blocks are reused."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    arguments = {"max_model_len": 2048, "enforce_eager": True, "dtype": "bfloat16"}
    settings = {
        "CAIRN_GENERATION_ENGINES": "vllm,extractive",
        "CAIRN_GENERATION_VLLM_MODEL": str(tiny_llama_folder()),
        "CAIRN_GENERATION_VLLM_MODEL_NAME": "tiny",
        "CAIRN_GENERATION_VLLM_ENGINE_ARGS": json.dumps(arguments),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    folder = tmp_path_factory.mktemp("with-model")
    python = ("--generation-python", str(VLLM_PYTHON))
    async with traced_suite(folder, *python, **settings) as running:
        yield running


async def _asked(traced: Traced, **body: Any) -> tuple[str, dict[str, Any]]:
    """Asks; returns the trace's id and the answer."""
    trace_id, response = await traced.post("/v1/query", QUESTION | body)
    assert response.status_code == 200, response.text
    return trace_id, response.json()


def _one(spans: list[ReceivedSpan], name: str, service: str = "generation") -> ReceivedSpan:
    (found,) = [s for s in spans if s.name == name and s.service == service and s.kind != "CLIENT"]
    return found


def _ancestors(spans: list[ReceivedSpan], span: ReceivedSpan) -> list[str]:
    by_id = {each.span_id: each for each in spans}
    names = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    assert span.parent_id == CALLER_SPAN, "the trace's root is not the caller's child"
    return names


async def test_the_model_writes_the_answer(traced: Traced) -> None:
    _, response = await _asked(traced)
    assert (response["engine"], response["model"]) == ("vllm", "tiny")
    assert response["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 16
    assert response["degraded"] == []
    assert [each["passage"]["title"] for each in response["passages"]] == ["Granite"]


async def test_its_words_arrive_one_by_one(traced: Traced) -> None:
    body = QUESTION | {"max_tokens": 600, "stream": True}
    headers = {"Authorization": f"Bearer {traced.suite.api_key}"}
    async with httpx.AsyncClient(
        base_url=traced.suite.http_url, trust_env=False, timeout=60, headers=headers
    ) as client:
        # What might become an address is held back, and a random model writes a lot of that.
        for _ in range(10):
            async with client.stream("POST", "/v1/query", json=body) as response:
                lines = [line async for line in response.aiter_lines()]
            events = [line.split(": ", 1)[1] for line in lines if line[:6] == "event:"]
            assert events[0] == "passages"
            assert events[-1] == "response"
            if events.count("delta") >= 3:
                return
    pytest.fail("no text came in three pieces")


async def test_a_model_asked_for_by_name_is_the_one_that_answers(traced: Traced) -> None:
    _, response = await _asked(traced, model="extractive-1")
    assert response["engine"] == "extractive"
    assert response["citations"][0]["text"] == "Granite forms when magma cools slowly below ground."


async def test_queue_prefill_and_decode_are_steps_below_the_models_span(traced: Traced) -> None:
    trace_id, response = await _asked(traced)
    spans = await traced.spans(
        trace_id,
        ("generation", "SERVER", GENERATE),
        ("gateway", "SERVER", "POST /v1/query"),
    )
    chat = _one(spans, "chat tiny")
    assert _ancestors(spans, chat) == [
        GENERATE,
        GENERATE,
        "generate",
        "rag.query",
        "POST /v1/query",
    ]
    assert _one(spans, "generation.admission").parent_id == chat.span_id
    end = chat.start_seconds
    for name in STEPS:
        step = _one(spans, name)
        assert step.parent_id == chat.span_id
        assert step.kind == "INTERNAL"
        assert step.start_seconds == pytest.approx(max(end, step.start_seconds), abs=CLOCK_SECONDS)
        if name != STEPS[0]:
            assert step.start_seconds == pytest.approx(end, abs=0.002), "steps leave no gap"
        end = step.start_seconds + step.seconds
    assert end <= chat.start_seconds + chat.seconds + CLOCK_SECONDS
    assert _one(spans, STEPS[2]).seconds > 0
    assert {span.status for span in spans} == {"UNSET"}
    said = " ".join(str(value) for span in spans for value in span.attributes.values())
    assert "ranite" not in said, "questions and passages stay out of traces"
    assert response["answer"] not in said


async def test_the_models_span_tells_what_was_asked_and_used(traced: Traced) -> None:
    question = {"query": "Where does basalt cool? " + "And how? " * 40}
    await _asked(traced, **question)
    trace_id, response = await _asked(traced, **question)
    spans = await traced.spans(trace_id, ("generation", "SERVER", GENERATE))
    attributes = _one(spans, "chat tiny").attributes
    usage = response["usage"]
    assert usage["cached_prompt_tokens"] >= BLOCK_TOKENS, "an equal prompt was read before"
    assert {
        name: attributes[f"gen_ai.{name}"]
        for name in (
            "operation.name",
            "provider.name",
            "request.model",
            "request.max_tokens",
            "request.stream",
            "response.model",
            "response.finish_reasons",
            "usage.input_tokens",
            "usage.output_tokens",
            "usage.cache_read.input_tokens",
        )
    } == {
        "operation.name": "chat",
        "provider.name": "vllm",
        "request.model": "tiny",
        "request.max_tokens": 16,
        "request.stream": True,
        "response.model": "tiny",
        "response.finish_reasons": ["length"],
        "usage.input_tokens": usage["prompt_tokens"],
        "usage.output_tokens": 16,
        "usage.cache_read.input_tokens": usage["cached_prompt_tokens"],
    }
    assert 0 < attributes["gen_ai.response.time_to_first_chunk"] < 60


async def test_who_leaves_sees_what_the_engine_did_until_then(traced: Traced) -> None:
    body = QUESTION | {"max_tokens": 1200, "stream": True}
    # What might become an address is held back, and a random model writes a lot of that: now and
    # then its text is at its end before any of it is seen.
    for _ in range(10):
        trace_id = secrets.token_hex(16)
        headers = {
            "traceparent": f"00-{trace_id}-{CALLER_SPAN}-01",
            "Authorization": f"Bearer {traced.suite.api_key}",
        }
        async with (
            httpx.AsyncClient(
                base_url=traced.suite.http_url, trust_env=False, timeout=60
            ) as client,
            client.stream("POST", "/v1/query", json=body, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                if line == "event: delta":
                    break
        spans = await traced.spans(
            trace_id, ("generation", "SERVER", GENERATE), ("gateway", "SERVER", "POST /v1/query")
        )
        served, chat = _one(spans, GENERATE), _one(spans, "chat tiny")
        if served.attributes["rpc.status_code"] == "CANCELLED":
            break
    else:
        pytest.fail("no text was left before its end")
    for name in STEPS[:2]:
        assert _one(spans, name).parent_id == chat.span_id
    assert [s.name for s in spans if s.status == "ERROR" and s.kind != "CLIENT"] == []


async def test_a_deadline_that_ends_the_text_is_no_fault(traced: Traced) -> None:
    # A busy machine needs longer before the model's turn, a fast one writes it all in no time.
    for milliseconds in (1500, 3000, 6000):
        trace_id, response = await traced.post(
            "/v1/query",
            QUESTION | {"max_tokens": 1500},
            is_sampled=True,
            **{"X-Cairn-Timeout-Ms": str(milliseconds)},
        )
        answer = response.json()
        if (answer.get("engine"), answer.get("finish_reason")) == ("vllm", "deadline"):
            break
    else:
        pytest.fail(f"no text was ended by its deadline: {answer}")
    assert response.status_code == 200
    assert "generation_truncated" in answer["degraded"]
    spans = await traced.spans(
        trace_id, ("generation", "SERVER", GENERATE), ("gateway", "SERVER", "POST /v1/query")
    )
    chat = _one(spans, "chat tiny")
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["deadline"]
    assert chat.attributes["gen_ai.usage.output_tokens"] == answer["usage"]["completion_tokens"]
    assert [_one(spans, name).parent_id for name in STEPS] == [chat.span_id] * 3
    assert {span.status for span in spans if span.kind != "CLIENT"} == {"UNSET"}


async def test_metrics_tell_of_the_engine_in_its_own_words_and_in_ours(traced: Traced) -> None:
    await _asked(traced, query="Where does basalt cool? " + "And how? " * 40)
    await _asked(traced, query="Where does basalt cool? " + "And how? " * 40)
    page = (await asyncio.to_thread(scraped, traced.suite))["generation"]
    families = list(text_string_to_metric_families(page))
    assert unbounded(families, ()) == []
    samples = [sample for family in families for sample in family.samples]
    for name, labels in FOREIGN.items():
        found = [sample for sample in samples if sample.name == name]
        assert len(found) == 1, f"autoscalers and endpoint pickers need {name}"
        assert set(found[0].labels) >= set(labels)
        assert found[0].labels["model_name"] == "tiny"
    figures = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples
    }
    for name in ("engine_queue", "queue_wait", "prefill", "decode", "inter_token"):
        assert figures[f"cairn_generation_{name}_seconds_count", ()] > 0, name
    for kind in ("prompt", "cached_prompt", "completion"):
        labels = (("engine", "vllm"), ("kind", kind))
        assert figures["cairn_generation_tokens_total", labels] > 0, kind
        labels = (("kind", kind), ("tenant", "default"))
        assert figures["cairn_generation_tenant_tokens_total", labels] > 0, kind
    for kind in ("queried", "hit"):
        assert figures["cairn_generation_prefix_cache_tokens_total", (("kind", kind),)] > 0
    labels = (("engine", "vllm"),)
    assert figures["cairn_generation_time_to_first_token_seconds_count", labels] > 0
    for name in ("kv_cache_used_ratio", "queue_requests", "queue_age_seconds", "preemptions_total"):
        assert (f"cairn_generation_{name}", ()) in figures, name
