"""Which settings are taken."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.generation.settings import GenerationSettings


def test_extractive_alone_is_the_default() -> None:
    settings = GenerationSettings()

    assert settings.order("default") == settings.order("cheap") == ["extractive"]
    assert (settings.port, settings.metrics_port) == (9103, 9203)


def test_classes_have_orders_of_their_own() -> None:
    settings = GenerationSettings(
        engines="vllm, extractive", engines_cheap="extractive", vllm_model="/models/m"
    )

    assert settings.order("default") == settings.order("strong") == ["vllm", "extractive"]
    assert settings.order("cheap") == ["extractive"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"engines": "gpt"},
        {"engines": ""},
        {"engines": "extractive,extractive"},
        {"engines": "vllm"},
        {"engines": "openai", "openai_model": "m"},
        {"engines_strong": "openai"},
        {"vllm_engine_args": "[]"},
        {"vllm_engine_args": "{"},
        {"min_support": 1.5},
        {"openai_prices": '{"prompt": -1}'},
        {"openai_prices": "cheap"},
        {"openai_endpoints": '{"vllm": {"base_url": "http://a/v1", "model": "m"}}'},
        {"openai_endpoints": '{"Mini": {"base_url": "http://a/v1", "model": "m"}}'},
        {"openai_endpoints": '{"mini": {"base_url": "ftp://a", "model": "m"}}'},
        {"openai_endpoints": '{"mini": {"model": "m"}}'},
        {"engines": "mini"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GenerationSettings(**wrong)


def test_further_endpoints_are_engines_by_their_names() -> None:
    text = """{"mini": {"base_url": "http://a/v1", "model": "m", "api_key": "hunter2",
                        "prices": {"prompt": 1, "completion": 4}}}"""
    settings = GenerationSettings(engines="extractive", engines_cheap="mini", openai_endpoints=text)

    assert settings.order("cheap") == ["mini"]
    mini = settings.endpoints()["mini"]
    assert mini.prices is not None
    assert mini.prices.prices().completion == 4
    assert "hunter2" not in repr(settings) + repr(mini)


def test_secrets_are_not_shown() -> None:
    assert "hunter2" not in repr(GenerationSettings(openai_api_key="hunter2"))
