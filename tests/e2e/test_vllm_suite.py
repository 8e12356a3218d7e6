"""The whole suite with vLLM: a question over REST is answered by the model, and cited."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.kit.suite import Suite, ingest_text, running_suite
from tests.kit.tiny_llama import VLLM_PYTHON, tiny_llama_folder

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not VLLM_PYTHON.exists(), reason="no .venv-vllm here; `make test` builds it"
    ),
]


@pytest.fixture(scope="module")
def with_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
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
    with running_suite(folder, "--generation-python", str(VLLM_PYTHON), **settings) as suite:
        ingest_text(
            suite, granite="# Granite\n\nGranite forms when magma cools slowly below ground."
        )
        yield suite


def test_the_model_writes_the_answer(with_model: Suite) -> None:
    response = with_model.query("How does granite form?", max_tokens=16, bypass_cache=True)
    assert (response["engine"], response["model"]) == ("vllm", "tiny")
    assert response["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 16
    assert response["degraded"] == []
    assert [each["passage"]["title"] for each in response["passages"]] == ["Granite"]


def test_its_words_arrive_one_by_one(with_model: Suite) -> None:
    body = {"query": "How does granite form?", "max_tokens": 24, "stream": True}
    with (
        with_model.client() as client,
        client.stream("POST", "/v1/query", json=body) as response,
    ):
        events = [line.split(": ", 1)[1] for line in response.iter_lines() if line[:6] == "event:"]
    assert events[0] == "passages"
    assert events[-1] == "response"
    assert events.count("delta") >= 3


def test_a_model_asked_for_by_name_is_the_one_that_answers(with_model: Suite) -> None:
    response = with_model.query("How does granite form?", model="extractive-1")
    assert response["engine"] == "extractive"
    assert response["citations"][0]["text"] == "Granite forms when magma cools slowly below ground."
